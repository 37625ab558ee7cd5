"""inspect, convert and presets: what a checkpoint is, and what settings there are."""

from __future__ import annotations

from .. import checkpoints
from ..checkpoints import specification
from ..checkpoints.known import by_file, by_sha256
from ..checkpoints.specification import Specification, located
from ..presets import PRESETS
from .shared import tell


def presets(given: dict) -> int:
    """Print the names of the settings that --preset takes, with where they are from."""
    for name, entry in PRESETS.items():
        print(f"{name:44}{entry.source:20}{entry.note}".rstrip())
    return 0


def convert(given: dict) -> int:
    """Write the checkpoint with its configuration, and print that."""
    print(_description(specification.convert(given["file"], given["output"], **given["model_options"] or {})))
    return 0


def inspect(given: dict) -> int:
    """Print the specification, and compare the SHA-256 where that is asked. Status 1: another, or none to compare."""
    file, expected = given["file"], given.get("sha256")
    print(_description(specification.inspect(file, **given["model_options"] or {})))
    if not ("verify" in given or expected):
        return 0
    path = located(file)
    digest = checkpoints.sha256(path)
    print(f"{'sha256':24}{digest}")
    if expected:
        return 0 if digest == expected else tell(f"{file} is not the file with SHA-256 {expected}.", 1)
    known, named = by_sha256(digest), by_file(path.name)
    if known:
        print(f"{'is':24}{known.name}, {known.file}")
        return 0
    if named and named.sha256:
        return tell(f"{file} is not the published {named.file}, whose SHA-256 is {named.sha256}.", 1)
    if named and named.size not in (None, path.stat().st_size):
        return tell(f"{file} is not the published {named.file}, which has {named.size} bytes.", 1)
    what = f"no SHA-256 is published of {named.file}" if named else "no published file with this SHA-256 is known"
    return tell(f"{file} cannot be verified: {what}.", 1)


def _description(found: Specification) -> str:
    """The rows as text, and which published files have this architecture."""
    rows = [f"{name:24}{_plain(value):32}{origin}" for name, value, origin in found.rows()]
    files = [f"{'shapes as of' if number == 0 else '':24}{known.name}" for number, known in enumerate(found.known)]
    return "\n".join([f"{'file':24}{found.name}", *rows, *files])


def _plain(value: object) -> str:
    return ", ".join(f"{part:g}" for part in value) if isinstance(value, tuple) else str(value)
