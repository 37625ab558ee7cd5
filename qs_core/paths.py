"""Paths as people write them: ~, patterns, folders, and names that a file system does not take."""

import contextlib
import glob
import os
import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from .errors import InputError

PICTURES = (  # what a folder's pictures are known by; a file that is named by itself may have any suffix
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".avif", ".heic", ".heif", ".tif", ".tiff"),
    *(".bmp", ".dib", ".gif", ".jp2", ".j2k", ".jpx", ".tga", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".psd", ".pcx"),
    *(".sgi", ".ico", ".icns", ".dds", ".qoi", ".hif"),
)
MOST_NAMED = 3  # of the files that were passed over


def expanded(path: str | Path) -> Path:
    """The path with ~ and ~name replaced by that person's folder; a file whose name begins so comes first."""
    path = Path(path)
    if str(path)[:1] != "~" or exists(path):
        return path
    try:
        return path.expanduser()
    except RuntimeError:  # nobody has that name
        return path


def exists(path: str | Path) -> bool:
    """Whether there is a file or folder; False for a name that no file system takes."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


def is_file(path: str | Path) -> bool:
    """Whether there is a file; False for a name that no file system takes."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def pictures_of(given: Sequence[str | Path]) -> tuple[list[str], list[str]]:
    """The picture files that names, patterns and folders mean, and a sentence for each thing that was passed over.

    What is named stands in its order. A pattern's and a folder's files are sorted, those that are no pictures are
    passed over, and a file that was there before is not taken again. A folder within a folder is not looked into.
    Raises InputError for a pattern that fits nothing and a folder without pictures.
    """
    found, told = [], []
    for name in map(str, given):
        files, others = _files(name)
        found.append(files)
        if others:
            told.append(f"{name}: passed over {_listed(others)}.")
    return once(found), told


def once(found: Iterable[Sequence[str]]) -> list[str]:
    """The files of each name in turn; of several that one name means, those that were there before are left out."""
    files, seen = [], set()
    for of_name in found:
        files += [file for file in of_name if len(of_name) == 1 or os.path.realpath(file) not in seen]
        seen |= {os.path.realpath(file) for file in of_name}
    return files


def meant(name: str | Path) -> list[Path] | None:
    """All that stands in a folder or fits a pattern, sorted; None for the name of a file. Raises InputError for a
    folder that cannot be read."""
    path = expanded(name)
    if exists(path) and path.is_dir():
        try:
            return sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
        except OSError as error:
            raise InputError(f"The folder {name} cannot be read ({error.strerror}). Name its pictures.") from error
    if exists(path) or not glob.has_magic(str(name)):
        return None
    return [Path(file) for file in sorted(glob.glob(str(path), recursive=True))]


def _files(name: str) -> tuple[list[str], list[str]]:
    """What one name means: its pictures, and the other files beside them."""
    entries, path = meant(name), expanded(name)
    if entries is None:
        return [str(path)], []
    pictures, others = _sorted_out(entries)
    if not pictures and exists(path):
        raise InputError(f"There is no picture in the folder {name}. Name a folder with pictures in it.")
    if not pictures:
        raise InputError(f"No picture fits the pattern {name}. Look at the folder and at the letters before the dot.")
    return pictures, others


def _sorted_out(entries: Iterable[Path]) -> tuple[list[str], list[str]]:
    """Picture files, and the names of what is none; a folder is neither."""
    files = [entry for entry in entries if not entry.is_dir()]
    pictures = [str(file) for file in files if file.suffix.lower() in PICTURES]
    return pictures, [file.name for file in files if file.suffix.lower() not in PICTURES]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def partial(path: Path) -> Path:
    """A name beside `path` for a file that is being written, short whatever that one's name is."""
    return path.with_name(f".{uuid.uuid4().hex}.partial")


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all. Raises InputError where it cannot be written."""
    unfinished = partial(path)
    try:
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        what = error.strerror or error
        raise InputError(f"Cannot write {path} ({what}). Choose a writable place with room for it.") from error


def require_possible(path: Path) -> None:
    """Raises InputError for a path whose name is too long, or has letters that the file system does not take."""
    there = next((folder for folder in path.parents if exists(folder)), Path())
    missing = path.parts[len(there.parts) :]
    for tried in (path, *(there / name for name in missing)):  # where its folder is missing a name is not looked at
        try:
            os.lstat(tried)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
        except (OSError, ValueError) as error:
            what = getattr(error, "strerror", None) or str(error)
            raise InputError(f"Cannot write {path} ({what}). Choose a shorter or plainer name.") from error


def names_of(pictures: Sequence[str | Path]) -> list[str]:
    """A name for each picture's results: its file's without the suffix, or with it where another's is the same.

    Names that differ in case alone are the same, as they are on some file systems. Raises InputError for two files of
    one name.
    """
    stems = [Path(picture).stem for picture in pictures]
    taken = Counter(stem.casefold() for stem in stems)
    names = [
        Path(picture).name if taken[stem.casefold()] > 1 else stem
        for picture, stem in zip(pictures, stems, strict=True)
    ]
    twice = next((name for name, count in Counter(map(str.casefold, names)).items() if count > 1), None)
    if twice:
        name = next(Path(picture).stem for picture, n in zip(pictures, names, strict=True) if n.casefold() == twice)
        raise InputError(f"Two pictures are named {name!r}, and so would be their results. Rename one.")
    return names
