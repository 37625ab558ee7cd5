"""Sequences: where things moved, frames that are held to the one before, and video files in and out."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from qs_core import __main__ as command
from qs_core.blend import BlendMap
from qs_core.errors import InputError
from qs_core.moving import job, video
from qs_core.moving.flow import Motion, motion, warped
from qs_core.moving.sequences import Video
from qs_core.moving.steady import Before, steadied
from qs_core.pipeline import run
from qs_core.samplers import ddim_step, sample
from qs_core.settings import Settings
from qs_core.styles import parse_weight
from qs_core.stylizer import Stylizer, complete
from qs_core.transfer import restyle
from qs_core.unguided import StyleSettings
from qs_core.unguided import run as redraw

av = pytest.importorskip("av")
QUICK = {"size": 32, "steps": "6", "skip": 3, "crops": 2}


@pytest.fixture(scope="module")
def wide():
    """(1, 3, 64, 80): a smooth random landscape to look at through a window."""
    coarse = torch.rand(1, 3, 16, 20, generator=torch.manual_seed(3)) * 2 - 1
    return torch.nn.functional.interpolate(coarse, (64, 80), mode="bicubic", align_corners=False).clamp(-1, 1)


def frame(wide, k, side=48):
    """The window at 3 k pixels from the left."""
    return wide[..., 8 : 8 + side, 3 * k : 3 * k + side]


def test_a_pan_is_found_and_what_comes_into_view_is_not_known(wide):
    now, before = frame(wide, 2), frame(wide, 1)
    found = motion(now, before)
    inner = found.flow[0, :, 6:-6, 6:-9]
    torch.testing.assert_close(inner.mean((1, 2)), torch.tensor([0.0, 3.0]), atol=0.2, rtol=0)
    assert found.known[..., -2:].max() < 0.5 and found.known[..., 6:-6, 6:-9].min() > 0.5
    moved = warped(before, found.flow)
    assert ((moved - now).abs() * found.known).mean() < (before - now).abs().mean() / 5


def test_what_is_another_picture_is_not_known(picture):
    assert motion(picture(1), -picture(1)).known.mean() < 0.3
    still = motion(picture(1), picture(1))
    assert still.known.min() == 1 and still.flow.abs().max() < 1e-3


def test_a_flow_leads_to_where_a_place_was(picture):
    flow = torch.zeros(1, 2, 32, 32)
    flow[:, 1] = 2  # what is here was two columns to the right
    source = picture(1)
    torch.testing.assert_close(warped(source, flow)[..., :-2], source[..., 2:], atol=1e-5, rtol=0)


@pytest.fixture
def walk(calm, picture):
    """walk(before, steady) → the clean state of an unguided walk of one frame, and its inversion."""
    inversion = complete(Stylizer(calm).invert(picture(1), "20", 10, "inverted", [0]))

    def walk(before, steady):
        step = steadied(ddim_step(), inversion, before, steady)
        *_, last = restyle(inversion, step, None, None)
        return last.x

    walk.inversion = inversion
    return walk


def test_held_wholly_a_frame_is_what_was_drawn_before(walk, picture):
    """On a picture that did not move; and left to itself it is as if there had been nothing before."""
    before = Before(picture(1), picture(2))
    torch.testing.assert_close(walk(before, 1.0), picture(2), atol=1e-4, rtol=0)
    free = walk(None, 0.9)
    assert torch.equal(free, walk(before, 0.0))
    held, half = (walk(before, steady) for steady in (0.95, 0.5))
    apart = [(drawn - picture(2)).abs().mean() for drawn in (held, half, free)]
    assert apart[0] < apart[1] < apart[2]


def test_held_wholly_the_next_frame_has_moved_along(calm, wide):
    sources = [frame(wide, k, 32) for k in (1, 2)]
    drawn = -sources[0]  # a "style" that is seen to move
    inversion = complete(Stylizer(calm).invert(sources[1], "20", 10, "inverted", [0]))
    step = steadied(ddim_step(), inversion, Before(sources[0], drawn), 1.0)
    *_, last = sample(calm, inversion.schedule, inversion.x_t, inversion.start, step)
    assert (last.x + sources[1])[..., 4:-4, 4:-8].abs().mean() < 0.05


def test_frames_of_a_sequence_are_steadier_than_each_by_itself(wide):
    frames = [frame(wide, k)[0] for k in range(3)]

    def flicker(steady):
        drawn = torch.stack(
            [made.picture for made in run(frames, Settings("golden", steady=steady, **QUICK | {"size": 48}))]
        )
        flow = torch.zeros(2, 2, *drawn.shape[-2:])
        flow[:, 1] = 3
        return (drawn[1:] - warped(drawn[:-1], flow))[..., :-6].abs().mean()

    assert flicker(0.95) < flicker(0.0) / 2


def test_a_frame_of_another_size_is_not_held_to_the_one_before(picture):
    sizes = [picture(1)[0], picture(2, height=32, width=48)[0]]
    together = list(run(sizes, Settings("golden", steady=0.9, **QUICK)))
    (alone,) = run(sizes[1:], Settings("golden", steady=0.9, **QUICK))
    assert torch.equal(together[1].picture, alone.picture)


WALK = {"size": 32, "inversion": "300:3", "points": 3}  # of a style's file


def test_a_style_redraws_wholly_held_what_was_drawn_before(calm, picture):
    """On a picture that did not move; and left to itself it is as if there had been nothing before."""
    stylizer, blend = Stylizer(calm, inversions=0), BlendMap(1.0, 1.0)
    inversion = complete(stylizer.invert(picture(1), "300:3", 1, "inverted", [0]))
    styles = [(calm, parse_weight("1"))]

    def drawn(steady, before):
        return complete(stylizer.redraw(inversion, styles, blend, 5, steady, before))

    before = Before(picture(1), picture(2))
    torch.testing.assert_close(drawn(1.0, before), picture(2), atol=1e-4, rtol=0)
    free = drawn(0.0, None)
    assert torch.equal(free, drawn(0.0, before)) and torch.equal(free, drawn(0.9, None))
    apart = [(one - picture(2)).abs().mean() for one in (drawn(0.95, before), drawn(0.5, before), free)]
    assert apart[0] < apart[1] < apart[2]


def test_a_style_s_frames_of_one_batch_are_those_of_a_sequence(calm, wide):
    """Each is held to the one before, whether they come together or one by one."""
    stylizer, blend, styles = Stylizer(calm, inversions=0), BlendMap(1.0, 1.0), [(calm, parse_weight("1"))]
    sources = torch.cat([frame(wide, k, 32) for k in range(3)])
    inversion = complete(stylizer.invert(sources, "300:3", 1, "inverted", [0] * 3))
    together, before = complete(stylizer.redraw(inversion, styles, blend, 3, 0.9)), None
    for k in range(3):
        one = inversion.part(slice(k, k + 1))
        drawn = complete(stylizer.redraw(one, styles, blend, 3, 0.9, before))
        torch.testing.assert_close(drawn, together[k : k + 1])
        before = Before(one.source, drawn)


def test_a_style_s_frames_are_steadier_than_each_by_itself(wide):
    frames = [frame(wide, k)[0] for k in range(3)]

    def flicker(steady):
        settings = StyleSettings(("golden",), steady=steady, **WALK | {"size": 48})
        drawn = torch.stack([made.picture for made in redraw(frames, settings)])
        flow = torch.zeros(2, 2, *drawn.shape[-2:])
        flow[:, 1] = 3
        return (drawn[1:] - warped(drawn[:-1], flow))[..., :-6].abs().mean()

    assert flicker(0.95) < flicker(0.0) / 1.5


def test_a_style_s_steadiness_that_cannot_be_is_refused():
    with pytest.raises(InputError, match="steady 1.1"):
        StyleSettings(("golden",), steady=1.1)


@pytest.mark.parametrize(
    "given", [{"steady": -0.1}, {"steady": 1.1}, {"steady": float("nan")}, {"steady": 0.5, "count": 2}]
)
def test_a_steadiness_that_cannot_be_is_refused(given):
    with pytest.raises(InputError, match="steady"):
        Settings("golden", **given)


# Video files


TIMES = (0, 1, 2, 5)  # of 25 a second: not at even distances


@pytest.fixture
def film(tmp_path, wide):
    """A video of four frames with uneven times, and a sound."""
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as target:
        shown = target.add_stream("libx264", rate=25, options={"crf": "5"})
        shown.width, shown.height, shown.pix_fmt = 48, 48, "yuv420p"
        shown.codec_context.time_base = Fraction(1, 25)
        heard = target.add_stream("aac", rate=44100)
        for k, time in enumerate(TIMES):
            array = ((frame(wide, k)[0].movedim(0, -1) + 1) * 127.5).round().byte().numpy()
            one = av.VideoFrame.from_ndarray(np.ascontiguousarray(array), format="rgb24")
            one.pts, one.time_base = time, Fraction(1, 25)
            target.mux(shown.encode(one))
        target.mux(shown.encode())
        for k in range(8):
            wave = np.sin(np.arange(1024) / 20 + k).astype(np.float32)[None] / 3
            one = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            one.sample_rate, one.pts = 44100, 1024 * k
            target.mux(heard.encode(one))
        target.mux(heard.encode())
    return path


def times_of(path):
    with av.open(str(path)) as container:
        return [frame.time for frame in container.decode(video=0)]


def sound_of(path):
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], 1)


def test_a_video_is_written_with_the_original_s_timing_and_sound(film, tmp_path):
    drawn = list(video.frames(film))
    files = [tmp_path / f"{k}.png" for k in range(len(drawn))]
    for one, path in zip(drawn, files, strict=True):
        one.resize((65, 49)).save(path)
    video.write(tmp_path / "styled.mp4", files, film)
    assert times_of(tmp_path / "styled.mp4") == times_of(film) == [time / 25 for time in TIMES]
    np.testing.assert_array_equal(sound_of(tmp_path / "styled.mp4"), sound_of(film))
    back = list(video.frames(tmp_path / "styled.mp4"))
    assert back[0].size == (66, 50)
    for one, path in zip(back, files, strict=True):
        grey = [np.asarray(each.convert("L"), float) for each in (one, Image.open(path))]
        assert np.abs(grey[0][:49, :65] - grey[1]).mean() < 4  # colours have half the resolution
    assert [np.asarray(one).tolist() for one in video.frames(film, 2)] == [
        np.asarray(one).tolist() for one in drawn[2:]
    ]


def test_colours_stay_whatever_the_height(tmp_path):
    """BT.601 below 720 lines, BT.709 from there on, on both sides."""
    for height in (64, 720):
        path, still = tmp_path / f"{height}.mp4", tmp_path / "still.png"
        Image.new("RGB", (64, height), (200, 60, 30)).save(still)
        source = tmp_path / "source.mkv"
        with av.open(str(source), "w") as target:
            stream = target.add_stream("ffv1", rate=5)
            stream.width, stream.height, stream.pix_fmt = 64, height, "bgr0"
            one = av.VideoFrame.from_image(Image.open(still))
            target.mux(stream.encode(one.reformat(format="bgr0")))
            target.mux(stream.encode())
        video.write(path, [still], source)
        (back,) = video.frames(path)
        np.testing.assert_allclose(np.asarray(back)[20, 20], (200, 60, 30), atol=4)


def test_what_is_no_video_is_refused(tmp_path, film):
    (tmp_path / "broken.mp4").write_bytes(b"not a video")
    with pytest.raises(InputError, match="cannot be read as a video"):
        video.count(tmp_path / "broken.mp4")
    with pytest.raises(InputError, match="written as one of"):
        video.check(tmp_path / "out.xyz", film)
    with pytest.raises(InputError, match="aac, which .webm does not hold"):
        video.check(tmp_path / "out.webm", film)


# The command


ARGUMENTS = ["--prompt", "golden", "--size", "32", "--steps", "6", "--skip", "3", "--crops", "2"]


def test_the_command_restyles_a_video(film, tmp_path, capsys):
    output, report = tmp_path / "styled.mp4", tmp_path / "report.json"
    given = ["stylize", str(film), *ARGUMENTS, "--output", str(output), "--report", str(report)]
    assert command.main(given) == 0
    assert times_of(output) == times_of(film) and not (tmp_path / "styled.mp4.frames").exists()
    np.testing.assert_array_equal(sound_of(output), sound_of(film))
    told = json.loads(report.read_text())
    assert len(told) == 4 and told[0]["settings"]["steady"] == 0.95
    assert str(output) in capsys.readouterr().out


def test_a_video_that_was_stopped_goes_on_and_comes_out_the_same(film, tmp_path, capsys, monkeypatch):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    frames, s = Video(film, tmp_path / "styled.mp4"), Settings("golden", steady=0.95, **QUICK)
    list(job.run(frames, lambda k: whole / f"{k}.png", s))
    begun = job.run(frames, lambda k: stopped / f"{k}.png", s)
    next(begun), next(begun)
    begun.close()
    (stopped / "2.png").write_bytes(b"written, and not noted")
    assert [made.number for made in job.run(frames, lambda k: stopped / f"{k}.png", s)] == [2, 3]
    for k in range(4):
        assert np.array_equal(Image.open(whole / f"{k}.png"), Image.open(stopped / f"{k}.png"))
    assert list(job.run(frames, lambda k: whole / f"{k}.png", s)) == []
    told = []
    other = Settings("mosaic", steady=0.95, **QUICK)
    next(job.run(frames, lambda k: whole / f"{k}.png", other, announce=told.append))
    assert "begins at its start" in told[-1]


def test_frames_that_are_left_to_themselves_go_on_as_well(film, tmp_path):
    frames, s = Video(film, tmp_path / "styled.mp4"), Settings("golden", **QUICK)

    def made():
        return job.run(frames, lambda k: tmp_path / f"{k}.png", s)

    begun = made()
    next(begun)
    begun.close()
    assert [one.number for one in made()] == [1, 2, 3]
    alone = run([list(video.frames(film))[2]], s)
    np.testing.assert_array_equal(Image.open(tmp_path / "2.png"), next(alone).image)


def test_two_runs_do_not_share_a_folder(film, tmp_path):
    frames, s = Video(film, tmp_path / "styled.mp4"), Settings("golden", steady=0.95, **QUICK)
    begun = job.run(frames, lambda k: tmp_path / "one" / f"{k}.png", s)
    next(begun)
    with pytest.raises(InputError, match="Another run writes"):
        next(job.run(frames, lambda k: tmp_path / "one" / f"{k}.png", s))
    begun.close()


def test_a_full_disk_loses_no_frame(film, tmp_path, monkeypatch):
    frames, s = Video(film, tmp_path / "styled.mp4"), Settings("golden", steady=0.95, **QUICK)
    begun = job.run(frames, lambda k: tmp_path / "one" / f"{k}.png", s)
    next(begun)

    def full(path, content):
        raise InputError(f"Cannot write {path} (No space left on device).")

    with monkeypatch.context() as patched:
        patched.setattr(job, "write_whole", full)
        with pytest.raises(InputError, match="No space"):
            next(begun)
    assert [made.number for made in job.run(frames, lambda k: tmp_path / "one" / f"{k}.png", s)] == [1, 2, 3]


def test_a_folder_of_frames_is_a_sequence(film, tmp_path, capsys):
    folder = tmp_path / "frames"
    folder.mkdir()
    for k, one in enumerate(video.frames(film)):
        one.save(folder / f"{k}.png")
    given = ["stylize", str(folder), *ARGUMENTS, "--steady", "0.9", "--output", str(tmp_path / "out")]
    assert command.main(given) == 0
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == [f"{k}-0.png" for k in range(4)]
    assert command.main(given) == 0  # all is there


@pytest.mark.parametrize("what", ["video", "folder"])
def test_a_style_s_file_holds_frames_as_well(film, tmp_path, what):
    given = film
    if what == "folder":
        given = tmp_path / "frames"
        given.mkdir()
        for k, one in enumerate(video.frames(film)):
            one.save(given / f"{k}.png")
    output = tmp_path / ("styled.mp4" if what == "video" else "out")
    walk = ["--style-file", "golden", "--size", "32", "--points", "2", "--inversion", "300:3", "--steady", "0.9"]
    assert command.main(["stylize", str(given), *walk, "--output", str(output)]) == 0
    if what == "video":
        assert times_of(output) == times_of(film)
    else:
        assert sorted(path.name for path in output.glob("*.png")) == [f"{k}-0.png" for k in range(4)]


def test_a_style_s_video_that_was_stopped_goes_on_and_comes_out_the_same(film, tmp_path):
    frames, s = Video(film, tmp_path / "styled.mp4"), StyleSettings(("golden",), steady=0.95, **WALK)
    whole = [made.path.read_bytes() for made in job.run(frames, lambda k: tmp_path / "whole" / f"{k}.png", s)]
    begun = job.run(frames, lambda k: tmp_path / "stopped" / f"{k}.png", s)
    next(begun), next(begun)
    begun.close()
    assert [made.number for made in job.run(frames, lambda k: tmp_path / "stopped" / f"{k}.png", s)] == [2, 3]
    assert whole == [(tmp_path / "stopped" / f"{k}.png").read_bytes() for k in range(4)]


@pytest.mark.parametrize(
    "more, message",
    [
        (["--workers", "2"], "one process makes them"),
        (["--count", "2"], "one result"),
        (["--count", "2", "--steady", "0"], "one result"),
        (["again.mp4"], "names one file"),
        (["still.png"], "Give them in two commands"),
    ],
)
def test_what_a_video_cannot_have_is_said(film, tmp_path, more, message, capsys):
    given = ["stylize", str(film), *more, *ARGUMENTS, "--output", str(tmp_path / "styled.mp4")]
    assert command.main(given) == 2
    assert message in capsys.readouterr().err


@pytest.fixture
def clips(film, tmp_path, monkeypatch):
    """A folder of two videos, beside which the commands run."""
    (tmp_path / "clips").mkdir()
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / "clips" / name).write_bytes(film.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path / "clips"


@pytest.mark.parametrize("walk", [ARGUMENTS, ["--style-file", "golden", "--size", "32"]])
@pytest.mark.parametrize("named", ["clips", "clips/*.mp4", "clips/a.mp4 clips/b.mp4", "clips/b.mp4 clips"])
def test_several_videos_are_restyled_and_none_of_them_twice(clips, tmp_path, capsys, named, walk):
    command_line = ["stylize", *named.split(), *walk, "--output", "styled"]
    assert command.main(command_line) == 0
    results = [tmp_path / "styled" / name for name in ("a.mp4", "b.mp4")]
    assert sorted((tmp_path / "styled").iterdir()) == results
    assert all(times_of(path) == times_of(clips / path.name) for path in results)
    before = [path.read_bytes() for path in results]
    results[1].write_bytes(b"a copy that failed")
    capsys.readouterr()
    assert command.main(command_line) == 0
    assert [path.read_bytes() for path in results] == before
    told = capsys.readouterr().err
    assert "a.mp4 is there" in told and "b.mp4 is there" not in told


def test_a_report_stays_where_nothing_was_left_to_make(clips, tmp_path):
    given = ["stylize", "clips/a.mp4", *ARGUMENTS, "--output", "styled.mp4", "--report", "report.json"]
    told = [command.main(given) or (tmp_path / "report.json").read_bytes() for _ in range(2)]
    assert told[0] == told[1] and len(json.loads(told[0])) == 4


def test_a_video_of_other_settings_is_made_anew(clips, tmp_path, capsys):
    for style in ("golden", "mosaic"):
        assert command.main(["stylize", "clips", *ARGUMENTS, "--prompt", style, "--output", "styled"]) == 0
    assert "is there" not in capsys.readouterr().err


def test_a_broken_video_does_not_stop_the_others(clips, tmp_path, capsys):
    (clips / "a.mp4").write_bytes(b"not a video")
    assert command.main(["stylize", "clips", *ARGUMENTS, "--output", "styled"]) == 1
    assert [path.name for path in (tmp_path / "styled").iterdir()] == ["b.mp4"]
    told = capsys.readouterr().err
    assert "a.mp4 cannot be read as a video" in told and "1 of 2 videos are done" in told


def test_a_video_that_is_not_there_is_said(tmp_path, capsys):
    given = ["stylize", str(tmp_path / "gone.mp4"), *ARGUMENTS, "--output", str(tmp_path / "styled.mp4")]
    assert command.main(given) == 2 and "gone.mp4 cannot be read as a video" in capsys.readouterr().err


@pytest.mark.parametrize("given, output", [(["clips"], "clips"), (["clips/a.mp4"], "clips/a.mp4")])
def test_a_video_is_not_overwritten_by_its_result(clips, given, output, capsys):
    assert command.main(["stylize", *given, *ARGUMENTS, "--output", output]) == 2
    assert "would overwrite its source" in capsys.readouterr().err


def test_what_a_result_cannot_be_written_as_becomes_a_matroska():
    assert [video.result_suffix(Path(name)) for name in ("a.MP4", "a.webm", "a.avi", "a.wmv")] == [
        ".MP4",
        ".webm",
        ".mkv",
        ".mkv",
    ]


@pytest.mark.parametrize("suffix", video.CODECS)
def test_the_note_is_read_back_from_each_kind_of_file(film, tmp_path, suffix):
    silent = tmp_path / "silent.mkv"
    with av.open(str(silent), "w") as target:
        stream = target.add_stream("libx264", rate=5)
        stream.width = stream.height = 64
        for one in video.frames(film):
            target.mux(stream.encode(av.VideoFrame.from_image(one.resize((64, 64)))))
        target.mux(stream.encode())
    still = tmp_path / "still.png"
    Image.new("RGB", (64, 64), (200, 60, 30)).save(still)
    video.write(tmp_path / f"styled{suffix}", [still] * 4, silent, "0123abcd")
    assert video.note(tmp_path / f"styled{suffix}") == "0123abcd" and video.note(still) == ""


def test_videos_among_pictures_are_passed_over(film, tmp_path, capsys):
    folder = tmp_path / "mixed"
    folder.mkdir()
    film.rename(folder / "clip.mp4")
    Image.new("RGB", (40, 40), (90, 40, 20)).save(folder / "still.png")
    assert command.main(["stylize", str(folder), *ARGUMENTS, "--output", str(tmp_path / "out")]) == 0
    assert "passed over clip.mp4" in capsys.readouterr().err and (tmp_path / "out" / "still-0.png").exists()


def test_a_known_motion_has_the_shape_that_is_told(picture):
    found = motion(picture(1, 2), picture(1, 2))
    assert isinstance(found, Motion) and found.flow.shape == (2, 2, 32, 32) and found.known.shape == (2, 1, 32, 32)
