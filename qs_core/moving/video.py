"""Video files by PyAV: frames out of one, and frames with the original's timing and sound into another."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import InputError
from ..paths import partial

CODECS = {".mp4": "libx264", ".m4v": "libx264", ".mov": "libx264", ".mkv": "libx264", ".webm": "libvpx-vp9"}
VIDEOS = (*CODECS, ".avi", ".mpg", ".mpeg", ".ts", ".wmv")  # what is taken for a video, by its suffix
QUALITY = "17"  # of both codecs; visually lossless, as the restyling has been the costly part
NOTE = "comment"  # the one entry that every kind of file here keeps
HIGH_DEFINITION = 720  # lines from which on colours are those of BT.709


def is_video(path: str | Path) -> bool:
    """Whether a name is that of a video file."""
    return Path(path).suffix.lower() in VIDEOS


def result_suffix(path: Path) -> str:
    """Of the restyled video of a video's file: its own where that can be written, else .mkv, which holds any sound."""
    return path.suffix if path.suffix.lower() in CODECS else ".mkv"


def note(path: Path) -> str:
    """What `write` noted in a file; empty where it noted nothing, or the file cannot be read."""
    try:
        with _reading(path) as container:
            return {name.lower(): value for name, value in container.metadata.items()}.get(NOTE, "")
    except InputError:  # no result of ours
        return ""


def count(path: Path) -> int:
    """How many frames a file has, by its head's count or estimate; 0: unknown. Raises InputError for one that cannot be
    read, or that has no picture stream."""
    with _reading(path) as container:
        stream = container.streams.video[0]
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        seconds = container.duration / 1e6 if container.duration else 0
        return stream.frames or round(seconds * rate)


def frames(path: Path, first: int = 0) -> Iterator[Image.Image]:
    """The frames from number `first` on, upright RGB pictures. Raises InputError for a file that is broken there."""
    with _reading(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for number, frame in enumerate(container.decode(stream)):
            if number >= first:
                yield _image(frame)


def check(path: Path, original: Path) -> None:
    """Raises InputError for a file that `write` cannot make of the original: its suffix, or a sound it cannot hold."""
    av = _av()
    if path.suffix.lower() not in CODECS:
        raise InputError(f"{path.name}: a video is written as one of {', '.join(CODECS)}. Choose such a name.")
    with _reading(original) as container, av.open(os.devnull, "w", format=_format(path)) as target:
        for sound in container.streams.audio:
            if sound.codec_context.name not in target.supported_codecs:
                raise InputError(
                    f"The sound of {original.name} is {sound.codec_context.name}, which {path.suffix} does not hold. "
                    "Write a .mkv."
                )


def write(path: Path, drawn: Iterable[Path], original: Path, noted: str = "") -> None:
    """The video of the picture files, one for each frame of the original, with its timing and its sound, and a note in
    its head.

    Sides that are odd grow by the edge's last line, as the codecs need. The file appears whole or not at all.
    Raises InputError where it cannot be written, and as `check` does.
    """
    check(path, original)
    av, unfinished = _av(), partial(path)
    try:
        with _reading(original) as source, av.open(str(unfinished), "w", format=_format(path)) as target:
            target.metadata[NOTE] = noted
            _transcribe(source, target, CODECS[path.suffix.lower()], iter(drawn))
        os.replace(unfinished, path)
    except (av.FFmpegError, OSError) as error:
        raise InputError(f"Cannot write {path} ({error}). Choose a writable place with room for it.") from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)


def _format(path: Path) -> str:
    suffix = path.suffix.lower()
    return {".mkv": "matroska", ".m4v": "mp4"}.get(suffix, suffix[1:])


def _transcribe(source, target, codec: str, drawn: Iterator[Path]) -> None:
    """Each frame's time from the source and its picture from the files; the sound's packets as they are."""
    timing, pictures = source.streams.video[0], (_even(Image.open(path).convert("RGB")) for path in drawn)
    first = next(pictures)
    stream = _picture_stream(target, codec, timing, first.shape[:2])  # all streams, before anything is written
    sounds = {sound.index: target.add_stream_from_template(sound) for sound in source.streams.audio}
    pictures = chain([first], pictures)
    for packet in source.demux(timing, *source.streams.audio):
        if packet.stream.index in sounds:
            if packet.dts is not None:  # the empty packet at a stream's end
                packet.stream = sounds[packet.stream.index]
                target.mux(packet)
            continue
        for timed in packet.decode():
            target.mux(stream.encode(_frame(next(pictures), timed)))
    target.mux(stream.encode())


def _picture_stream(target, codec: str, timing, size: tuple[int, int]):
    stream = target.add_stream(codec, rate=timing.average_rate or timing.guessed_rate, options={"crf": QUALITY})
    stream.height, stream.width = size
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = timing.time_base
    stream.codec_context.colorspace = _space(size[0])
    if codec == "libvpx-vp9":
        stream.codec_context.bit_rate = 0  # by quality alone
    return stream


def _even(picture: Image.Image) -> np.ndarray:
    array = np.asarray(picture)
    return np.pad(array, ((0, array.shape[0] % 2), (0, array.shape[1] % 2), (0, 0)), mode="edge")


def _frame(picture: np.ndarray, timed):
    av = _av()
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
    frame = frame.reformat(format="yuv420p", dst_colorspace=_space(picture.shape[0]))
    frame.pts, frame.time_base = timed.pts, timed.time_base
    return frame


def _image(frame) -> Image.Image:
    """Upright, in RGB; a file that does not say which colours it has is taken as players take it."""
    known = frame.colorspace in (1, 4, 5, 6, 7, 9)  # those that PyAV converts, as ITU H.273 numbers them
    space = frame.colorspace if known else _space(frame.height)
    array = frame.to_ndarray(format="rgb24", src_colorspace=space)
    return Image.fromarray(np.rot90(array, round(frame.rotation / 90) % 4))


def _space(height: int) -> int:
    from av.video.reformatter import Colorspace

    return Colorspace.ITU709 if height >= HIGH_DEFINITION else Colorspace.ITU601


@contextlib.contextmanager
def _reading(path: Path):
    """The opened file. Raises InputError where it is no video, or is broken within."""
    av = _av()
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise InputError(f"{path} has no picture stream. Give a video, or a folder of frames.")
            yield container
    except (av.FFmpegError, OSError) as error:
        raise InputError(f"{path} cannot be read as a video ({error}). Look whether it plays elsewhere.") from error


def _av():
    try:
        import av
    except ImportError as error:
        raise InputError(f"Videos need PyAV ({error}). Run: pip install av; or give a folder of frames.") from error
    return av
