"""stylize, of what moves: videos, and a folder's frames in order."""

from __future__ import annotations

from pathlib import Path

from tqdm import tqdm

from .. import paths
from ..errors import InputError, MemoryShortage, NonFiniteError
from ..moving import job
from ..moving.sequences import Frames, Pictures, Video
from ..moving.steady import STEADY
from ..moving.video import is_video, result_suffix
from ..settings import Settings
from ..unguided import StyleSettings
from .shared import Order, output_paths, pictures_meant, require_other_files, require_writable, tell, write_report


def videos_meant(images: list[str]) -> list[str]:
    """The videos where videos are meant: by their names, or by a folder or pattern with no picture in it.

    Raises InputError for videos together with pictures.
    """
    found = [_videos_of(image) for image in images]
    if any(found) and not all(found):
        raise InputError(
            f"{_named(found, images)}: videos and pictures are restyled in different ways. Give them in two commands."
        )
    return paths.once(found)


def _videos_of(image: str) -> list[str]:
    """What videos one name means."""
    files = paths.meant(image)
    if files is None:
        return [str(paths.expanded(image))] if is_video(image) else []
    if any(file.suffix.lower() in paths.PICTURES for file in files):
        return []
    return [str(file) for file in files if is_video(file)]


def _named(found: list[list[str]], images: list[str]) -> str:
    """The first name that means videos, and the first that means none."""
    with_videos = [bool(videos) for videos in found]
    return f"{images[with_videos.index(True)]} and {images[with_videos.index(False)]}"


def run(order: Order, videos: list[str], kind: type, options: dict) -> int:
    """Videos, or a folder's frames in order, by settings of a kind. What is done is kept, and the same command goes on.

    Of several videos one that fails does not stop the others. Status 1 then.
    """
    if order.job:
        raise InputError(
            f"{', '.join(order.job)}: each frame needs the one before, so that one process makes them. Leave it out."
        )
    found = videos or pictures_meant(order.images)
    s = kind(**({"steady": STEADY} if videos else {}) | options)
    sequences = _of_videos(order, videos) if videos else [_of_frames(order, found, s)]
    if order.report:
        require_writable(order.report)
    reports, failed = [], []
    for frames in sequences:
        try:
            reports += _move(frames, s, *order.masks)
        except (InputError, NonFiniteError, MemoryShortage) as error:
            if len(sequences) == 1:
                raise
            failed.append(frames)
            tell(error)
        else:
            print(frames.output)
    if failed:
        tell(f"{len(sequences) - len(failed)} of {len(sequences)} videos are done; the same command tries the others.")
    if order.report and reports:  # where nothing was left to make, the report of the run that made it stays
        write_report(order.report, reports)
    return 1 if failed else 0


def _move(frames: Frames, s: Settings | StyleSettings, mask: str | None = None) -> list[dict]:
    """Make what is missing of a sequence; the reports of the frames that were."""
    written = frames.check()
    key = job.key(frames, s, mask)
    if frames.is_finished(key):
        tell(f"{frames.output} is there.")
        return []
    for path in written:
        require_writable(path)
    reports, bar = [], tqdm(desc="frames", unit="frame", total=frames.count or None, smoothing=0.05)
    try:
        for made in job.run(frames, frames.place, s, mask, announce=tell):
            bar.update(made.number + 1 - bar.n)
            reports.append({"image": frames.named(made.number), "output": str(made.path), **made.report})
    finally:
        bar.close()
        if bar.n and bar.n < (bar.total or 0):
            tell(f"{bar.n} frames are done and kept in {frames.place(0).parent}; the same command goes on.")
    frames.finish(key)
    return reports


def _of_frames(order: Order, found: list[str], s: Settings | StyleSettings) -> Frames:
    """The pictures as one sequence."""
    files = output_paths(found, order.output, s, True)
    return Pictures(found, [files[number, s.seed] for number in range(len(found))], order.output)


def _of_videos(order: Order, videos: list[str]) -> list[Frames]:
    """A sequence for each video.

    Raises InputError for a file as the output of several, and where two results, or a result and a source, are one.
    """
    output = order.output
    alone = len(videos) == len(order.images) == 1 and is_video(order.images[0])
    if alone and not output.is_dir():
        results = [output]
    elif output.is_file() or is_video(output):
        what = "is a file" if output.is_file() else "names one file"
        raise InputError(f"--output {output} {what}; several videos need a folder.")
    else:
        names = zip(videos, paths.names_of(videos), strict=True)
        results = [output / f"{name}{result_suffix(Path(path))}" for path, name in names]
    require_other_files(results, videos)
    return [Video(Path(video), result) for video, result in zip(videos, results, strict=True)]
