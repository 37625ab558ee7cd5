"""Every public module, class and function of the library says what it is; pages and errors say the same."""

import ast
import re
from pathlib import Path

from qs_core import load_clip
from qs_core.checkpoints.known import KNOWN
from qs_core.presets import STYLES

ROOT = Path(__file__).parents[2]
FILES = [path for folder in ("qs_core", "qs_evaluate") for path in sorted((ROOT / folder).rglob("*.py"))]
OVERRIDES = {"forward", "against", "error"}  # documented where the interface is: Module, Loss, ArgumentParser
PARAGRAPH = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def undocumented(node: ast.Module | ast.ClassDef, name: str) -> list[str]:
    missing = [] if ast.get_docstring(node) else [name]
    for child in node.body:
        if not isinstance(child, PARAGRAPH) or child.name.startswith("_") or child.name in OVERRIDES:
            continue
        if isinstance(child, ast.ClassDef):
            missing += undocumented(child, f"{name}.{child.name}")
        elif not ast.get_docstring(child):
            missing.append(f"{name}.{child.name}")
    return missing


def test_everything_public_has_a_docstring():
    missing = {path: undocumented(ast.parse(path.read_text(encoding="utf-8")), path.stem) for path in FILES}
    assert {path.relative_to(ROOT).as_posix(): names for path, names in missing.items() if names} == {}


def pages() -> list[Path]:
    """What people read: the pages, the help, the notes of the workflows and the workflows."""
    found = [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("web/docs/**/*.md")]
    return [*found, *ROOT.glob("tools/templates/notes/*.md"), *ROOT.glob("workflows/*.json")]


def test_the_address_of_a_published_file_is_the_same_everywhere():
    """In pages, workflows and the error that names where a missing file is."""
    files = {Path(entry.file).name: entry for entry in KNOWN}
    seen = 0
    for page in pages():
        for address in re.findall(r"https?://[^\s)\"\\>\]]+", page.read_text(encoding="utf-8")):
            entry = files.get(address.rpartition("/")[2])
            if entry:
                seen += 1
                assert address in (entry.address, entry.mirror), (page.name, address)
                assert address in entry.advice, (page.name, address)
    assert seen > 30


def test_the_built_in_styles_have_the_same_names_everywhere():
    """In presets, in the error of the built-in CLIP, and in the notes that count them."""
    known = load_clip("demo").vocabulary.styles
    assert STYLES == {name.replace("_", " "): phrases[0] for name, phrases in known.items() if name != "photo"}
    plain = {phrase.removeprefix("a ").removeprefix("an "): name for name, phrase in STYLES.items()}
    counted = 0
    for page in pages():
        for count, names in re.findall(r"knows (\d+) styles: ([^.]+)\.", page.read_text(encoding="utf-8")):
            listed = re.split(r", | and ", names)
            found = {name if name in STYLES else plain.get(name) for name in listed}
            assert (int(count), found) == (len(STYLES), set(STYLES)), page.name
            counted += 1
    assert counted
