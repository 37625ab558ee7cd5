"""The command line on real pictures with the built-in models, and every kind of bad input."""

import hashlib
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from qs_core import InputError, demo, stylize
from qs_core.__main__ import main
from qs_core.checkpoints.known import KNOWN
from qs_core.commands.arguments import DEFAULTS
from qs_core.presets import PRESETS

QUICK = ["--steps", "6", "--skip", "3", "--size", "32", "--crops", "4"]
PROMPT = ["--prompt", "a sketch with crayon"]
PHOTO = str(demo.PICTURES["astronaut"])


def run(*arguments) -> int:
    return main(["stylize", *map(str, arguments)])


def refused(capsys, *arguments) -> str:
    """The one line on stderr of a run that ends with status 2."""
    try:
        status = run(*arguments)
    except SystemExit as error:
        status = error.code
    text = capsys.readouterr().err
    lines = [line for line in text.splitlines() if line.strip()]
    assert status == 2
    assert len(lines) == 1, text
    return lines[0]


def test_one_picture_gives_a_png_with_its_settings_and_a_report(tmp_path):
    out, report = tmp_path / "out.png", tmp_path / "report.json"
    assert run(PHOTO, *PROMPT, "--output", out, "--report", report, *QUICK, "--seed", "3") == 0
    with Image.open(out) as picture, Image.open(PHOTO) as source:
        assert min(picture.size) == 32
        assert abs(picture.width / picture.height - source.width / source.height) < 0.05
        assert json.loads(picture.text["qs_core"])["seed"] == 3
    told = json.loads(report.read_text())
    assert {"settings", "versions", "seconds", "peak_memory_bytes", "anchors", "losses"} <= set(told)
    assert {"total", "load", "inversion", "guided_step"} <= set(told["seconds"])
    assert len(told["losses"]) == 3
    assert {"clip_global", "clip_directional", "contrastive", "mse", "range"} == set(told["losses"][0])
    assert [row["kind"] for row in told["anchors"]] == ["random"] * 3 + ["global"] * 2
    assert list(tmp_path.glob(".*")) == []


def test_what_is_inverted_is_dequantized_unless_otherwise_wished(tmp_path):
    white, drawn = tmp_path / "white.png", []
    Image.new("RGB", (32, 32), "white").save(white)
    for number, flags in enumerate(([], ["--no-dequantize"])):
        out = tmp_path / f"{number}.png"
        assert run(white, *PROMPT, "--output", out, *QUICK, *flags) == 0
        with Image.open(out) as picture:
            assert json.loads(picture.text["qs_core"])["dequantize"] is not bool(flags)
            drawn.append(np.asarray(picture, int))
    assert np.abs(drawn[0] - drawn[1]).max() > 2


def test_several_pictures_and_seeds_fill_a_folder(tmp_path):
    pictures = [PHOTO, str(demo.PICTURES["cat"])]
    assert run(*pictures, *PROMPT, "--output", tmp_path / "new", "--count", "2", *QUICK) == 0
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == [
        "astronaut-0.png", "astronaut-1.png", "cat-0.png", "cat-1.png"
    ]  # fmt: skip


@pytest.mark.slow
# Sums run in another order in a batch, and a few steps of guidance amplify the last bits; where CLIP is in bfloat16,
# these are not as far behind the point.
@pytest.mark.parametrize("clip_dtype, tolerance, mean", [("float32", 2e-3, 2e-4), ("bfloat16", 0.05, 5e-3)])
def test_a_result_does_not_depend_on_its_neighbours(clip_dtype, tolerance, mean):
    options = {"size": 32, "steps": "6", "skip": 3, "crops": 4, "clip_dtype": clip_dtype}
    alone = stylize(PHOTO, "golden", seed=1, **options).picture
    batch = stylize([str(demo.PICTURES["cat"]), PHOTO], "golden", seed=0, count=2, **options)
    assert [(r.source, r.seed) for r in batch] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    torch.testing.assert_close(batch[3].picture, alone, rtol=0, atol=tolerance)
    assert (batch[3].picture - alone).abs().mean() < mean
    assert (batch[2].picture - alone).abs().mean() > 0.1


@pytest.mark.slow
def test_every_choice_runs(tmp_path):
    for extra in (
        ["--start", "noised", "--anchors", "random"],
        ["--start", "zecon", "--anchors", "local", "--attend", "all"],
        ["--sampler", "ddim", "--eta", "0.5", "--anchors", "local_global", "--attend", "16,8"],
        ["--prompt", "golden", "--prompt-weight", "2", "--prompt-weight", "1", "--templates", "--fit", "crop"],
        ["--output-size", "original", "--attention-scale", "sqrt", "--steps", "ddim10", "--skip", "5"],
    ):
        assert run(PHOTO, *PROMPT, "--output", tmp_path / "o.png", *QUICK, *extra) == 0
        with Image.open(tmp_path / "o.png") as picture:
            assert np.asarray(picture).std() > 5
    with Image.open(PHOTO) as source, Image.open(tmp_path / "o.png") as picture:
        assert picture.size == source.size


def make_bad_files(folder):
    (folder / "text.png").write_text("no picture")
    (folder / "cut.png").write_bytes((demo.PICTURES["cat"]).read_bytes()[:900])
    Image.new("RGB", (1, 1)).save(folder / "one.png")
    Image.new("RGB", (3, 200)).save(folder / "thin.png")
    torch.save({"layer.weight": torch.zeros(3)}, folder / "linear.pt")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{tmp}/none.png"], "No picture at"),
        (["{tmp}/text.png"], "no picture that Pillow can read"),
        (["{tmp}/cut.png"], "truncated"),
        (["{tmp}/one.png"], "1x1; both sides need at least 8"),
        (["{tmp}/thin.png"], "3x200; both sides need at least 8"),
        ([PHOTO, "--prompt", "  "], "prompt is empty"),
        ([PHOTO, "--prompt", "baroque zebra"], "never saw the words 'baroque', 'zebra'"),
        ([PHOTO, "--prompt", "golden " * 40], "would cut it"),
        ([PHOTO, "--model", "{tmp}/linear.pt"], "no guided-diffusion"),
        ([PHOTO, "--model", "{tmp}/none.pt"], "No model file at"),
        ([PHOTO, "--clip", "ViT-X"], "open_clip has no model"),
        ([PHOTO, "--skip", "6"], "skip 6 of 6 steps is not possible"),
        ([PHOTO, "--steps", "many"], "Respacing 'many'"),
        ([PHOTO, "--num-anchors", "5000"], "5000 anchors"),
        ([PHOTO, "--attend", "7"], "No layer has resolution 7"),
        ([PHOTO, "--device", "cuda:99"], "not available"),
        ([PHOTO, "--device", "privateuseone:0"], "not available"),
        ([PHOTO, "--device", "hpu"], "not available"),
        ([PHOTO, "--device", "nonsense"], "not available"),
        ([PHOTO, "--device", ""], "not available"),
        ([PHOTO, "--prompt", "golden::much"], "ends in ::much; give a number there"),
        ([PHOTO, "--prompt", "golden::2", "--prompt-weight", "2"], "weights are given twice"),
        ([PHOTO, "--crop-area", "0.5,0.1"], "Crop area"),
        ([PHOTO, "--eta", "2", "--sampler", "ddim"], "eta 2.0"),
        ([PHOTO, "--count", "0"], "count 0"),
        ([PHOTO, "--size", "4"], "Size 4 is too small"),
        ([PHOTO, "--prompt-weight", "1", "--prompt-weight", "2"], "give one weight for each"),
        ([PHOTO, "--sampler", "euler"], "invalid choice"),
        ([PHOTO, "--vgg", "1"], "vgg19"),
        ([PHOTO, "--prompt", "photo"], "is what the picture is already"),
        ([PHOTO, "--prompt", "in the style of"], "finds no style"),
        ([PHOTO, "--crop-area", "0.1"], "give MIN,MAX"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_leaves_nothing(tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "none"))  # where no VGG-19 is
    make_bad_files(tmp_path)
    before = sorted(tmp_path.iterdir())
    filled = [argument.format(tmp=tmp_path) if "{tmp}" in argument else argument for argument in arguments]
    prompt = [] if "--prompt" in filled else PROMPT
    line = refused(capsys, filled[0], *prompt, "--output", tmp_path / "out.png", *QUICK, *filled[1:])
    assert message in line
    assert sorted(tmp_path.iterdir()) == before


def test_results_that_would_meet_or_overwrite_are_refused(tmp_path, capsys):
    copies = [tmp_path / folder / "x.jpg" for folder in "ab"]
    for copy in copies:
        copy.parent.mkdir()
        copy.write_bytes(demo.PICTURES["cat"].read_bytes())
    assert "Two pictures are named 'x'" in refused(capsys, *copies, *PROMPT, "--output", tmp_path / "out", *QUICK)
    png = tmp_path / "own.png"
    Image.new("RGB", (64, 64)).save(png)
    assert "would overwrite its source" in refused(capsys, png, *PROMPT, "--output", png, *QUICK)
    assert "ends in .png" in refused(capsys, png, *PROMPT, "--output", tmp_path / "o.jpg", *QUICK)
    assert "is a folder" in refused(capsys, png, *PROMPT, "--output", tmp_path / "o.png", "--report", tmp_path, *QUICK)
    assert not (tmp_path / "out").exists()


def test_a_bad_picture_in_a_batch_is_told_before_the_first_is_made(tmp_path, capsys):
    make_bad_files(tmp_path)
    assert "3x200" in refused(capsys, PHOTO, tmp_path / "thin.png", *PROMPT, "--output", tmp_path / "out", *QUICK)
    assert not (tmp_path / "out").exists()


def test_help_states_every_default(capsys):
    with pytest.raises(SystemExit):
        main(["stylize", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for name, default in DEFAULTS.items():
        if isinstance(default, int | float) and not isinstance(default, bool):
            assert f"({default})" in text, name


def test_an_unwritable_place_is_told_before_anything_is_computed(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert "Cannot write" in refused(capsys, PHOTO, *PROMPT, "--output", tmp_path / "file" / "out.png")
    assert "several results need a folder" in refused(
        capsys, PHOTO, *PROMPT, "--count", "2", "--output", tmp_path / "file"
    )


class Executes:
    """Unpickled, this would create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_pickle_with_code_is_refused_and_not_executed(tmp_path, capsys):
    evil, trace = tmp_path / "evil.pt", tmp_path / "trace"
    evil.write_bytes(pickle.dumps({"w": Executes(trace)}))
    torch.save({"w": Executes(trace)}, tmp_path / "evil2.pt")
    for name in ("evil.pt", "evil2.pt"):
        line = refused(capsys, PHOTO, *PROMPT, "--model", tmp_path / name, "--output", tmp_path / "o.png")
        assert "not loaded" in line
    assert not trace.exists()


def test_non_finite_pictures_are_refused():
    picture = torch.zeros(3, 32, 32)
    picture[0, 3, 4] = float("nan")
    with pytest.raises(InputError, match="NaN or infinity"):
        stylize(picture, "golden", size=32)


def test_a_diverging_run_names_step_and_loss(tmp_path, capsys):
    assert run(PHOTO, *PROMPT, "--output", tmp_path / "o.png", *QUICK, "--clip-global", "1e38", "--mse", "1e38") == 1
    assert "at timestep" in capsys.readouterr().err
    assert not (tmp_path / "o.png").exists()


def test_strength_0_and_a_black_mask_give_the_very_same_picture(tmp_path):
    source = np.asarray(Image.open(PHOTO).convert("RGB"))
    height, width = source.shape[:2]
    Image.new("L", (width, height), 0).save(tmp_path / "black.png")
    for option in (["--strength", "0"], ["--mask", str(tmp_path / "black.png")]):
        out = tmp_path / f"{option[0][2:]}.png"
        assert run(PHOTO, *PROMPT, *QUICK, *option, "--output-size", "original", "--output", out) == 0
        assert np.array_equal(np.asarray(Image.open(out)), source), option


class TestWeights:
    """--prompt "a phrase::2" means what it means in the nodes."""

    def settings(self, tmp_path, *prompts) -> dict:
        report = tmp_path / "r.json"
        given = [part for prompt in prompts for part in ("--prompt", prompt)]
        assert run(PHOTO, *given, *QUICK, "--output", tmp_path / "o.png", "--report", report) == 0
        return json.loads(report.read_text())["settings"]

    def test_with_and_without(self, tmp_path):
        told = self.settings(tmp_path, "golden::2", "a sketch with crayon", "mosaic::-0.5")
        assert told["prompts"] == ["golden", "a sketch with crayon", "mosaic"]
        assert told["prompt_weights"] == [2, 1, -0.5]
        assert self.settings(tmp_path, "golden")["prompt_weights"] == []

    def test_another_programs_form_is_words_and_that_is_said(self, tmp_path, capsys):
        assert self.settings(tmp_path, "golden:2")["prompts"] == ["golden:2"]
        assert "'golden:2' is read as words; a weight is written golden::2" in capsys.readouterr().err

    def test_an_evaluation_has_none(self, tmp_path, capsys):
        judge = ["--judge", "ViT-B-16", "--output", str(tmp_path / "o")]
        assert main(["evaluate", PHOTO, "--prompt", "golden::2", *judge]) == 2
        assert "each prompt is an edit by itself" in capsys.readouterr().err


def test_no_backends_message_is_longer_than_a_line(tmp_path, capsys):
    for device in ("mps", "xpu", "vulkan", "xla"):
        line = refused(capsys, PHOTO, *PROMPT, "--output", tmp_path / "o.png", "--device", device)
        assert "not available" in line and len(line) < 250


class TestPresets:
    def test_all_are_listed(self, capsys):
        assert main(["presets"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line[:44].rstrip() for line in lines] == list(PRESETS)

    def test_options_come_before_those_of_the_preset(self, tmp_path):
        report = tmp_path / "r.json"
        preset = ["--preset", "mosaic (ImageNet)", "--vgg", "0", "--start", "inverted"]
        assert run(PHOTO, *preset, *QUICK, "--output", tmp_path / "o.png", "--report", report) == 0
        settings = json.loads(report.read_text())["settings"]
        assert settings["prompts"] == ["mosaic"] and settings["source_prompt"] == "Photo"
        assert (settings["clip_global"], settings["mse"], settings["sampler"]) == (20_000, 1000, "ddpm")
        assert (settings["vgg"], settings["start"], settings["crops"]) == (0, "inverted", 4)

    def test_one_that_there_is_not(self, capsys, tmp_path):
        assert main(["stylize", PHOTO, "--preset", "mosaik", "--output", str(tmp_path / "o.png")]) == 2
        assert "There is no preset 'mosaik'; near it are mosaic" in capsys.readouterr().err


class TestCheckpointCommands:
    """inspect and convert, on a network that is nobody's."""

    @pytest.fixture
    def file(self, tmp_path, weights):
        torch.save(weights("adm_scale_shift"), tmp_path / "mine.pt")
        return str(tmp_path / "mine.pt")

    def rows(self, capsys) -> dict[str, list[str]]:
        return {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()}

    def test_inspect_says_what_and_from_where(self, file, capsys):
        assert main(["inspect", file, "--num-head-channels", "16"]) == 0
        rows = self.rows(capsys)
        assert rows["file"] == ["mine.pt"]
        assert rows["family"] == ["adm", "read"]
        assert rows["channel_mult"] == ["1,", "2", "read"]
        assert rows["num_head_channels"] == ["16", "given"]
        assert rows["image_size"][1:] == ["guessed"]

    def test_convert_leaves_nothing_to_guess(self, file, tmp_path, capsys):
        out = str(tmp_path / "out.safetensors")
        assert main(["convert", file, out, "--num-head-channels", "16", "--image-size", "32"]) == 0
        capsys.readouterr()
        assert main(["inspect", out]) == 0
        assert "guessed" not in capsys.readouterr().out

    def test_verify_with_a_hash(self, file, capsys):
        digest = hashlib.sha256(Path(file).read_bytes()).hexdigest()
        assert main(["inspect", "--sha256", digest.upper(), file]) == 0
        assert self.rows(capsys)["sha256"] == [digest]
        with pytest.raises(SystemExit, match="2"):
            main(["inspect", file, "--sha256", "12ab"])
        assert "give 64 hexadecimal digits" in capsys.readouterr().err
        assert main(["inspect", file, "--sha256", "0" * 64]) == 1
        assert "is not the file with SHA-256 000" in capsys.readouterr().err

    def test_verify_with_the_published_ones(self, file, capsys, monkeypatch):
        assert main(["inspect", "--verify", file]) == 1
        assert "cannot be verified: no published file with this SHA-256 is known" in capsys.readouterr().err
        for name, told in (
            ("ffhq_p2.pt", "cannot be verified: no SHA-256 is published of ffhq_p2.pt"),
            ("ffhq_10m.pt", "is not the published ffhq_10m.pt, whose SHA-256 is 81d53574"),
            ("256x256_diffusion.pt", "is not the published 256x256_diffusion.pt, which has 2215479544 bytes"),
        ):
            renamed = Path(file).with_name(name)
            renamed.write_bytes(Path(file).read_bytes())
            assert main(["inspect", "--verify", str(renamed)]) == 1
            assert told in capsys.readouterr().err
        monkeypatch.setattr("qs_core.commands.checkpoints.by_sha256", lambda _: KNOWN[0])
        assert main(["inspect", file, "--verify"]) == 0
        assert KNOWN[0].name in capsys.readouterr().out

    @pytest.mark.parametrize("command", [["inspect"], ["convert", "out.safetensors"]])
    def test_a_file_that_is_no_network_ends_with_status_2(self, tmp_path, capsys, command):
        (tmp_path / "page.pt").write_text("<!DOCTYPE html>")
        assert main([command[0], str(tmp_path / "page.pt"), *command[1:]]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and "is a web page, not a model" in error

    def test_stylize_takes_the_same_options(self, tmp_path, capsys):
        picture = tmp_path / "p.png"
        Image.new("RGB", (32, 32), "red").save(picture)
        command = ["stylize", str(picture), "--prompt", "a sketch with crayon", "--output", str(tmp_path / "o.png")]
        assert main([*command, "--num-heads", "5"]) == 2
        assert "num_heads=5 does not divide" in capsys.readouterr().err
        assert main([*command, "--class-label", "3"]) == 2
        assert "Class label 3 does not fit unet.safetensors: the network knows no classes" in capsys.readouterr().err
