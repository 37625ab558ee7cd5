"""Training of the built-in unconditional ADM U-Net on 64x64 crops of photos, drawings and their renderings.

Ho et al. 2020, L_simple on the noise, plus 0.001 · L_vlb for the learned variance with the mean detached
(Nichol & Dhariwal 2021, eq. 16): the published networks were trained so.
"""

from __future__ import annotations

import copy
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import avg_pool2d

from qs_core import checkpoints
from qs_core.schedule import linear_betas
from qs_core.unets.adm import ADMConfig, ADMUNet

from .pool import SIZE, open_pool
from .state import resume, save_state

CONFIG = ADMConfig(
    num_channels=32,
    channel_mult=(1, 2, 3, 4),
    num_res_blocks=1,
    attention_factors=(4, 8),
    out_channels=6,
    use_scale_shift_norm=True,
    resblock_updown=True,
    num_head_channels=32,
)
CROP = 64
SOURCE_SHARE = 0.5  # of the batch are photo-like sources, the others renderings


class Crops:
    """Random 64x64 crops of the pool in [-1, 1], flipped at random; some sources at half scale."""

    def __init__(self, folder: Path, device: torch.device, seed: int):
        self.pairs, _ = open_pool(folder)
        self.device = device
        self.resident = torch.from_numpy(self.pairs[:]).to(device) if device.type == "cuda" else None
        self.rng = torch.Generator().manual_seed(seed)

    def _fetch(self, index: Tensor, side: Tensor) -> Tensor:
        if self.resident is not None:
            return self.resident[index.to(self.device), side.to(self.device)]
        return torch.from_numpy(self.pairs[index.numpy(), side.numpy()])

    def batch(self, size: int) -> Tensor:
        """(size, 3, 64, 64)."""
        index = torch.randint(len(self.pairs), (size,), generator=self.rng)
        side = (torch.rand(size, generator=self.rng) >= SOURCE_SHARE).long()
        pictures = self._fetch(index, side).permute(0, 3, 1, 2).float() / 127.5 - 1
        corner = torch.randint(SIZE - CROP + 1, (2, size), generator=self.rng).to(self.device)
        span = torch.arange(CROP, device=self.device)
        rows, columns = corner[0][:, None] + span, corner[1][:, None] + span
        each = torch.arange(size, device=self.device)[:, None, None]
        crops = pictures.permute(0, 2, 3, 1)[each, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
        # A quarter of the sources are seen whole at 64x64, so that small pictures of whole scenes are known as well.
        whole = ((side == 0) & (torch.rand(size, generator=self.rng) < 0.3)).to(self.device)
        crops = torch.where(whole[:, None, None, None], avg_pool2d(pictures, 2), crops)
        flip = (torch.rand(size, generator=self.rng) < 0.5).to(self.device)
        return torch.where(flip[:, None, None, None], crops.flip(3), crops).contiguous()


class Process:
    """The 1000-step linear process as tables on one device."""

    def __init__(self, device: torch.device):
        betas = linear_betas()
        alpha_bar = np.cumprod(1 - betas)
        previous = np.append(1.0, alpha_bar[:-1])
        posterior = betas * (1 - previous) / (1 - alpha_bar)
        table = {
            "alpha_bar": alpha_bar,
            "log_beta": np.log(betas),
            "log_posterior": np.log(np.append(posterior[1], posterior[1:])),
            "from_x0": betas * np.sqrt(previous) / (1 - alpha_bar),
            "from_x_t": (1 - previous) * np.sqrt(1 - betas) / (1 - alpha_bar),
        }
        self.table = {name: torch.tensor(values, dtype=torch.float32, device=device) for name, values in table.items()}

    def at(self, name: str, t: Tensor) -> Tensor:
        return self.table[name][t][:, None, None, None]

    def posterior_mean(self, x0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        return self.at("from_x0", t) * x0 + self.at("from_x_t", t) * x_t


def _decoder_nll(x0: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Negative log-likelihood of 8-bit pixels under a discretised Gaussian; Ho et al. eq. 13."""
    inverse = torch.exp(-0.5 * log_variance)
    cdf = torch.special.ndtr
    upper, lower = cdf(inverse * (x0 - mean + 1 / 255)), cdf(inverse * (x0 - mean - 1 / 255))
    upper, lower = torch.where(x0 > 0.999, 1.0, upper), torch.where(x0 < -0.999, 0.0, lower)
    return -(upper - lower).clamp(min=1e-12).log()


def losses(
    process: Process, output: Tensor, x0: Tensor, x_t: Tensor, noise: Tensor, t: Tensor
) -> tuple[Tensor, Tensor]:
    """(L_simple, L_vlb in bits per dimension), each a mean over the batch."""
    eps, values = output.chunk(2, dim=1)
    simple = (eps - noise).square().mean()
    alpha_bar = process.at("alpha_bar", t)
    predicted = ((x_t - (1 - alpha_bar).sqrt() * eps.detach()) / alpha_bar.sqrt()).clamp(-1, 1)
    mean = process.posterior_mean(predicted, x_t, t)
    share = (values + 1) / 2
    log_variance = share * process.at("log_beta", t) + (1 - share) * process.at("log_posterior", t)
    true_mean, true_log = process.posterior_mean(x0, x_t, t), process.at("log_posterior", t)
    kl = 0.5 * (log_variance - true_log - 1 + torch.exp(true_log - log_variance))
    kl = kl + 0.5 * (true_mean - mean).square() * torch.exp(-log_variance)
    nll = _decoder_nll(x0, mean, log_variance)
    return simple, torch.where((t == 0)[:, None, None, None], nll, kl).mean() / math.log(2)


def _save(path: Path, ema: ADMUNet) -> None:
    state = {name: tensor.half().contiguous().cpu() for name, tensor in ema.state_dict().items()}
    # What shapes cannot tell stands in the header, so that the file loads without guessing.
    config = {
        "num_head_channels": CONFIG.num_head_channels,
        "use_new_attention_order": False,
        "image_size": CROP,
        "noise_schedule": "linear",
        "variance": "learned",
    }
    checkpoints.write(path, state, config)


def train(args) -> None:
    """Train until `args.steps` or `args.minutes`, resuming from `unet.state.pt` in the working folder."""
    device, begun = torch.device(args.device), time.time()
    torch.manual_seed(args.seed)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    layout = torch.channels_last if device.type == "cuda" else torch.contiguous_format
    model = ADMUNet(CONFIG).to(device, memory_format=layout)
    for module in (model.out[2], *(b.proj_out for b in model.modules() if hasattr(b, "proj_out"))):
        torch.nn.init.zeros_(module.weight)
        torch.nn.init.zeros_(module.bias)
    if args.init:
        model.load_state_dict(
            {name: weight.float() for name, weight in load_file(args.init / "unet.safetensors").items()}
        )
    ema = copy.deepcopy(model).eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.01, betas=(0.9, 0.99))
    state_file = args.work / "unet.state.pt"
    step, spent, log = resume(state_file, model, ema, optimizer, device, args.seed)
    crops, process = Crops(args.work, device, args.seed + step), Process(device)
    forward = torch.compile(model) if args.compile else model
    first, running = step, torch.zeros(2, device=device)
    print(f"unet: {sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters, from step {step}", flush=True)
    while True:
        seconds = spent + time.time() - begun
        done = max(step / args.steps, seconds / 60 / args.minutes)
        if done >= 1 or time.time() - begun > 60 * args.stop_after:
            break
        warm = min(1.0, (step - first + 1) / 200)
        for group in optimizer.param_groups:
            group["lr"] = args.lr * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))
        x0 = crops.batch(args.batch)
        t = torch.randint(1000, (args.batch,), generator=crops.rng).to(device)
        noise = torch.randn(x0.shape, device=device)
        alpha_bar = process.at("alpha_bar", t)
        x_t = alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * noise
        with torch.amp.autocast(device.type, torch.bfloat16):
            output = forward(x_t.contiguous(memory_format=layout), t)
        simple, vlb = losses(process, output.float(), x0, x_t, noise, t)
        optimizer.zero_grad(set_to_none=True)
        (simple + 0.001 * vlb).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        decay = min(0.999, (1 + step) / (20 + step))
        with torch.no_grad():
            torch._foreach_lerp_(list(ema.parameters()), list(model.parameters()), 1 - decay)
        running = running.lerp(torch.stack([simple, vlb]).detach(), 0.02 if step > first else 1.0)
        step += 1
        if step % args.report == 0:
            row = [step, *(round(v, 5) for v in running.tolist()), round(seconds, 1)]
            log.append(row)
            print(f"unet: step {row[0]}  simple {row[1]}  vlb {row[2]}  {row[3]} s", flush=True)
        if step % args.save == 0:
            _save(args.out / "unet.safetensors", ema)
            save_state(state_file, model, ema, optimizer, step=step, seconds=seconds, log=log)
    save_state(state_file, model, ema, optimizer, step=step, seconds=seconds, log=log)
    _save(args.out / "unet.safetensors", ema)
    (args.work / "unet.log.json").write_text(
        json.dumps({"steps": step, "seconds": seconds, "batch": args.batch, "rows": log})
    )
