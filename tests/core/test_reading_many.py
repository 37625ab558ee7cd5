"""Pictures by the thousand: pixels × depth × profile × metadata × damage, against what was written into the file.

Never a traceback, never a wrong range: either the right values, or one line. In the short form 400 files, in the long
one 4000; ImageMagick, where it is there, says of some of them what it sees.
"""

import shutil
import struct
import subprocess
import zlib

import numpy as np
import pytest
import torch

from qs_core.errors import InputError
from qs_core.pictures import read
from tests.core.test_reading import CONVERTED, ODD, ROUNDED, jpeg, photo
from tests.core.written import ADOBE, P3, chunk, exif, managed, png, profile, tiff, turned, with_segments

SOFT = 12 / 255  # what JPEG loses at most of a soft picture, beside the profile
DARK = 15 / 255  # by how much LittleCMS's short numbers miss next to black, in a few pixels
PROFILES = {"none": None, "p3": (P3, 2.2), "adobe": (ADOBE, 2.2), "broken": None}


def packed(name: str) -> bytes:
    """The profile's bytes."""
    return profile(*PROFILES[name]) if PROFILES[name] else b"" if name == "none" else b"no profile at all"


def looks(share: np.ndarray, name: str) -> np.ndarray:
    return managed(share, *PROFILES[name]) if PROFILES[name] else share


def a_png(rng, name: str, number: int) -> tuple[bytes, np.ndarray, float]:
    """(file, what it looks like, tolerance) of a PNG with random pixels."""
    colour, channels = [(0, 1), (2, 3), (4, 2), (6, 4)][rng.integers(4)]
    depth = int(rng.choice([1, 2, 4, 8, 16] if colour == 0 else [8, 16]))
    top = 2**depth - 1
    share = rng.integers(0, top, (rng.integers(8, 14), rng.integers(8, 14), channels), endpoint=True)
    extra = chunk(b"iCCP", b"a\0\0" + zlib.compress(packed(name))) if name != "none" else b""
    if rng.random() < 0.3:
        extra += chunk(b"zTXt", b"workflow\0\0" + zlib.compress(bytes(3 << 20)))
    where = "after" if rng.random() < 0.5 else "extra"
    chunks = {"extra": extra, "after": b""}
    chunks[where] += chunk(b"eXIf", exif(number))
    values = share / top
    alpha = values[..., -1:] if channels in (2, 4) else 1.0
    opaque = np.broadcast_to(values[..., : 3 if channels > 2 else 1], (*values.shape[:2], 3))
    tolerance = CONVERTED + (DARK if PROFILES[name] else 0)
    return png(share, depth, colour, **chunks), looks(opaque, name) * alpha + 1 - alpha, tolerance


def a_tiff(rng, name: str, number: int) -> tuple[bytes, np.ndarray, float]:
    kind = np.dtype(str(rng.choice(["u1", "u2", "f4", "i2"])))
    channels, photometric = (3, 2) if kind.kind == "u" and rng.random() < 0.5 else (1, int(rng.integers(2)))
    if kind == np.dtype("i2"):
        photometric = 1  # nobody writes the other
    top = 1.0 if kind.kind == "f" else float(np.iinfo(kind).max)
    values = (rng.random((rng.integers(8, 14), rng.integers(8, 14), channels)) * top).astype(kind)
    order = "<>"[rng.integers(2)] if kind == np.dtype("u1") or channels == 3 else "<"  # what Pillow has of the rest
    share = values / top if photometric else 1 - values / top
    data = tiff(values, photometric, order, ((274, 3, number),) if number else ())
    return data, np.broadcast_to(share, (*share.shape[:2], 3)), ROUNDED


def a_jpeg(rng, name: str, number: int) -> tuple[bytes, np.ndarray, float]:
    array = photo(int(rng.integers(24, 50)), int(rng.integers(24, 50)))
    odd = ODD[str(rng.choice(list(ODD)))] if rng.random() < 0.5 else b""
    data = jpeg(array, subsampling=0, progressive=bool(rng.integers(2)), icc_profile=packed(name))
    segments = [(0xE1, b"Exif\0\0" + exif(number, "<", odd))]
    if rng.random() < 0.3:
        segments.append((0xED, rng.bytes(500)))
    return with_segments(data, *segments), looks(array / 255, name), SOFT + (30 / 255 if PROFILES[name] else 0)


KINDS = {"png": a_png, "tiff": a_tiff, "jpeg": a_jpeg}


def damaged(data: bytes, rng) -> bytes:
    """Cut, with wrong bytes, or with bytes left out or put in."""
    at = int(rng.integers(2, len(data)))
    some = rng.bytes(int(rng.integers(1, 20)))
    gap = data[:at] + data[at + 5 :]
    ways = (data[:at], data[:at] + some + data[at + len(some) :], gap, data[:at] + some + data[at:])
    return ways[rng.integers(4)]


def check(seed: int) -> str:
    """One file whole and the same file damaged; what became of the damaged one."""
    rng = np.random.default_rng(seed)
    kind, name = str(rng.choice(list(KINDS))), str(rng.choice(list(PROFILES)))
    number = int(rng.integers(0, 10))
    data, wanted, tolerance = KINDS[kind](rng, name, number)
    found = ((read(data) + 1) / 2).permute(1, 2, 0).numpy()
    wanted = turned(wanted, number)
    assert found.shape == wanted.shape, (seed, kind)
    assert np.abs(found - wanted).max() <= tolerance, (seed, kind, name)
    assert np.abs(found - wanted).mean() <= (tolerance if kind == "jpeg" else ROUNDED), (seed, kind, name)
    try:
        tensor = read(damaged(data, rng))
    except InputError as error:
        assert "\n" not in str(error) and str(error).endswith("."), (seed, error)
        return "refused"
    assert tensor.shape[0] == 3 and tensor.dtype == torch.float32, seed
    assert not tensor.isfinite().any() or -1 <= tensor[tensor.isfinite()].min() <= tensor[tensor.isfinite()].max() <= 1
    return "read"


@pytest.mark.parametrize("first", range(0, 400, 100))
def test_some(first):
    became = [check(seed) for seed in range(first, first + 100)]
    assert {"refused", "read"} == set(became)


@pytest.mark.slow
def test_many(request):
    if "slow" not in (request.config.option.markexpr or ""):
        pytest.skip("the long form: -m slow")
    assert {"refused", "read"} == {check(seed) for seed in range(1000, 5000)}


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_what_is_cut_is_refused_or_whole(kind):
    """Wherever a file is cut: one that is read looks as the whole one does."""
    noise = np.random.default_rng(5).integers(0, 256, (24, 32, 3))
    data = jpeg(noise.astype(np.uint8)) if kind == "jpeg" else png(noise, 8, 2)
    whole, read_at = read(data), []
    for kept in range(len(data) - 400, len(data)):
        try:
            assert torch.equal(read(data[:kept]), whole), kept
            read_at.append(kept)
        except InputError as error:
            assert "truncated" in str(error) or "no picture" in str(error)
    assert read_at and min(read_at) >= len(data) - 24


def imagemagick() -> str | None:
    """Its command, where it is there and itself."""
    for name in ("magick", "/usr/bin/convert", "convert"):
        if shutil.which(name):
            told = subprocess.run([name, "-version"], capture_output=True, text=True, check=False).stdout
            if told.startswith("Version: ImageMagick"):
                return name
    return None


@pytest.mark.skipif(not imagemagick(), reason="no ImageMagick")
@pytest.mark.parametrize("seed", range(12))
def test_imagemagick_sees_the_same(seed, tmp_path):
    data, _, _ = [a_png, a_tiff][seed % 2](np.random.default_rng(seed), "none", 1)
    if struct.pack("<HHIHxx", 339, 3, 1, 2) in data:
        pytest.skip("of signed numbers it has 0 grey, scikit-image and this library have it black")
    (tmp_path / "p").write_bytes(data)
    command = [imagemagick(), str(tmp_path / "p"), "-background", "white", "-alpha", "remove", "-depth", "16", "RGB:-"]
    seen = subprocess.run(command, check=True, capture_output=True).stdout
    found = ((read(data) + 1) / 2).permute(1, 2, 0).numpy()
    theirs = np.frombuffer(seen, "<u2").reshape(found.shape) / 65535
    assert np.abs(found - theirs).max() <= 2 * ROUNDED


def test_every_number_of_struct_is_one_that_files_have():
    """The writer itself: a PNG of one pixel, as the specification has it byte by byte."""
    assert png(np.array([[[7]]]), 8, 0)[:33] == bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010800000000"
    ) + struct.pack(">I", zlib.crc32(b"IHDR" + bytes.fromhex("00000001000000010800000000")))
