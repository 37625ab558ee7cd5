"""The texts of the nodes by language: English from the nodes themselves, the others by hand."""

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from . import pack

FOLDER = pack.ROOT / "locales"
# The page's translation takes these for its own syntax. A tooltip that holds one stays out: the page then shows the
# node's own text, which is the same.
SYNTAX = set("{}@|")


# The English texts that the others were translated from, by their digests: what changed since is to be looked at.
TRANSLATED = Path(__file__).with_name("translated.json")


def path(language: str) -> Path:
    """The file of the nodes' texts."""
    return FOLDER / language / "nodeDefs.json"


@cache
def read(language: str) -> Mapping:
    """The nodes' texts in a language."""
    return english() if language == "en" else json.loads(path(language).read_text(encoding="utf-8"))


def english() -> dict:
    """What the nodes say of themselves, as ComfyUI's page wants it."""
    names = pack.load().NODE_DISPLAY_NAME_MAPPINGS
    return {node: described(cls, names[node]) for node, cls in pack.classes().items()}


def described(cls: type, name: str) -> dict:
    """One node's texts."""
    inputs = {key: entry(key, spec[1]["tooltip"]) for key, spec in pack.inputs(cls).items()}
    said = zip(pack.outputs(cls), cls.OUTPUT_TOOLTIPS, strict=True)
    outputs = {str(slot): entry(output, tooltip) for slot, ((output, _), tooltip) in enumerate(said)}
    return {"display_name": name, "description": cls.DESCRIPTION, "inputs": inputs, "outputs": outputs}


def entry(name: str, tooltip: str) -> dict:
    """A name and its tooltip; without the latter where the page would misread it."""
    return {"name": name} if SYNTAX & set(tooltip) else {"name": name, "tooltip": tooltip}


def digests() -> dict[str, str]:
    """A digest of each English text, by its place."""
    found = {}
    for node, cls in pack.classes().items():
        said = {f"{node}.inputs.{name}": spec[1]["tooltip"] for name, spec in pack.inputs(cls).items()}
        said |= {f"{node}.outputs.{slot}": tooltip for slot, tooltip in enumerate(cls.OUTPUT_TOOLTIPS)}
        said |= {f"{node}.description": cls.DESCRIPTION}
        found |= {place: hashlib.sha256(words.encode()).hexdigest()[:12] for place, words in said.items()}
    return found


def text(said: Mapping) -> str:
    """The text of a file."""
    return json.dumps(said, indent=2, ensure_ascii=False) + "\n"


def write_english() -> None:
    """Write the English texts."""
    path("en").parent.mkdir(parents=True, exist_ok=True)
    path("en").write_text(text(english()), encoding="utf-8")


def write_translated() -> None:
    """Note that the translations are those of the English texts as they are now."""
    TRANSLATED.write_text(text(digests()), encoding="utf-8")
