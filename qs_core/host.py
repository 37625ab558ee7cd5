"""Host: whoever runs the library, owns the device's memory, and may ask to stop. LOCAL is a plain Python process."""

from typing import Protocol

import torch

from .errors import InputError, first_line

OUT_OF_MEMORY = getattr(torch, "OutOfMemoryError", torch.cuda.OutOfMemoryError)  # its name before torch 2.5
# How torch's other allocators, of Apple's GPUs and of the CPU, begin to say it; for them it has no exception.
SHORTAGES = (
    "MPS backend out of memory",
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
)


class Host(Protocol):
    """What the library asks of its host. A walk asks between its steps, and before each new attempt."""

    @property
    def device(self) -> torch.device:
        """Where networks run."""

    def free_memory(self, device: torch.device) -> int | None:
        """Bytes that are free on the device; None where nothing tells."""

    def is_shortage(self, error: Exception) -> bool:
        """Whether the error says that the device's memory ran out."""

    def release(self) -> None:
        """Give up memory that the host holds unused."""

    def check_cancelled(self) -> None:
        """Raises the host's own exception where the user asked to stop."""


class LocalHost:
    """A Python process of its own: torch's device, nobody to share it with, and Ctrl-C to stop."""

    @property
    def device(self) -> torch.device:
        """CUDA where there is one, else the CPU."""
        return choose_device("auto")

    def free_memory(self, device: torch.device) -> int | None:
        """Of a CUDA device alone."""
        return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None

    def is_shortage(self, error: Exception) -> bool:
        """Whether torch says so."""
        return out_of_memory(error)

    def release(self) -> None:
        """Nothing: torch empties its own cache before it says that memory ran out."""

    def check_cancelled(self) -> None:
        """Nothing: KeyboardInterrupt comes by itself."""


LOCAL = LocalHost()


def out_of_memory(error: Exception) -> bool:
    """Whether torch says that the device's memory ran out."""
    if isinstance(error, OUT_OF_MEMORY):
        return True
    # Of RuntimeErrors the plain ones alone: MemoryShortage quotes what torch said.
    return type(error) is RuntimeError and any(words in str(error) for words in SHORTAGES)


def choose_device(name: str) -> torch.device:
    """The torch device; "auto" is CUDA where there is one. Raises InputError for one that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except Exception as error:  # a backend that is not there can fail in any way
        reason = first_line(error).split(". ")[0]
        raise InputError(f"Device {name!r} is not available here ({reason}). Use --device cpu.") from error
    return device
