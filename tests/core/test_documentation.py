"""Every public module, class and function of the library says what it is."""

import ast
from pathlib import Path

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
