"""finetune: a style trained on a handful of pictures."""

from __future__ import annotations

from collections.abc import Callable

import torch
from tqdm import tqdm

from .. import finetune, pictures
from ..errors import InputError
from .shared import pictures_meant, require_writable, tell, walk_bar, weighed


def run(given: dict) -> int:
    """Train a style; a training that is interrupted keeps what is there."""
    take = given.pop
    images, output = pictures_meant(take("images")), take("output")
    folder = take("folder", None) or output.with_suffix("")
    if output.suffix.lower() not in (".safetensors", ".sft"):
        raise InputError(f"--output {output}: a style is a safetensors file; give a name ending in .safetensors.")
    require_writable(output)
    require_writable(folder / finetune.STATE)
    names = [take(name, default) for name, default in (("model", "demo"), ("clip_name", "demo"))]
    chosen = take("clip_pretrained", None), take("device", "auto"), take("model_options")
    prompts = weighed(given)
    settings = finetune.Training(**{**given, **prompts})
    training = finetune.prepare(images, *names, *chosen, settings, folder, tell)
    output.parent.mkdir(parents=True, exist_ok=True)
    if training.number:
        tell(f"goes on at iteration {training.number} of {training.total}")
    bar, row = None, []
    walk = finetune.run(training, output, _bar_of_moves())
    try:
        for done in walk:
            bar = bar or tqdm(total=done.total, initial=done.number - 1, desc="training", unit="step", leave=False)
            bar.set_postfix({name: f"{value:.3f}" for name, value in done.losses.items()}, refresh=False)
            bar.update(1)
            row.append(done.picture)
            if done.index == len(training.pictures) - 1:
                pictures.write(folder / f"epoch-{done.epoch + 1:03}.png", torch.cat(row, 2))
                row = []
    finally:
        walk.close()
        if bar:
            bar.close()
    print(output)
    return 0


def _bar_of_moves() -> Callable:
    progress = walk_bar()
    return lambda reached: progress("inversion", reached.number, reached.total, reached.step)
