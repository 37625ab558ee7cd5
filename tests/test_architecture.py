"""Who may import whom, and what the pack's text must not hold. Read from the source; nothing is imported."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [path for path in [ROOT / "__init__.py", *(ROOT / "qs_core").rglob("*.py"), *(ROOT / "nodes").rglob("*.py")]]
PACK = {path.relative_to(ROOT).with_suffix("").as_posix(): path for path in FILES if path.is_file()}

# Imports go downwards: to a lower rank, or to the same one inside a folder.
RANKS = {
    -2: "errors modes paths speech values",
    -1: "reading/*",
    0: "randomness demo checkpoints/* pictures finite colour",
    1: "lowrank schedule anchors crops unets/* features/* host blend detail",
    2: "checkpoints/specification protocol memory precision",
    2.5: "tiles",
    3: "losses/* model samplers",
    4: "guidance styles transfer trust_region",
    4.5: "moving/steady moving/flow moving",
    5: "presets settings codec",
    6: "networks",
    7: "stylizer",
    8: "finetune report",
    9: "pipeline",
    10: "jobs/* unguided",
    10.5: "moving/job moving/sequences moving/video",
    10.7: "commands/*",
}
RANK = {f"qs_core/{name}": rank for rank, names in RANKS.items() for name in names.split()}
RANK |= {"qs_core/__init__": 10, "qs_core/__main__": 11, "nodes/*": 11, "__init__": 12}

HOST = ("comfy", "folder_paths", "nodes", "server", "latent_preview")
SEAM = {f"nodes/{name}" for name in ("host", "images", "progress", "folders")}  # these know ComfyUI
SEAM |= {f"nodes/native/{name}" for name in ("differentiable", "loaded", "model", "session")}
# Registries' linters refuse these: a network's layers and its device are the host's to choose.
REFUSED = (
    "nn.Conv2d(",
    "nn.Linear(",
    "nn.GroupNorm(",
    "nn.LayerNorm(",
    "nn.Embedding(",
    ".cuda(",
    '.to("cuda"',
    "torch.autocast(",
)


def name_of(path: str) -> str:
    """qs_core/demo/__init__ → qs_core/demo; the three roots keep their own file's name."""
    folder = path.removesuffix("/__init__")
    return path if folder in (path, "qs_core", "nodes") else folder


def folder_of(name: str) -> str:
    return name.rpartition("/")[0]


def rank(name: str) -> int | None:
    """The module's rank; None where nobody gave it one."""
    parts = name.split("/")
    keys = [name, *("/".join([*parts[:k], "*"]) for k in range(len(parts), 0, -1)), "/".join(parts[:2])]
    return next((RANK[key] for key in keys if key in RANK), None)


def tree(path: str) -> ast.Module:
    return ast.parse(PACK[path].read_text(encoding="utf-8"))


def is_module(name: str) -> bool:
    return name in PACK or f"{name}/__init__" in PACK


def absolute_imports(node: ast.AST) -> Iterator[str]:
    """The top-level names of absolute imports below a node."""
    for child in ast.walk(node):
        if isinstance(child, ast.Import):
            yield from (alias.name.split(".")[0] for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.level == 0:
            yield child.module.split(".")[0]


def relative_imports(path: str) -> Iterator[str]:
    """The pack's modules that a module imports, by path."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom) and node.level:
            parts = [part for part in path.split("/")[: -node.level] if part]
            assert len(path.split("/")) >= node.level, f"{path} reaches above the pack"
            base = "/".join(parts + (node.module.split(".") if node.module else []))
            for alias in node.names:
                inner = f"{base}/{alias.name}".lstrip("/")
                target = inner if is_module(inner) else base
                yield name_of(target if target in PACK else f"{target}/__init__".lstrip("/"))


def test_the_pack_is_found():
    assert "qs_core/model" in PACK and len(PACK) > 20


def test_every_module_has_a_rank():
    assert [path for path in PACK if rank(name_of(path)) is None] == [], "give each a rank in RANKS"


def test_imports_go_downwards():
    bad = []
    for path in PACK:
        own = name_of(path)
        for target in relative_imports(path):
            same_folder = folder_of(target) == folder_of(own) != "qs_core" or folder_of(target) == own
            around = folder_of(own).startswith(f"{folder_of(target)}/") and folder_of(target) != "qs_core"
            beside = same_folder or around or target == "qs_core/errors"
            if rank(target) > rank(own) or (rank(target) == rank(own) and not beside):
                bad.append(f"{own} (rank {rank(own)}) imports {target} (rank {rank(target)})")
    assert bad == []


def test_the_pack_is_imported_relatively():
    for path in PACK:
        assert not {"qs_core", "tools", "tests"} & set(absolute_imports(tree(path))), path
        assert not any(target.split("/")[0] in ("tools", "tests") for target in relative_imports(path)), path


def test_comfyui_is_imported_in_functions_of_few_modules():
    def host(node: ast.AST) -> set[str]:
        return {name for name in absolute_imports(node) if name.startswith("comfy") or name in HOST}

    assert {path for path in PACK if host(tree(path))} == SEAM
    for path in SEAM:
        outside = [node for node in tree(path).body if not isinstance(node, ast.FunctionDef | ast.ClassDef)]
        classes = [child for node in tree(path).body if isinstance(node, ast.ClassDef) for child in node.body]
        outside += [child for child in classes if not isinstance(child, ast.FunctionDef)]
        assert [name for node in outside for name in host(node)] == [], path


def test_the_library_prints_nothing():
    for path in PACK:
        if path.startswith("qs_core/") and not path.startswith("qs_core/commands/"):
            calls = [node.func for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]
            assert not [call for call in calls if isinstance(call, ast.Name) and call.id == "print"], path


def test_nothing_is_there_that_a_linter_refuses():
    for path, file in PACK.items():
        text = file.read_text(encoding="utf-8")
        assert [pattern for pattern in REFUSED if pattern in text] == [], path


def test_the_core_needs_no_host():
    """Nothing of the library imports the nodes."""
    for path in PACK:
        if path.startswith("qs_core/"):
            assert not [target for target in relative_imports(path) if target.startswith("nodes")]


@pytest.mark.parametrize(
    "name, expected",
    [("qs_core/losses/clip", 3), ("qs_core/unets", 1), ("qs_core/demo", 0), ("nodes/host", 11), ("nodes/__init__", 11)],
)
def test_ranks_are_read_as_meant(name, expected):
    assert rank(name) == expected


def test_an_unknown_module_has_no_rank():
    assert rank("qs_core/helpers") is None


def test_evaluation_stands_beside_the_library():
    """It uses the library; of the library the command line alone knows it, and only where it is there."""
    for path in sorted((ROOT / "qs_evaluate").glob("*.py")):
        assert not {"nodes", "tools", "tests", *HOST} & set(
            absolute_imports(ast.parse(path.read_text(encoding="utf-8")))
        )
    users = [path for path in PACK if "qs_evaluate" in set(absolute_imports(tree(path)))]
    assert sorted(users) == ["qs_core/commands/arguments", "qs_core/commands/evaluate"]
