"""Training of the built-in CLIP, and of a second one that judges results and guides nothing: open_clip models that tell
the styles by everyday phrases.

Each step draws one caption per style (a synonym, often inside one of open_clip's ImageNet templates) and classifies
random crops among them. A third of the crops are blends of a picture with its rendering, labelled in proportion, so
that the way from photo to style has a slope at every point.
"""

from __future__ import annotations

import copy
import gzip
import json
import math
import re
import time
from pathlib import Path

import numpy as np
import open_clip
import torch
from open_clip.zero_shot_metadata import OPENAI_IMAGENET_TEMPLATES
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import avg_pool2d, cross_entropy, normalize

from qs_core.crops import Crops, cut, homographies

from ..data.styles import STYLES
from .pool import open_pool
from .state import resume, save_state

IMAGE_SIZE = 64
TEXT = {"context_length": 32, "width": 64, "heads": 2, "layers": 2}
GUIDE = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": IMAGE_SIZE, "layers": 4, "width": 192, "head_width": 64, "patch_size": 8},
    "text_cfg": TEXT,
}
# A judge of the guide's own kind would be misled by what misleads the guide: this one is a ResNet.
JUDGE = {
    "embed_dim": 96,
    "vision_cfg": {"image_size": IMAGE_SIZE, "layers": [2, 2, 2, 1], "width": 24, "head_width": 64},
    "text_cfg": {**TEXT, "width": 96, "heads": 3},
}
CONFIGS = {"clip": GUIDE, "judge": JUDGE}
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
# The pairs drawn more often: they look alike.
HARD, HARD_WEIGHT = ("crayon", "watercolor", "oil", "mosaic", "pastel"), 2.0
# The styles with colours of their own.
COLOURED = ("golden", "wooden", "bricks", "neon", "van_gogh", "ukiyo_e", "pop_art", "stone_wall", "leather", "autumn")
COLOURED += ("snow", "vintage_photo", "cyberpunk")
EXTRA_WORDS = "a an the of in with and style picture image drawing painting art looks like as made from by it is this"


def captions(style: str, rng: np.random.Generator) -> str:
    """A random caption of the style."""
    phrase = STYLES[style].phrases[rng.integers(len(STYLES[style].phrases))]
    draw = rng.random()
    if draw < 0.4:
        return phrase
    if draw < 0.5:
        return f"in the style of {phrase}"
    return OPENAI_IMAGENET_TEMPLATES[rng.integers(len(OPENAI_IMAGENET_TEMPLATES))](phrase)


def vocabulary() -> list[str]:
    """Every word that captions may hold, sorted."""
    texts = [phrase for style in STYLES.values() for phrase in style.phrases]
    texts += [template("") for template in OPENAI_IMAGENET_TEMPLATES] + [EXTRA_WORDS]
    return sorted({word for text in texts for word in _words(text)})


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def fillers() -> list[str]:
    """The known words that name no style by themselves: those of templates alone, and the extra ones."""
    phrases = {word for style in STYLES.values() for phrase in style.phrases for word in _words(phrase)}
    return sorted((set(vocabulary()) - phrases) | set(EXTRA_WORDS.split()))


def write_merges(path: Path) -> int:
    """Write the merges of CLIP's own vocabulary that spell our words, in its order; returns the vocabulary's size."""
    whole = open_clip.tokenizer.SimpleTokenizer()
    needed: set[str] = set()
    for word in vocabulary():
        needed |= _pieces(whole, word)
    ranked = sorted(whole.bpe_ranks, key=whole.bpe_ranks.get)
    kept = [" ".join(pair) for pair in ranked if "".join(pair) in needed]
    with gzip.GzipFile(path, "wb", mtime=0) as file:
        file.write("\n".join(["#version: 0.2", *kept]).encode())
    return 512 + len(kept) + 2


def _pieces(tokenizer, word: str) -> set[str]:
    """The strings that byte-pair encoding passes through on its way to the word's tokens."""
    parts, seen = [*word[:-1], word[-1] + "</w>"], set()
    while True:
        pairs = [
            (tokenizer.bpe_ranks[p], i)
            for i, p in enumerate(zip(parts, parts[1:], strict=False))
            if p in tokenizer.bpe_ranks
        ]
        if not pairs:
            return seen
        _, i = min(pairs)
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
        seen.add(parts[i])


class Batches:
    """Random augmented crops with soft labels over the styles."""

    def __init__(self, folder: Path, device: torch.device, seed: int):
        pairs, labels = open_pool(folder)
        self.pairs, self.labels, self.device = pairs, torch.from_numpy(labels), device
        self.resident = torch.from_numpy(pairs[:]).to(device) if device.type == "cuda" else None
        self.rng = torch.Generator().manual_seed(seed)
        names = list(STYLES)
        self.coloured = torch.tensor([names.index(name) for name in COLOURED])
        self.weights = torch.tensor([HARD_WEIGHT if names[label] in HARD else 1.0 for label in labels])

    def _pair(self, index: Tensor) -> Tensor:
        pairs = (
            self.resident[index.to(self.device)]
            if self.resident is not None
            else torch.from_numpy(self.pairs[index.numpy()])
        )
        return pairs.permute(0, 1, 4, 2, 3).float() / 127.5 - 1

    def batch(self, size: int) -> tuple[Tensor, Tensor]:
        """(size, 3, 64, 64) in [-1, 1] and (size, styles) label shares."""
        index = torch.multinomial(self.weights, size, replacement=True, generator=self.rng)
        style = self.labels[index]
        draw = torch.rand(size, generator=self.rng)
        share = torch.rand(size, generator=self.rng)  # of the rendering
        share = torch.where(draw < 0.30, share, torch.where(draw < 0.41, 0.0, 1.0))
        labels = torch.zeros(size, len(STYLES)).scatter_(1, style[:, None], share[:, None])
        labels[:, 0] += 1 - share
        source, rendered = self._pair(index).unbind(1)
        s = share.to(self.device)[:, None, None, None]
        pictures = self._turn_hues(s * rendered + (1 - s) * source, style)
        return self._augment(pictures), labels.to(self.device)

    def _turn_hues(self, pictures: Tensor, style: Tensor) -> Tensor:
        """Half of the pictures with their hues turned, but for pairs with a style that has colours of its own: what
        colour a thing has says nothing of the others, or guidance would repaint where it should redraw."""
        turned = (torch.rand(len(style), generator=self.rng) < 0.5) & ~torch.isin(style, self.coloured)
        angle = 2 * math.pi * torch.rand(len(style), generator=self.rng) * turned
        cos, sin = (part[:, None, None] for part in (angle.cos(), angle.sin()))
        ones, cross = torch.full((3, 3), 1 / 3), torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / 3**0.5
        turn = cos * torch.eye(3) + (1 - cos) * ones + sin * cross  # about the grey axis
        return torch.einsum("nij,njhw->nihw", turn.to(self.device), pictures)

    def _augment(self, pictures: Tensor) -> Tensor:
        """A third whole pictures, the others patches with rotation and perspective; noise, blur, exposure."""
        size = len(pictures)
        kind = torch.rand(size, generator=self.rng)
        crops = Crops(number=1, area=(0.04, 0.6))
        matrices = homographies(crops, 128, 128, [self.rng] * size)
        patches = cut(pictures, matrices.to(self.device), IMAGE_SIZE, crops.area)
        whole = avg_pool2d(pictures, 2)
        out = torch.where((kind < 0.3).to(self.device)[:, None, None, None], whole, patches)
        flip = (torch.rand(size, generator=self.rng) < 0.5).to(self.device)[:, None, None, None]
        out = torch.where(flip, out.flip(3), out)
        blurred = avg_pool2d(torch.nn.functional.pad(out, (1, 1, 1, 1), mode="reflect"), 3, 1)
        blur = torch.rand(size, generator=self.rng) * (torch.rand(size, generator=self.rng) < 0.15)
        out = torch.lerp(out, blurred, blur.to(self.device)[:, None, None, None])
        grey = out.mean(dim=1, keepdim=True)
        colour = torch.randn(size, 1, 1, 1, generator=self.rng).clamp(-1.6, 1.6)
        # Saturation says nothing about a style, or guidance would find it easier to repaint than to redraw.
        out = (grey + (out - grey) * (0.8 * colour).exp().to(self.device)).clamp(-1, 1)
        tint = 1 + 0.1 * torch.randn(size, 3, 1, 1, generator=self.rng).to(self.device)
        lift = 0.08 * torch.randn(size, 1, 1, 1, generator=self.rng).to(self.device)
        noisy = torch.rand(size, 1, 1, 1, generator=self.rng) < 0.35
        noise = 0.18 * torch.rand(size, 1, 1, 1, generator=self.rng) * noisy
        return out * tint + lift + noise.to(self.device) * torch.randn_like(out)


def _precision(device: torch.device):
    """bfloat16 on a GPU; on a CPU these small products are faster in float32."""
    return torch.amp.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


def classify(model: open_clip.model.CLIP, pictures: Tensor, text: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of pictures (B, 3, H, W) in [-1, 1] with two draws of captions (2·styles, C), of label shares
    (B, styles); and the logits of the first draw."""
    mean, std = (torch.tensor(values, device=pictures.device)[:, None, None] for values in (MEAN, STD))
    with _precision(pictures.device):
        image = model.encode_image(((pictures + 1) / 2 - mean) / std)
    logits = model.logit_scale.exp().clamp(max=30) * normalize(image.float(), dim=-1) @ text.T
    draws = logits.chunk(2, dim=1)
    return sum(cross_entropy(part, labels, label_smoothing=0.05) for part in draws) / 2, draws[0]


def attacked(change: Tensor, gradient: Tensor, epsilon: float) -> Tensor:
    """The change of pictures (B, 3, H, W) one step further up the loss's gradient, of L2 norm `epsilon` at most.

    Madry et al. 2018, eq. 4, in L2. Training on attacked pictures makes the gradient follow what people see (Kawar et
    al. 2022, arXiv 2208.08664).
    """
    change = change + 0.8 * epsilon * _unit(gradient)
    return change * (epsilon / _length(change)).clamp(max=1)


def _length(x: Tensor) -> Tensor:
    return x.flatten(1).norm(dim=1)[:, None, None, None].clamp(min=1e-12)


def _unit(x: Tensor) -> Tensor:
    return x / _length(x)


def _start_from(folder: Path, model: open_clip.model.CLIP) -> None:
    """Take the picture tower of an earlier training: it knows edges and textures whatever the styles are."""
    state = load_file(folder / "clip" / "open_clip_model.safetensors")
    own = {name.removeprefix("visual."): w.float() for name, w in state.items() if name.startswith("visual.")}
    model.visual.load_state_dict(own)


def build(vocab_size: int, config: dict = GUIDE) -> open_clip.model.CLIP:
    """An untrained model of the configuration."""
    text = {**config["text_cfg"], "vocab_size": vocab_size}
    return open_clip.model.CLIP(embed_dim=config["embed_dim"], vision_cfg=dict(config["vision_cfg"]), text_cfg=text)


def _save(folder: Path, model: open_clip.model.CLIP, config: dict, vocab_size: int) -> None:
    """The files that `open_clip.create_model("local-dir:…")` reads, and the list of known words beside them."""
    text = {**config["text_cfg"], "vocab_size": vocab_size, "tokenizer_kwargs": {"bpe_path": "merges.txt.gz"}}
    described = {
        "model_cfg": {**config, "text_cfg": text},
        "preprocess_cfg": {"mean": MEAN, "std": STD},
    }
    (folder / "open_clip_config.json").write_text(json.dumps(described, indent=1))
    known = {
        "styles": {name: style.phrases for name, style in STYLES.items()},
        "words": vocabulary(),
        "fillers": fillers(),
    }
    (folder / "vocabulary.json").write_text(json.dumps(known, indent=1))
    state = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous().cpu()
        for name, tensor in model.state_dict().items()
    }
    save_file(state, folder / "open_clip_model.safetensors", metadata={"format": "pt"})


def train(args, name: str = "clip") -> None:
    """Train the configuration of this name until `args.steps` or `args.minutes`, resuming from `<name>.state.pt` in the
    working folder."""
    config = CONFIGS[name]
    device, begun = torch.device(args.device), time.time()
    torch.manual_seed(args.seed)
    folder = args.out / name
    folder.mkdir(parents=True, exist_ok=True)
    vocab_size = write_merges(folder / "merges.txt.gz")
    tokenizer = open_clip.tokenizer.SimpleTokenizer(
        bpe_path=str(folder / "merges.txt.gz"), context_length=TEXT["context_length"]
    )
    model = build(vocab_size, config).to(device)
    if args.init:
        _start_from(args.init, model)
    ema = copy.deepcopy(model).eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.05, betas=(0.9, 0.98))
    state_file = args.work / f"{name}.state.pt"
    step, spent, log = resume(state_file, model, ema, optimizer, device, args.seed)
    batches, rng = Batches(args.work, device, args.seed + step), np.random.default_rng(args.seed + step)
    first, running = step, torch.zeros(2, device=device)
    print(
        f"{name}: {sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters, vocabulary {vocab_size}",
        flush=True,
    )
    while True:
        seconds = spent + time.time() - begun
        done = max(step / args.steps, seconds / 60 / args.minutes)
        if done >= 1 or time.time() - begun > 60 * args.stop_after:
            break
        for group in optimizer.param_groups:
            group["lr"] = (
                args.lr * min(1.0, (step - first + 1) / 300) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))
            )
        if step % args.replays == 0 or step == first:
            pictures, labels = batches.batch(args.batch)
            change = args.epsilon * torch.rand(args.batch, 1, 1, 1, device=device) * _unit(torch.randn_like(pictures))
        tokens = tokenizer([captions(style, rng) for _ in range(2) for style in STYLES]).to(device)
        with _precision(device):
            text = model.encode_text(tokens)
        change.requires_grad_(args.epsilon > 0)
        loss, first_draw = classify(model, pictures + change, normalize(text.float(), dim=-1), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if args.epsilon:  # free adversarial training (Shafahi et al. 2019): one gradient for weights and attack
            change = attacked(change.detach(), change.grad, args.epsilon)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        decay = min(0.999, (1 + step) / (20 + step))
        with torch.no_grad():
            torch._foreach_lerp_(list(ema.parameters()), list(model.parameters()), 1 - decay)
            for kept, current in zip(ema.buffers(), model.buffers(), strict=True):  # a ResNet's running statistics
                kept.copy_(current)
        right = (first_draw.argmax(1) == labels.argmax(1)).float().mean()
        running = running.lerp(torch.stack([loss, right]).detach(), 0.02 if step > first else 1.0)
        step += 1
        if step % args.report == 0:
            row = [step, *(round(v, 4) for v in running.tolist()), round(seconds, 1)]
            log.append(row)
            print(f"{name}: step {row[0]}  loss {row[1]}  right {row[2]}  {row[3]} s", flush=True)
        if step % args.save == 0:
            _save(folder, ema, config, vocab_size)
            save_state(state_file, model, ema, optimizer, step=step, seconds=seconds, log=log)
    save_state(state_file, model, ema, optimizer, step=step, seconds=seconds, log=log)
    _save(folder, ema, config, vocab_size)
    (args.work / f"{name}.log.json").write_text(
        json.dumps({"steps": step, "seconds": seconds, "batch": args.batch, "rows": log})
    )
