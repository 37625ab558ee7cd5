"""A file on disk → state dict and metadata, safely: safetensors, or `torch.load(weights_only=True)`, nothing else.

A pickle with code in it is refused, never executed.
"""

import json
import pickle
import re
import warnings
import zipfile
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .errors import InputError

WRAPPERS = ("state_dict", "model", "ema", "model_state_dict")
SUFFIXES = (".safetensors", ".sft", ".pt", ".pth", ".ckpt", ".bin")


def read(path: str | Path) -> tuple[dict[str, Tensor], dict]:
    """The file's state dict (unwrapped, `module.` prefixes cut off) and what its header states of the configuration.

    Raises InputError for a missing, broken or unsafe file.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"No model file at {path}. Give the path of a .safetensors or .pt checkpoint, or 'demo'.")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty; the download may have failed. Fetch it again.")
    if path.suffix.lower() not in (".safetensors", ".sft"):
        return _unwrap(_read_pickle(path), path), {}
    state, header = _read_safetensors(path)
    return _unwrap(state, path), header


def _read_safetensors(path: Path) -> tuple[dict, dict]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is no readable safetensors file ({error}). Fetch it again.") from error
    return state, _header(metadata.get("qs_config", "{}"), path)


def _header(text: str, path: Path) -> dict:
    try:
        header = json.loads(text)
    except ValueError:
        header = None
    if not isinstance(header, dict):
        raise InputError(f"{path} has a broken header: its qs_config {text[:40]!r} is no JSON object. Fetch it again.")
    return header


def _read_pickle(path: Path) -> dict:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of the pickle's protocol
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        # torch's own message advises to load the file unsafely; only the name that it found is passed on.
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f"holds more than tensors: it names {named[1]}" if named else "is no file of tensors that torch can read"
        raise InputError(
            f"{path} {what}. It was not loaded: such a file is broken, or can run code. "
            "Use a safetensors file, or one saved with torch.save(model.state_dict())."
        ) from error
    except Exception as error:  # a damaged file can make the reader stumble over anything
        raise InputError(
            f"{path} is no readable checkpoint ({_first_line(error)}). Is it a model file, whole?"
        ) from error


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".strip().splitlines()[0][:200]


def _unwrap(state, path: Path) -> dict[str, Tensor]:
    for _ in range(3):
        inner = next(
            (state[key] for key in WRAPPERS if isinstance(state, dict) and isinstance(state.get(key), dict)), None
        )
        if inner is None:
            break
        state = inner
    tensors = (
        {key: value for key, value in state.items() if isinstance(value, Tensor)} if isinstance(state, dict) else {}
    )
    if not tensors:
        raise InputError(f"{path} holds no named tensors, so it is no model checkpoint. Choose a U-Net's state dict.")
    if all(key.startswith("module.") for key in tensors):
        tensors = {key.removeprefix("module."): value for key, value in tensors.items()}
    return tensors
