"""`python -m tools.train.styles`: trains the styles that come with the pack, on eight of the training photos.

Each takes some 80 iterations. The six bundled photos are none of them.
"""

import random
import tempfile
from pathlib import Path

import torch

from qs_core import demo, finetune, load_clip, load_model, text_direction
from tools.data import photos

STYLES = {"golden": ("golden", {"inversion_points": 16})}
COUNT, SMALLEST = 8, 128  # photos, and pixels of their short side


def training_photos() -> list[torch.Tensor]:
    """(3, H, W) in [-1, 1]: the same few, drawn from the colour photos of the training split."""
    loaded = [photos.load(photo) for photo in photos.PHOTOS if photo.split == "train"]
    large = [pixels for pixels in loaded if pixels.ndim == 3 and min(pixels.shape[:2]) >= SMALLEST]
    random.Random(1).shuffle(large)
    return [torch.from_numpy(pixels.copy()).movedim(-1, 0).float() / 127.5 - 1 for pixels in large[:COUNT]]


def training(prompt: str, folder: Path, **options) -> finetune.FineTuning:
    """The training of a style by the built-in networks on these photos; its state is kept in the folder."""
    model, clip, settings = load_model(), load_clip("demo"), finetune.Training((prompt,), **options)
    text = text_direction(clip, settings.prompts, templates=True)
    taken = finetune.squares(training_photos(), settings.size, model)
    return finetune.FineTuning(model, taken, settings.terms(text), settings, folder)


def main() -> None:
    """Train each style and write its file."""
    for name, (prompt, options) in STYLES.items():
        with tempfile.TemporaryDirectory() as folder:
            begun = training(prompt, Path(folder), **options)
            for done in finetune.run(begun, demo.FOLDER / "styles" / f"{name}.safetensors"):
                told = ", ".join(f"{loss} {value:.3f}" for loss, value in done.losses.items())
                print(f"{name}: {done.number} of {done.total}, {told}", flush=True)


if __name__ == "__main__":
    main()
