"""The cost model: operations and bytes of a guided step against what the machine can do; and a profile."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity
from torch.profiler import profile as profiler
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from qs_core.crops import cut, homographies
from qs_core.losses.clip import CLIPLoss
from qs_core.losses.contrastive import Contrastive
from qs_core.precision import DTYPES
from qs_core.randomness import seeded

from . import report
from .cases import Case
from .measuring import Spread, load_average, now, settle, walk_of, weights_of


class Work(TorchDispatchMode):
    """What the operations within cost: `flops` of convolutions and matrix products by the dtype of what they make, and
    the `bytes` that all of them read and write, if nothing stayed in a cache. Views cost nothing."""

    def __init__(self):
        super().__init__()
        self.flops, self.bytes = Counter(), 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        made = function(*arguments, **(options or {}))
        if function._overloadpacket in flop_registry:
            dtype = next(part.dtype for part in tree_leaves(made) if isinstance(part, Tensor))
            self.flops[dtype] += flop_registry[function._overloadpacket](*arguments, **(options or {}), out_val=made)
        if not function.is_view:
            touched = [*tree_leaves(arguments), *tree_leaves(options or {}), *tree_leaves(made)]
            self.bytes += sum(t.numel() * t.element_size() for t in touched if isinstance(t, Tensor))
        return made


def run(case: Case, count: int) -> str:
    """The table of a guided step's parts, with the machine's measured ceilings and the time that these allow."""
    before = load_average()
    with weights_of(case) as weights, tempfile.TemporaryDirectory() as output:
        begin = walk_of("ours", case, weights, Path(output))()
    ours = begin.__self__
    dtypes = dict.fromkeys((torch.float32, DTYPES[case.dtype], ours.text.clip.dtype))
    ceilings, bandwidth = {dtype: most_flops(dtype, case.device) for dtype in dtypes}, most_bytes(case.device)
    rows = []
    for name, work in parts(ours, begin):
        with Work() as spent:
            work()
        taken, flops = clocked(work, count, case.device), sum(spent.flops.values())
        least = max(sum(n / ceilings[dtype] for dtype, n in spent.flops.items()), spent.bytes / bandwidth)
        share = f"{100 * least / taken.median:.0f} %"
        rows.append([name, f"{flops / 2e9:.1f}", f"{spent.bytes / 1e9:.2f}", taken, f"{least:.3g}", share])
    heads = ["part", "GMAC", "GB moved", "seconds", "least seconds", "of the limit"]
    told = ", ".join(f"{n / 1e9:.0f} GFLOP/s in {str(d).removeprefix('torch.')}" for d, n in ceilings.items())
    note = (
        f"Ceilings measured on this machine: {told} (a convolution of 512 channels), {bandwidth / 1e9:.1f} GB/s (a "
        "copy). The least time is the greater of operations and bytes over these. Operations are convolutions and "
        "matrix products, two for each MAC; bytes as if nothing stayed in a cache."
    )
    return f"{report.table(heads, rows)}\n\n{note} {report.footnote(case, before)}"


def parts(ours, begin: Callable[[], Iterator]) -> Iterator[tuple[str, Callable[[], None]]]:
    """The parts of a guided step, each with its gradient to its input, and the step itself."""
    model, case = ours.model, ours.case
    clip = next(term.loss for term in ours.terms() if isinstance(term.loss, CLIPLoss))
    encode = next(term.loss.encode for term in ours.terms() if isinstance(term.loss, Contrastive))
    x = torch.randn(case.batch, 3, case.size, case.size, device=case.device)
    t = torch.full((case.batch,), 300.0, device=case.device)
    square = torch.randn(case.crops, 3, clip.text.clip.image_size, clip.text.clip.image_size, device=case.device)

    def warp(pictures: Tensor) -> Tensor:
        matrices = homographies(clip.crops, case.size, case.size, seeded(range(case.batch)))
        return cut(pictures, matrices, clip.text.clip.image_size, clip.crops.area)

    yield "U-Net, forward", lambda: model.unet(x, t)
    yield "U-Net, forward and pull-back", lambda: pulled(lambda leaf: model.unet(leaf, t), x)
    yield "encoder, forward and gradient", lambda: pulled(lambda leaf: encode(leaf)[-1], x)
    yield "crops, cut and gradient", lambda: pulled(warp, x)
    yield f"CLIP, {case.crops} crops, forward and gradient", lambda: pulled(clip.text.clip.encode_image, square)
    yield "VGG, forward and gradient", lambda: pulled(lambda leaf: ours.vgg(leaf)[-1], x)
    walk = begin()
    next(walk)
    yield "the guided step", lambda: next(walk)


def pulled(function: Callable[[Tensor], Tensor], x: Tensor) -> None:
    """The function's value and its gradient at x."""
    leaf = x.clone().requires_grad_()
    torch.autograd.grad(function(leaf).float().square().sum(), leaf)


def clocked(work: Callable[[], None], count: int, device: str) -> Spread:
    """Seconds of `count` runs after one that is not counted."""
    taken = []
    for _ in range(count + 1):
        settle(device)
        begun = now()
        work()
        settle(device)
        taken.append(now() - begun)
    return Spread(taken[1:])


def most_flops(dtype: torch.dtype, device: str) -> float:
    """Floating-point operations a second of a large convolution."""
    side = 64 if device == "cpu" else 256
    layer = torch.nn.Conv2d(512, 512, 3, padding=1).to(device, dtype, memory_format=torch.channels_last)
    x = torch.randn(1, 512, side, side, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        return 2 * 9 * 512**2 * side**2 / min(clocked(lambda: layer(x), 5, device))


def most_bytes(device: str) -> float:
    """Bytes a second of a large copy, read and written."""
    source = torch.ones(2**27, device=device)  # half a gigabyte: more than a cache holds
    target = torch.empty_like(source)
    return 2 * 4 * 2**27 / min(clocked(lambda: target.copy_(source), 5, device))


def profile(case: Case, count: int, trace: Path | None) -> str:
    """torch.profiler's table of `count` guided steps; `trace` is written for a browser's tracing page."""
    before = load_average()
    with weights_of(case) as weights, tempfile.TemporaryDirectory() as output:
        walk = walk_of("ours", case, weights, Path(output))()()
        next(walk)
        cuda = case.device.startswith("cuda")
        with profiler(activities=[ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * cuda) as seen:
            for _ in range(count):
                next(walk)
            settle(case.device)
    if trace:
        seen.export_chrome_trace(str(trace))
    by = "self_cuda_time_total" if cuda else "self_cpu_time_total"
    told = seen.key_averages().table(sort_by=by, row_limit=25, max_name_column_width=60)
    return f"```\n{told}```\n\n{count} steps. {report.footnote(case, before)}"
