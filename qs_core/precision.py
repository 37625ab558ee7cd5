"""Number formats of the networks: a reduced one is taken only where the device computes in it."""

import time
import warnings
from collections.abc import Callable
from functools import cache

import torch
from torch.nn.functional import conv2d

from .errors import InputError
from .features.clip import CLIP
from .features.tower import readable

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
Say = Callable[[str], None]


def choose_dtype(name: str) -> str:
    """The dtype of the U-Net's torso by name; "auto" is float32 everywhere. Raises InputError for an unknown name."""
    if name not in ("auto", *DTYPES):
        raise InputError(f"dtype {name!r} is unknown; choose auto, {', '.join(DTYPES)}.")
    return "float32" if name == "auto" else name


def choose_clip_dtype(name: str, clip: CLIP, device: torch.device) -> str:
    """The dtype of CLIP's image tower by name. "auto" is bfloat16 for a vision transformer on a device that computes
    in it, else float32: bfloat16 is faster, and with the built-in CLIP no eye can tell the pictures apart."""
    if name != "auto":
        return choose_dtype(name)
    return "bfloat16" if readable(clip.network.visual) and computes("bfloat16", device) else "float32"


def warn_of_emulation(name: str, device: torch.device, say: Say = warnings.warn) -> None:
    """Tell by `say` that the device emulates this dtype, and how many times slower that is, as measured just now."""
    if name != "float32" and not computes(name, device):
        say(
            f"This device ({device}) emulates {name}: a convolution takes {slowdown(name, str(device)):.0f} times as "
            "long as in float32. Choose dtype float32, or auto."
        )


def computes(name: str, device: torch.device) -> bool:
    """Whether the device has instructions for the dtype, as far as torch tells.

    An x86 CPU tells of its instructions, and oneDNN of those that it may use. A CUDA GPU tells by its generation. Other
    devices tell nothing: they are taken to compute in float16, and not in bfloat16.
    """
    if name == "float32":
        return True
    if device.type == "cuda":
        has_bfloat16 = torch.version.hip is not None or torch.cuda.get_device_capability(device) >= (8, 0)
        return name == "float16" or has_bfloat16
    if device.type != "cpu":
        return name == "float16"
    needed = ("avx512_bf16", "amx_bf16") if name == "bfloat16" else ("avx512_fp16", "amx_fp16")
    return any(_instructions().get(each, False) for each in needed) and _onednn_uses(name)


def _instructions() -> dict:
    """The CPU's instruction sets by name; none where torch is too old to tell."""
    tell = getattr(torch.cpu, "get_capabilities", None)
    return tell() if tell else {}


def _onednn_uses(name: str) -> bool:
    """Whether oneDNN may use the dtype's instructions, which ONEDNN_MAX_CPU_ISA can forbid; true where torch does not
    tell, as an older one."""
    asked = f"_is_mkldnn_{'bf16' if name == 'bfloat16' else 'fp16'}_supported"
    return not hasattr(torch.ops.mkldnn, asked) or bool(getattr(torch.ops.mkldnn, asked)())


@cache
def slowdown(name: str, device: str) -> float:
    """How many times as long a small convolution takes in the dtype as in float32. Measured, in about 0.1 s."""

    def seconds(dtype: torch.dtype) -> float:
        x = torch.ones(1, 32, 32, 32, device=device, dtype=dtype)
        kernel = torch.ones(32, 32, 3, 3, device=device, dtype=dtype)
        taken = []
        for _ in range(4):
            begun = time.perf_counter()
            conv2d(x, kernel, padding=1).sum().item()  # reading waits for the device
            taken.append(time.perf_counter() - begun)
        return min(taken)

    with torch.no_grad():
        return seconds(DTYPES[name]) / seconds(torch.float32)
