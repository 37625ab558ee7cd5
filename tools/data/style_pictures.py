"""The style pictures that ship with the product: drawn scenes in procedural styles, all our own.

`python -m tools.data.style_pictures qs_core/demo/styles` writes them. Scenes, and the styles' settings, are held out:
no network was trained on them.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from . import scenes, styles

SIZE, QUALITY = 256, 88
PICTURES = {  # name: scene, style, seed
    "swirls": ("windmill", "van_gogh", 5),
    "stained_glass": ("butterfly", "stained_glass", 3),
    "woodblock": ("castle", "ukiyo_e", 4),
}


def drawn() -> Iterator[tuple[str, Image.Image]]:
    """Each picture with its name."""
    for name, (scene, style, seed) in PICTURES.items():
        rng = np.random.default_rng(seed)
        picture = scenes.draw(scene, rng, SIZE).astype(np.float32) / 255
        painted = styles.render(picture, style, rng, held_out=True)
        yield name, Image.fromarray((painted * 255).round().astype(np.uint8))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m tools.data.style_pictures FOLDER")
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in drawn():
        picture.save(folder / f"{name}.jpg", quality=QUALITY)
