"""Many pictures: throughput of each engine, what the driver can serve, and the sizing of a cluster from both.

Throughput and the driver's seconds are measured on this machine. The sizing is simulated: the library's own sharing of
tasks on a clock of its own, with operations counted on networks without weights, and rates of GPUs that are assumed.
"""

from __future__ import annotations

import heapq
import importlib.util
import tempfile
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import open_clip
import torch
from PIL import Image

from qs_core import Settings, demo, pictures
from qs_core.jobs import pools, restyling
from qs_core.jobs.manifest import Manifest
from qs_core.jobs.pools import Done, Ready, each
from qs_core.unets.adm import ADMUNet

from . import report
from .cases import Case, clip_name, config_of
from .cost import Work, pulled
from .measuring import Spread, load_average

ENGINES = {"this process": ("local", 1), "2 processes": ("local", 2), "2 actors of Ray": ("ray", 2)}
SIDE, RESULT = (4000, 3000), 200_000  # a photo's pixels; bytes of a 256 px result with its texts
LOAD = 20.0  # seconds in which a worker of the sizing loads its networks


def engines() -> dict[str, tuple[str, int]]:
    """Those that this machine has."""
    return {name: how for name, how in ENGINES.items() if how[0] != "ray" or importlib.util.find_spec("ray")}


def run(case: Case, count: int) -> str:
    """Pictures an hour of each engine, with the built-in models; the case says the edits' size, crops and steps."""
    before, rows = load_average(), []
    walk = {"size": case.size, "steps": case.steps, "skip": case.skip, "crops": case.crops, "device": case.device}
    s = Settings("golden", **{**walk, **case.settings})
    with tempfile.TemporaryDirectory() as folder:
        photos = _photos(Path(folder), count, (64, 48))
        for name, (engine, workers) in engines().items():
            begun = time.perf_counter()
            times, names = [], []
            pool = pools.pool(restyling.Restyle(s), workers, engine, device=case.device)
            for entry in _job(photos, Path(folder) / name, s, pool):
                times.append(time.perf_counter())
                names.append(entry["worker"])
            at_work = next(k for k in range(count) if len(set(names[: k + 1])) == workers)
            steady = 3600 * (count - 1 - at_work) / (times[-1] - times[at_work])
            rows.append([name, f"{3600 * count / (times[-1] - begun):.0f}", f"{steady:.0f}"])
            print(rows[-1], flush=True)
    heads = ["workers", "pictures an hour, loading included", "once all are at work"]
    note = f"{count} pictures at {s.size} px, {s.steps} steps of which {s.skip} are skipped, {s.crops} crops, built-in "
    note += f"models; threads shared out among the workers: {torch.get_num_threads()}. "
    return f"{report.table(heads, rows)}\n\n{note}{report.surroundings(case.device, before)}"


def _photos(folder: Path, count: int, size: tuple[int, int]) -> list[str]:
    paths = [folder / f"{number}.jpg" for number in range(count)]
    with Image.open(demo.PICTURES["cat"]) as photo:
        for number, path in enumerate(paths):
            turned, grain = photo.convert("RGB").rotate(3 * number).resize(size), Image.effect_noise(size, 50)
            Image.blend(turned, grain.convert("RGB"), 0.15).save(path, quality=92)
    return [str(path) for path in paths]


def _job(photos: list[str], output: Path, s: Settings, pool: pools.Pool) -> Iterator[dict]:
    files = {(number, 0): output / f"{Path(photo).stem}-0.png" for number, photo in enumerate(photos)}
    with Manifest(output) as manifest, pool:
        yield from restyling.run(restyling.results(photos, files, s), s, manifest, pool)


def idle(announce) -> Callable[[restyling.Task], list[restyling.Made]]:
    """Work that gives a file of a result's size at once: what is left is the driver's time."""
    file = np.random.default_rng(0).bytes(RESULT)
    return lambda task: [restyling.Made(seed, file, {"seconds": {"total": 0.0}}) for seed in task.keys]


def driver(case: Case, count: int) -> tuple[str, dict[str, float]]:
    """The table of what a picture costs beside its walk, and these seconds."""
    before, seconds = load_average(), {}
    s, source = Settings("golden"), BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        photos = _photos(Path(folder), count, SIDE)
        megabytes = Path(photos[0]).stat().st_size / 1e6
        for name, (engine, workers) in engines().items():
            times = [
                time.perf_counter() for _ in _job(photos, Path(folder) / name, s, pools.pool(idle, workers, engine))
            ]
            seconds[f"driver, {name}"] = Spread(b - a for a, b in zip(times[2:-1], times[3:], strict=True))
        source = Path(photos[0]).read_bytes()
    seconds["decoding for a 256 px network"] = _clocked(lambda: pictures.take(source, 256), 5)
    seconds["decoding at its own size"] = _clocked(lambda: pictures.take(source), 3)
    small, large = torch.rand(3, 256, 341) * 2 - 1, pictures.take(source)
    seconds["encoding 341x256"] = _clocked(lambda: pictures.encode(small), 5)
    seconds["encoding at its own size"] = _clocked(lambda: pictures.encode(large), 3)
    rows = [[name, spread] for name, spread in seconds.items()]
    note = f"A photo of 12 million pixels, {megabytes:.1f} MB as JPEG; results of {RESULT / 1e6:.1f} MB. The driver "
    note += "reads, sends, receives, writes and notes; both writes are flushed to the disk. "
    text = f"{report.table(['a picture', 'seconds'], rows)}\n\n{note}{report.surroundings(case.device, before)}"
    return text, {name: spread.median for name, spread in seconds.items()}


def _clocked(work: Callable[[], object], count: int) -> Spread:
    taken = []
    for _ in range(count):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return Spread(taken)


def edit_flops(case: Case) -> float:
    """Floating-point operations of one edit: the inversion's and the guided steps', counted on tensors without data."""
    guided = int(case.steps) - case.skip
    with torch.device("meta"):
        unet, clip = ADMUNet(config_of(case)[0]), open_clip.model.CLIP(**open_clip.get_model_config(clip_name(case)))
        x, t = torch.empty(1, 3, case.size, case.size), torch.empty(1)
        side = clip.visual.image_size[0]
        crops = torch.empty(case.crops, 3, side, side)
    for network in (unet, clip):
        network.requires_grad_(False).eval()
    with Work() as walk, torch.no_grad():
        unet(x, t)
    with Work() as step:
        pulled(lambda leaf: unet(leaf, t), x)
        pulled(clip.encode_image, crops)
    return guided * (sum(walk.flops.values()) + sum(step.flops.values()))


class Simulated:
    """A pool on a clock of its own: each worker takes `seconds` a task, and the driver `served` for each in turn."""

    def __init__(self, count: int, seconds: float, served: float):
        self.count, self.seconds, self.served, self.clock, self.events = count, seconds, served, 0.0, []

    def begin(self, number: int) -> None:
        """Loading takes `LOAD`."""
        heapq.heappush(self.events, (self.clock + LOAD, number, "loaded"))

    def give(self, number: int, task: object) -> None:
        """The driver is busy for its part, then the worker for its own."""
        self.clock += self.served
        heapq.heappush(self.events, (self.clock + self.seconds, number, "done"))

    def wait(self) -> list:
        """The next thing to happen."""
        at, number, what = heapq.heappop(self.events)
        self.clock = max(self.clock, at)
        return [(number, Done(None) if what == "done" else Ready(str(number)))]


def sizing(case: Case, rates: list[float], gpus: list[int], parts: dict[str, float], tasks: int = 20_000) -> str:
    """Pictures an hour for numbers of GPUs at assumed rates (FLOP/s), by simulation with measured `parts`."""
    served = parts.get("driver, 2 actors of Ray", parts["driver, 2 processes"])
    beside = parts["decoding for a 256 px network"] + parts["encoding 341x256"]
    flops, rows = edit_flops(case), []
    for rate in rates:
        seconds = flops / rate + beside
        cells = []
        for count in gpus:
            pool = Simulated(count, seconds, served)
            made = sum(1 for _ in each(range(tasks), pool))
            cells.append(f"{3600 * made / pool.clock:.0f} ({100 * made * seconds / pool.clock / count:.0f} %)")
        rows.append([f"{rate / 1e12:.0f}", f"{seconds:.2f}", *cells, f"{seconds / served:.0f}"])
    heads = [
        "TFLOP/s reached (assumed)",
        "seconds a picture",
        *(f"{count} GPUs" for count in gpus),
        "GPUs a driver serves",
    ]
    note = (
        f"Simulated: pictures an hour (and how busy the GPUs are), {tasks} pictures, loading {LOAD:.0f} s. An edit is "
        f"{flops / 1e12:.0f} TFLOP, counted: U-Net {case.unet}, {case.size} px, CLIP {case.clip}, {case.crops} crops, "
        f"{case.skip} of {case.steps} steps skipped; without the encoder of the contrastive loss. A worker decodes and "
        f"encodes for {beside:.2f} s and the driver serves {served:.4f} s a picture, as measured."
    )
    return f"{report.table(heads, rows)}\n\n{note}"
