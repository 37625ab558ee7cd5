"""The report of a run: settings, what the automatic ones came to, seconds, memory, anchors and losses."""

import platform
import statistics
import sys
import time
from dataclasses import asdict, replace

import open_clip
import torch
from torch import Tensor

from .features.clip import CLIP
from .losses.contrastive import BoundContrastive, BoundWindows
from .settings import Settings
from .stylizer import Progress
from .transfer import Inversion

VERSION = "0.1.0"
CONTRASTIVE = BoundContrastive, BoundWindows


class Log:
    """What is noted while one picture is walked."""

    def __init__(self, settings: Settings, load_seconds: float):
        self.settings, self.load, self.begun = settings, load_seconds, time.perf_counter()
        self.inversion, self.taken, self.ratios, self.times, self.then = 0.0, [], [], [], self.begun

    def inverted(self) -> None:
        """The inversion is done."""
        self.then = time.perf_counter()
        self.inversion = self.then - self.begun

    def add(self, reached: Progress) -> None:
        """Note a guided step. The first of a portion begins a new list, of a portion that begins anew as well."""
        if reached.number == 1:
            self.taken, self.ratios, self.times = [], [], []
        now = time.perf_counter()
        self.taken.append(reached.step.losses)  # read at the end: reading waits for the device
        self.ratios.append(reached.step.ratio)
        self.times.append(now - self.then)
        self.then = now

    def report(self, inversion: Inversion, clip: CLIP, reached: Progress, blend: float | Tensor) -> dict:
        """The report of a portion, but for its settings."""
        seconds = {
            "total": self.load + self.then - self.begun,
            "load": self.load,
            "inversion": self.inversion,
            "guided_step": statistics.median(
                [each for each, row in zip(self.times, self.taken, strict=True) if row] or self.times
            ),
        }
        height, width = inversion.source.shape[-2:]
        return {
            "resolved": {
                "device": str(inversion.model.device),
                "clip_dtype": str(clip.dtype).removeprefix("torch."),
                "width": width,
                "height": height,
                **inversion.model.describe(),
                "masked": masked(blend, self.settings.strength),
                "memory_policy": reached.policy.describe(),
            },
            "versions": versions(),
            "seconds": {name: round(value, 4) for name, value in seconds.items()},
            "peak_memory_bytes": peak_memory(inversion.model.device),
            "anchors": next((b.loss.describe() for b in reached.terms if isinstance(b.loss, CONTRASTIVE)), []),
            "losses": [
                {name: [round(v, 6) for v in values.tolist()] for name, values in row.items()} for row in self.taken
            ],
            "guidance_ratio": [None if row is None else [round(v, 4) for v in row.tolist()] for row in self.ratios],
        }

    def with_settings(self, report: dict, seed: int) -> dict:
        """The report of one result."""
        shown = tuple(image if isinstance(image, str) else type(image).__name__ for image in self.settings.style_images)
        return {"settings": asdict(replace(self.settings, seed=seed, count=1, style_images=shown)), **report}


def masked(blend: float | Tensor, strength: float) -> float | None:
    """The share of the picture that a mask lets change; None without a mask, or where strength lets nothing change."""
    if not isinstance(blend, Tensor) or not strength:
        return None
    return round(float(blend.mean()) / strength, 4)


def versions() -> dict[str, str]:
    """The versions that a result depends on."""
    return {
        "qs_core": VERSION,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "open_clip": open_clip.__version__,
        "platform": platform.platform(),
    }


def peak_memory(device: torch.device) -> int | None:
    """Bytes: the accelerator's peak where one is used, else the process's; None where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
