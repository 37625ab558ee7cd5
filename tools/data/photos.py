"""Real photographs inside packages, with their licences and the fixed split.

They come with scikit-image, scikit-learn, and Debian's lomiri-wallpapers-16.04 (`apt-get install` it before training;
nothing else needs it). Only those are used whose package states a
public-domain dedication, CC0 or CC BY. Photos without a stated licence (moon, motorcycle, lfw_subset) or with only
"no known copyright restrictions" (coins, ihc) are left out.

There are few colour photos, so five of the six showpieces are split into disjoint regions: the subject (the whole
face, the pagoda, the cup ...) is held out and what stands beside it (foliage, wood, sky, fabric) is trained on, with
at least 8 px between the regions so that no pixel, nor its nearest neighbours, is shared. The cat is held out whole.

``python -m tools.data.photos FOLDER`` writes the small sample pictures that the product ships.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

Box = tuple[int, int, int, int]

PUBLIC_DOMAIN = "public domain"
CC0 = "CC0 1.0"
CC_BY = "CC BY 2.0"
CC_BY_4 = "CC BY 4.0"
ALLOWED_LICENCES = (PUBLIC_DOMAIN, CC0, CC_BY, CC_BY_4)
SEAM = 8

_FOLDERS = {"scikit-image": ("skimage", "data"), "scikit-learn": ("sklearn", "datasets/images")}
_DEBIAN_FOLDER = Path("/usr/share/backgrounds")


@dataclass(frozen=True)
class Photo:
    """A photo, or one region of it, with where it comes from and what it may be used for."""

    name: str
    package: str
    file: str
    licence: str
    attribution: str
    split: str
    box: Box | None


@dataclass(frozen=True)
class _Source:
    package: str
    file: str
    licence: str
    attribution: str

    def held_out(self, name: str, box: Box | None = None) -> Photo:
        return Photo(name, self.package, self.file, self.licence, self.attribution, "held_out", box)

    def train(self, name: str, box: Box | None = None) -> Photo:
        return Photo(name, self.package, self.file, self.licence, self.attribution, "train", box)


_ASTRONAUT = _Source(
    "scikit-image",
    "astronaut.png",
    PUBLIC_DOMAIN,
    "NASA Great Images database, Eileen Collins, https://flic.kr/p/r9qvLn",
)
_CHELSEA = _Source("scikit-image", "chelsea.png", CC0, "Stefan van der Walt")
_COFFEE = _Source("scikit-image", "coffee.png", CC0, "Rachel Michetti, courtesy of Pikolo Espresso Bar")
_ROCKET = _Source(
    "scikit-image", "rocket.jpg", PUBLIC_DOMAIN, "SpaceX, https://www.flickr.com/photos/spacexphotos/16511594820/"
)
_CHINA = _Source(
    "scikit-learn", "china.jpg", CC_BY, "danielbuechele, https://www.flickr.com/photos/danielbuechele/6061409035/"
)
_FLOWER = _Source(
    "scikit-learn",
    "flower.jpg",
    CC_BY,
    "vultilion, https://www.flickr.com/photos/vultilion/6056698931/ (the package's README names danielbuechele)",
)
_CAMERA = _Source("scikit-image", "camera.png", CC0, "Lav Varshney")
_HUBBLE = _Source("scikit-image", "hubble_deep_field.jpg", PUBLIC_DOMAIN, "NASA, HubbleSite, release 2012/37")
_RETINA = _Source("scikit-image", "retina.jpg", CC0, "Mikael Häggström, Wikimedia Commons")
_BRICK = _Source("scikit-image", "brick.png", CC0, "CC0Textures, Bricks25")
_GRASS = _Source("scikit-image", "grass.png", CC0, "linolafett, DeviantArt, Grass-01")
_GRAVEL = _Source("scikit-image", "gravel.png", CC0, "CC0Textures, Gravel04")


def _wallpaper(name: str, file: str, licence: str, author: str) -> Photo:
    return _Source("lomiri-wallpapers-16.04", file, licence, f"{author}, 2018").train(name)


PHOTOS: tuple[Photo, ...] = (
    _ASTRONAUT.held_out("astronaut", (0, 0, 340, 340)),
    _ASTRONAUT.train("astronaut_shuttle", (348, 0, 512, 512)),
    _ASTRONAUT.train("astronaut_suit", (0, 348, 340, 512)),
    _CHELSEA.held_out("cat"),
    _COFFEE.held_out("coffee", (0, 0, 488, 400)),
    _COFFEE.train("coffee_wood", (496, 0, 600, 400)),
    _FLOWER.held_out("flower", (158, 0, 470, 427)),
    _FLOWER.train("flower_leaves_left", (0, 0, 150, 427)),
    _FLOWER.train("flower_leaves_right", (478, 0, 640, 427)),
    _CHINA.held_out("pagoda", (0, 0, 345, 427)),
    _CHINA.train("china_lake", (353, 0, 640, 427)),
    _ROCKET.held_out("rocket", (136, 0, 504, 427)),
    _ROCKET.train("rocket_tower_left", (0, 0, 128, 427)),
    _ROCKET.train("rocket_tower_right", (512, 0, 640, 427)),
    _CAMERA.train("camera"),
    _HUBBLE.train("hubble"),
    _RETINA.train("retina"),
    _BRICK.train("brick"),
    _GRASS.train("grass"),
    _GRAVEL.train("gravel"),
    _wallpaper("wallpaper_mountain", "aitzgorri_by_Aitzol_Berasategi.jpg", CC_BY_4, "Aitzol Berasategi"),
    _wallpaper("wallpaper_dogs", "friends_by_Aitzol_Berasategi.jpg", CC_BY_4, "Aitzol Berasategi"),
    _wallpaper("wallpaper_stream", "life_by_Aitzol_Berasategi.jpg", CC_BY_4, "Aitzol Berasategi"),
    _wallpaper("wallpaper_peaks", "picosdeeuropa_by_Aitzol_Berasategi.jpg", CC_BY_4, "Aitzol Berasategi"),
    _wallpaper("wallpaper_sunset", "sunset_by_Aitzol_Berasategi.jpg", CC_BY_4, "Aitzol Berasategi"),
    _wallpaper("wallpaper_fig", "Picture_0B_by_freespace.jpg", CC_BY_4, 'Trevor "Freespace"'),
    _wallpaper("wallpaper_brushes", "Picture_1A_by_freespace.jpg", CC_BY_4, 'Trevor "Freespace"'),
    _wallpaper("wallpaper_room", "Wine_by_Jakkub_Mede.jpg", CC_BY_4, "Jakub Mede"),
    _wallpaper("wallpaper_gradient", "umang_by_Abhishek_Mudgal.jpg", CC_BY_4, "Abhishek Mudgal"),
    _wallpaper("wallpaper_dandelions", "seeding_by_Clements_Engelhardt.jpg", CC0, "Clemens Engelhardt"),
)

SAMPLES = ("astronaut", "cat", "coffee", "flower", "pagoda", "rocket")


def source_path(photo: Photo) -> Path:
    """The photo's file inside the installed package, found without importing the package's data loaders."""
    if photo.package not in _FOLDERS:
        return _DEBIAN_FOLDER / photo.file
    module, folder = _FOLDERS[photo.package]
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"{photo.package} is not installed; photo {photo.name!r} is one of its files")
    return Path(spec.submodule_search_locations[0]) / folder / photo.file


@cache
def _pixels(photo: Photo) -> np.ndarray:
    path = source_path(photo)
    if not path.is_file():
        raise FileNotFoundError(f"Photo {photo.name!r} is {path}, of {photo.package}. Install that package.")
    with Image.open(path) as picture:
        pixels = np.array(picture.convert("RGB").crop(photo.box) if photo.box else picture.convert("RGB"))
    pixels.setflags(write=False)
    return pixels


def load(photo: Photo) -> np.ndarray:
    """The region's pixels, uint8 (H, W, 3); a grey photo has three equal channels."""
    return _pixels(photo).copy()


def split(name: str) -> tuple[Photo, ...]:
    """The photos of one split, "train" or "held_out"."""
    if name not in ("train", "held_out"):
        raise ValueError(f"split must be 'train' or 'held_out', got {name!r}")
    return tuple(photo for photo in PHOTOS if photo.split == name)


def by_name(name: str) -> Photo:
    """The photo of that name."""
    for photo in PHOTOS:
        if photo.name == name:
            return photo
    raise KeyError(name)


def shrink(pixels: np.ndarray, short_side: int) -> np.ndarray:
    """The picture with its short side reduced to at most ``short_side``, aspect kept, antialiased."""
    height, width = pixels.shape[:2]
    scale = short_side / min(height, width)
    if scale >= 1:
        return pixels
    target = (round(width * scale), round(height * scale))
    return np.array(Image.fromarray(pixels).resize(target, Image.Resampling.LANCZOS))


def export_samples(folder: str | Path) -> tuple[Path, ...]:
    """Writes the sample pictures the product ships (short side at most 256 px) and LICENCES.md beside them."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in SAMPLES:
        path = folder / f"{name}.jpg"
        Image.fromarray(shrink(load(by_name(name)), 256)).save(path, quality=90, optimize=True)
        written.append(path)
    (folder / "LICENCES.md").write_text(_licences_text(), encoding="utf-8")
    return tuple(written)


def _licences_text() -> str:
    rows = [
        "# Sample pictures",
        "",
        "Each is a photograph, or the stated region of one, that comes with the named package; all were reduced to a",
        "short side of at most 256 px and saved again as JPEG. None of them was used for training.",
        "",
        "| picture | source | region | licence | attribution |",
        "|---|---|---|---|---|",
    ]
    for name in SAMPLES:
        photo = by_name(name)
        rows.append(
            f"| {name}.jpg | {photo.package}, `{photo.file}` | {region_text(photo)} | {licence_link(photo.licence)} "
            f"| {photo.attribution} |"
        )
    return "\n".join(rows) + "\n"


def region_text(photo: Photo) -> str:
    """The region in words, for the tables."""
    if photo.box is None:
        return "whole"
    left, top, right, bottom = photo.box
    return f"x {left}-{right}, y {top}-{bottom}"


def licence_link(licence: str) -> str:
    """The licence as Markdown, linked to its text where it has one."""
    addresses = {
        CC0: "https://creativecommons.org/publicdomain/zero/1.0/",
        CC_BY: "https://creativecommons.org/licenses/by/2.0/",
        CC_BY_4: "https://creativecommons.org/licenses/by/4.0/",
    }
    return f"[{licence}]({addresses[licence]})" if licence in addresses else licence


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m tools.data.photos FOLDER")
    for sample in export_samples(sys.argv[1]):
        print(f"{sample.name}: {sample.stat().st_size / 1000:.1f} kB")
