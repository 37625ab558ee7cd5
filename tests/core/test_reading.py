"""Picture files of every kind of pixels, profile, metadata and damage: the right values, or one line that says why not.

The files are written byte by byte, so that what they hold is known without a reader.
"""

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from qs_core.errors import InputError
from qs_core.pictures import read, read_mask, size_of, take, take_mask
from tests.core.written import (
    ADOBE,
    P3,
    SRGB,
    chunk,
    encoded,
    exif,
    managed,
    png,
    profile,
    tiff,
    turned,
    with_segments,
)

ROUNDED = 1.1 / 255  # of [0, 1]: once in the file, once in the reader
CONVERTED = 3.5 / 255  # by a profile, in 8 bits


def seen(file, **options) -> np.ndarray:
    """(H, W, 3) in [0, 1]."""
    return ((read(file, **options) + 1) / 2).permute(1, 2, 0).numpy()


def numbers(rng, top: int, channels: int, height: int = 9, width: int = 12) -> np.ndarray:
    """(H, W, channels) in 0…top, both ends included."""
    values = rng.integers(0, top, (height, width, channels), endpoint=True)
    values[0, 0], values[0, 1] = 0, top
    return values


def close(found: np.ndarray, wanted: np.ndarray, tolerance: float = ROUNDED) -> None:
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= tolerance


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


class TestPixels:
    """Range and polarity of whatever type the pixels have."""

    @pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
    def test_grey_png(self, rng, depth):
        values, top = numbers(rng, 2**depth - 1, 1), 2**depth - 1
        close(seen(png(values, depth, 0)), np.repeat(values / top, 3, axis=2))

    @pytest.mark.parametrize("depth", [8, 16])
    @pytest.mark.parametrize("colour, channels", [(2, 3), (4, 2), (6, 4)])
    def test_colour_and_alpha_png(self, rng, depth, colour, channels):
        values = numbers(rng, 2**depth - 1, channels)
        share = values / (2**depth - 1)
        alpha = share[..., -1:] if channels in (2, 4) else 1.0
        flat = share[..., : 3 if channels > 2 else 1] * alpha + (1 - alpha)
        close(seen(png(values, depth, colour)), np.broadcast_to(flat, (9, 12, 3)), 2 * ROUNDED)

    @pytest.mark.parametrize("depth", [8, 16])
    def test_a_transparent_grey_and_colour_of_png(self, rng, depth):
        values = numbers(rng, 2**depth - 1, 1)
        shown = np.where(values == values[4, 4], 1.0, values / (2**depth - 1))
        key = chunk(b"tRNS", struct.pack(">H", values[4, 4, 0]))
        close(seen(png(values, depth, 0, key)), np.repeat(shown, 3, axis=2))
        values = numbers(rng, 255, 3) * (1 if depth == 8 else 257)
        hidden = (values == values[4, 4]).all(axis=2, keepdims=True)
        key = chunk(b"tRNS", struct.pack(">HHH", *values[4, 4]))
        close(seen(png(values, depth, 2, key)), np.where(hidden, 1.0, values / (2**depth - 1)))

    @pytest.mark.parametrize("order", ["<", ">"])
    @pytest.mark.parametrize("photometric", [0, 1])
    @pytest.mark.parametrize("kind", ["u1", "u2", "u4", "i1", "i2", "i4", "f4"])
    def test_grey_tiff(self, rng, kind, photometric, order):
        kind = np.dtype(kind)
        top = 1.0 if kind.kind == "f" else float(np.iinfo(kind).max)
        share = rng.random((9, 12, 1))
        share[0, 0], share[0, 1] = 0, 1
        values = (share * top).astype(kind)
        try:
            found = seen(tiff(values, photometric, order))
        except InputError as error:
            assert "no picture that Pillow can read" in str(error)
            pytest.skip("this Pillow does not open it")
        shown = values / top if photometric else 1 - values / top
        if kind == np.int8 and not photometric:
            pytest.skip("nobody writes it")
        close(found, np.repeat(shown, 3, axis=2))

    @pytest.mark.parametrize("order", ["<", ">"])
    @pytest.mark.parametrize("kind", ["u1", "u2"])
    def test_colour_tiff(self, rng, kind, order):
        values = numbers(rng, np.iinfo(kind).max, 3).astype(kind)
        close(seen(tiff(values, 2, order)), values / np.iinfo(kind).max)

    @pytest.mark.parametrize(
        "scale, top", [(1.0, 1.0), (1.03, 1.0), (4.0, 1.0), (255.0, 255.0), (65535.0, 65535.0), (1e6, 1e6)]
    )
    def test_floats(self, rng, scale, top):
        values = (rng.random((9, 12, 1)) * scale).astype(np.float32)
        values[0, 0], values[0, 1] = -0.02, scale
        close(seen(tiff(values, 1)), np.repeat((values / top).clip(0, 1), 3, axis=2), 1e-4)

    def test_twelve_bits(self):
        values = np.array([[0, 1, 2048, 4095]])
        packed = np.packbits(((values[..., None] >> np.arange(11, -1, -1)) & 1).reshape(-1).astype(np.uint8))
        data = tiff(packed.reshape(1, 6, 1), 1)
        data = data.replace(struct.pack("<HHII", 256, 4, 1, 6), struct.pack("<HHII", 256, 4, 1, 4))
        data = data.replace(struct.pack("<HHIHxx", 258, 3, 1, 8), struct.pack("<HHIHxx", 258, 3, 1, 12))
        close(seen(data)[0, :, 0], values[0] / 4095)

    def test_cielab(self):
        lab = Image.frombytes("LAB", (3, 1), bytes([255, 0, 0, 0, 0, 0, 136, 80, 67]))  # white, black, a red
        file = io.BytesIO()
        lab.save(file, "TIFF")
        white, black, red = seen(file.getvalue())[0]
        assert white.min() > 0.99 and black.max() < 0.01
        assert red[0] > 0.9 and red[1:].max() < 0.2

    @pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "PA", "LA", "La", "RGBa", "RGBX", "HSV", "P", "1"])
    def test_every_mode_of_an_image(self, mode):
        source = Image.new("L", (4, 3), 255)
        steps = {"PA": ["P", "PA"], "La": ["LA", "La"], "RGBa": ["RGBA", "RGBa"], "CMYK": ["RGB", "CMYK"]}
        for step in steps.get(mode, ["RGB", mode] if mode in ("YCbCr", "HSV") else [mode]):
            source = source.convert(step)
        assert source.mode == mode
        assert (take(source) > 0.99).all() and (take_mask(source) > 0.99).all()


class TestProfiles:
    @pytest.mark.parametrize("columns, gamma", [(P3, 2.2), (ADOBE, 2.2), (SRGB, 1.8), (P3, 1.0)])
    def test_a_matrix(self, rng, columns, gamma):
        values = numbers(rng, 255, 3)
        packed = chunk(b"iCCP", b"made\0\0" + zlib.compress(profile(columns, gamma)))
        close(seen(png(values, 8, 2, packed)), managed(values / 255, columns, gamma), CONVERTED)

    @pytest.mark.parametrize("depth", [8, 16])
    def test_grey(self, rng, depth):
        values, top = numbers(rng, 2**depth - 1, 1), 2**depth - 1
        packed = chunk(b"iCCP", b"made\0\0" + zlib.compress(profile(gamma=1.8, space=b"GRAY")))
        wanted = np.repeat(managed(values / top, None, 1.8), 3, axis=2)
        close(seen(png(values, depth, 0, packed)), wanted, CONVERTED)

    def test_grey_pixels_with_a_profile_of_colours(self, rng):
        values = numbers(rng, 255, 1)
        packed = chunk(b"iCCP", b"made\0\0" + zlib.compress(profile(ADOBE, 1.8)))
        wanted = managed(np.repeat(values / 255, 3, axis=2), ADOBE, 1.8)
        close(seen(png(values, 8, 0, packed)), wanted, CONVERTED)

    def test_alpha_and_palette_beside_a_profile(self, rng):
        packed = chunk(b"iCCP", b"made\0\0" + zlib.compress(profile(P3, 2.2)))
        values = numbers(rng, 255, 4)
        alpha = values[..., 3:] / 255
        wanted = managed(values[..., :3] / 255, P3, 2.2) * alpha + 1 - alpha
        close(seen(png(values, 8, 6, packed)), wanted, CONVERTED)
        palette = rng.integers(0, 256, (16, 3))
        index = rng.integers(0, 16, (9, 12, 1))
        table = chunk(b"PLTE", palette.astype(np.uint8).tobytes())
        close(seen(png(index, 4, 3, packed + table)), managed(palette[index[..., 0]] / 255, P3, 2.2), CONVERTED)

    def test_srgbs_own_values_are_left_alone(self, rng):
        from PIL import ImageCms

        values = numbers(rng, 255, 3)
        srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        packed = chunk(b"iCCP", b"made\0\0" + zlib.compress(srgb))
        assert torch.equal(read(png(values, 8, 2, packed)), read(png(values, 8, 2)))

    @pytest.mark.parametrize(
        "broken",
        [b"", b"no profile", profile(P3)[:200], profile(P3)[:90] + bytes(400), profile(gamma=2.0, space=b"GRAY")],
    )
    def test_one_that_is_broken_or_of_other_pixels_is_passed_over(self, rng, broken):
        values = numbers(rng, 255, 3)
        packed = chunk(b"iCCP", b"made\0\0" + zlib.compress(broken))
        assert torch.equal(read(png(values, 8, 2, packed)), read(png(values, 8, 2)))

    def test_a_mask_is_numbers_and_has_no_colours(self, rng):
        values = numbers(rng, 255, 1)
        packed = chunk(b"iCCP", b"made\0\0" + zlib.compress(profile(gamma=1.0, space=b"GRAY")))
        assert np.abs(read_mask(png(values, 8, 0, packed)).numpy() - values[..., 0] / 255).max() < 1e-6

    @pytest.mark.parametrize("depth", [8, 16])
    def test_the_gamma_of_a_png(self, rng, depth):
        values, top = numbers(rng, 2**depth - 1, 1), 2**depth - 1
        linear = chunk(b"gAMA", struct.pack(">I", 100_000))
        wanted = np.repeat(encoded(values / top), 3, axis=2)
        close(seen(png(values, depth, 0, linear)), wanted, 13 / 255 if depth == 16 else ROUNDED)
        srgb = chunk(b"sRGB", b"\0")
        close(seen(png(values, depth, 0, srgb + linear)), np.repeat(values / top, 3, axis=2))


def jpeg(array: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "JPEG", quality=95, **options)
    return file.getvalue()


def photo(height: int = 40, width: int = 56) -> np.ndarray:
    """(H, W, 3) uint8: soft, so that JPEG keeps it, and with no symmetry."""
    y, x = np.mgrid[:height, :width]
    return np.stack([255 * x / width, 255 * y / height, 120 + 100 * np.sin(x / 9 + y / 5)], -1).astype(np.uint8)


ODD = {  # EXIF entries that some camera or program wrote, of 12 bytes
    "artist as a rational": struct.pack("<HHII", 0x010B, 5, 1, 2),
    "a count beyond the file": struct.pack("<HHII", 0x010E, 2, 1 << 30, 8),
    "a type that there is not": struct.pack("<HHII", 0x010F, 99, 1, 8),
    "resolution as text": struct.pack("<HHI4s", 0x011A, 2, 4, b"abc\0"),
    "a short below zero": struct.pack("<HHIhxx", 0x0100, 8, 1, -1),
    "a rational over zero": struct.pack("<HHII", 0x011A, 5, 1, 0),
    "a sub-folder in a loop": struct.pack("<HHII", 0x8769, 4, 1, 8),
    "text that is no text": struct.pack("<HHI4s", 0x0131, 2, 4, b"\xff\xfe\x80\x81"),
}


class TestMetadata:
    @pytest.mark.parametrize("odd", ODD)
    @pytest.mark.parametrize("number", [1, 6])
    def test_an_odd_tag_stops_no_picture_and_hides_no_orientation(self, odd, number):
        segment = b"Exif\0\0" + exif(number, "<", ODD[odd])
        found = seen(with_segments(jpeg(photo()), (0xE1, segment)))
        close(found, turned(photo() / 255, number), 0.1)

    @pytest.mark.parametrize("tag", [(0x010F, 3, 7), (0x013B, 4, 7), (0x011A, 3, 0), (0x8769, 4, 8)])
    def test_an_odd_tag_of_a_tiff(self, tag):
        close(seen(tiff(photo(), 2, "<", ((274, 3, 6), tag))), turned(photo() / 255, 6))

    @pytest.mark.parametrize("number", range(1, 9))
    @pytest.mark.parametrize("order", ["<", ">"])
    def test_orientations(self, number, order):
        values = photo(9, 12)
        wanted = turned(values / 255, number)
        for file in (
            png(values, 8, 2, chunk(b"eXIf", exif(number, order))),
            png(values, 8, 2, after=chunk(b"eXIf", exif(number, order))),
            tiff(values, 2, order, ((274, 3, number),)),
        ):
            close(seen(file), wanted)
        assert size_of(file) == wanted.shape[:2]
        for format in ("WEBP", "JPEG"):
            file = io.BytesIO()
            Image.fromarray(photo()).save(file, format, quality=95, exif=b"Exif\0\0" + exif(number, order))
            close(seen(file.getvalue()), turned(photo() / 255, number), 0.15)
            assert size_of(file.getvalue()) == turned(photo(), number).shape[:2]

    @pytest.mark.parametrize("number", [0, 9, 77, 65535])
    def test_an_orientation_that_there_is_not(self, number):
        close(seen(png(photo(), 8, 2, chunk(b"eXIf", exif(number)))), photo() / 255)

    @pytest.mark.parametrize("name", [b"tEXt", b"zTXt", b"iTXt"])
    @pytest.mark.parametrize("place", ["extra", "after"])
    def test_a_png_with_much_text(self, name, place):
        text = bytes(3 << 20)
        content = {
            b"tEXt": b"workflow\0" + b"x" * (3 << 20),
            b"zTXt": b"workflow\0\0" + zlib.compress(text),
            b"iTXt": b"workflow\0\1\0\0\0" + zlib.compress(text),
        }[name]
        values = photo()
        options = {place: chunk(name, content) + chunk(b"eXIf", exif(6))}
        close(seen(png(values, 8, 2, **options)), turned(values / 255, 6))

    def test_a_profile_larger_than_pillow_takes_is_applied(self, rng):
        values = numbers(rng, 255, 3)
        large = profile(P3, 2.2) + bytes(2 << 20)
        packed = chunk(b"iCCP", b"made\0\0" + zlib.compress(large))
        found = seen(png(values, 8, 2, packed))
        close(found, managed(values / 255, P3, 2.2), CONVERTED)

    def test_a_broken_text_chunk(self):
        broken = struct.pack(">I", 5) + b"tEXt" + b"a\0bcd" + b"\0\0\0\0"
        close(seen(png(photo(), 8, 2, broken)), photo() / 255)


class TestDamage:
    @pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 2}])
    def test_a_jpeg_without_its_end_is_whole_and_a_cut_one_is_not(self, options):
        noise = np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)
        data = jpeg(noise, **options)
        assert torch.equal(read(data[:-2]), read(data)) and torch.equal(read(data[:-1]), read(data))
        for kept in (0.95, 0.7, 0.4):
            with pytest.raises(InputError, match="truncated|no picture"):
                read(data[: int(kept * len(data))])

    def test_bytes_behind_the_end(self):
        for data in (jpeg(photo()), png(photo(), 8, 2)):
            assert torch.equal(read(data + b"\0" * 999), read(data))
            assert torch.equal(read(data + b"PK\x03\x04 and a film"), read(data))

    def test_a_png_without_its_end(self):
        data = png(photo(), 8, 2)
        assert torch.equal(read(data[:-12]), read(data))
        with pytest.raises(InputError, match="truncated"):
            read(data[: len(data) // 2])

    def test_a_png_whose_pixels_were_changed(self):
        data = bytearray(png(photo(), 8, 2))
        data[len(data) // 2] ^= 255
        with pytest.raises(InputError, match="cannot be decoded"):
            read(bytes(data))


class TestWhatItIs:
    """Files that are no pictures for Pillow are named."""

    @pytest.mark.parametrize(
        "data, told",
        [
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "is a HEIC picture, whatever its name says. Install pillow-heif"),
            (b"\0\0\0\x18ftypisom\0\0\0\0", "is a film"),
            (b"\xff\x0a" + bytes(50), "is a JPEG XL picture"),
            (b"<!DOCTYPE html><html>", "is a web page, not a picture"),
            (b"  <svg xmlns='x'/>", "is an SVG drawing"),
            (b"%PDF-1.7", "is a PDF"),
            (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(x) print\n", "is a PostScript drawing"),
            (b"version https://git-lfs.github.com/spec/v1", "is a Git LFS pointer"),
            (b"PK\x03\x04" + bytes(50), "is a zip archive"),
            (b"FUJIFILMCCD-RAW 0201", "is a camera's raw file"),
        ],
    )
    def test_by_its_first_bytes(self, data, told, monkeypatch, tmp_path):
        monkeypatch.setattr("qs_core.reading.foreign.importlib.util.find_spec", lambda name: None)
        (tmp_path / "IMG_1.jpg").write_bytes(data)
        with pytest.raises(InputError) as error:
            read(tmp_path / "IMG_1.jpg")
        assert told in str(error.value) and "IMG_1.jpg" in str(error.value) and "\n" not in str(error.value)

    def test_a_raw_files_preview_is_not_taken_for_it(self):
        for tag in ((254, 4, 1), (50706, 4, 1)):
            with pytest.raises(InputError, match="camera's raw file"):
                read(tiff(photo(), 2, "<", (tag,)))

    def test_heic_and_avif(self):
        heif = pytest.importorskip("pillow_heif")
        file = io.BytesIO()
        heif.from_pillow(Image.fromarray(photo(64, 64))).save(file, quality=95)
        close(seen(file.getvalue()), photo(64, 64) / 255, 0.2)


class TestLargePhotos:
    """What is large and more than the network sees is reduced before it is floats."""

    @pytest.fixture(autouse=True)
    def small_is_large(self, monkeypatch):
        monkeypatch.setattr("qs_core.reading.LARGE", 500_000)

    def test_any_other_is_left_as_it_is(self):
        data = jpeg(photo(600, 800))
        assert torch.equal(read(data, short_side=8), read(data))

    def test_a_jpeg_and_a_png_come_smaller_and_look_the_same(self):
        large = photo(800, 1200)
        small = np.asarray(Image.fromarray(large).resize((150, 100), Image.Resampling.BOX)) / 255
        for data in (jpeg(large), png(large, 8, 2), png(large.astype(int) * 257, 16, 2)):
            tensor = read(data, short_side=32)
            assert tensor.shape == (3, 100, 150)  # 800 / 8, at least three times 32
            close(((tensor + 1) / 2).permute(1, 2, 0).numpy(), small, 0.03)
            assert read(data, short_side=300).shape == (3, 800, 1200)
            assert size_of(data) == (800, 1200)

    def test_a_deep_one(self):
        values = np.linspace(0, 65535, 800 * 900).astype(int).reshape(800, 900, 1)
        tensor = read(png(values, 16, 0), short_side=100)
        assert tensor.shape == (3, 400, 450)
        assert (tensor[0, :, 0] - torch.linspace(-1, 1, 400)).abs().max() < 0.01

    def test_the_limit_says_what_to_do_and_is_lifted(self, monkeypatch):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
        monkeypatch.setattr("qs_core.reading.LARGE", 100)
        data, array = png(photo(50, 60), 8, 2), jpeg(photo(50, 60))
        with pytest.raises(InputError, match="is 60x50, 3000 pixels; at most 2000 .* set QS_MAX_PIXELS=3000"):
            read(data)
        with pytest.raises(InputError, match="QS_MAX_PIXELS"):
            size_of(data)
        assert read(array, short_side=8).shape == (3, 25, 30)  # a JPEG that is decoded smaller needs no more
        monkeypatch.setenv("QS_MAX_PIXELS", "3000")
        assert read(data).shape == (3, 50, 60)
        monkeypatch.setenv("QS_MAX_PIXELS", "lots")
        with pytest.raises(InputError, match="QS_MAX_PIXELS='lots' is no number of pixels"):
            read(data)


class TestForms:
    """A picture by path, bytes, open file, Pillow image, array and tensor."""

    def test_files(self, tmp_path, monkeypatch):
        data = png(photo(), 8, 2)
        (tmp_path / "p.png").write_bytes(data)
        wanted = read(tmp_path / "p.png")
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("USERPROFILE", str(tmp_path))
        begun = io.BytesIO(data)
        begun.read(9)
        with (tmp_path / "p.png").open("rb") as file:
            for form in (str(tmp_path / "p.png"), "~/p.png", data, bytearray(data), memoryview(data), begun, file):
                assert torch.equal(take(form), wanted)
                assert size_of(form) == (40, 56)
        with (tmp_path / "p.png").open(encoding="latin-1") as file, pytest.raises(InputError, match="as bytes"):
            take(file)

    def test_arrays(self):
        array = photo()
        wanted = take(Image.fromarray(array))
        for form in (array, array.astype(np.uint16) * 257, array / 255, (array / 255).astype(np.float32)):
            torch.testing.assert_close(take(form), wanted, rtol=0, atol=1e-6)
        grey = array[..., 0]
        for form in (grey, grey[..., None]):
            torch.testing.assert_close(take(form), take(Image.fromarray(grey)), rtol=0, atol=1e-6)
        alpha = np.dstack([array, grey])
        torch.testing.assert_close(take(alpha), take(Image.fromarray(alpha)), rtol=0, atol=0.01)
        assert take(grey > 99).unique().tolist() == [-1, 1]
        assert torch.equal(take(array[::-1, ::-1]), take(array).flip(1, 2))  # strides of any kind

    def test_tensors(self):
        wanted = take(Image.fromarray(photo()))
        eight = torch.from_numpy(photo()).permute(2, 0, 1)
        torch.testing.assert_close(take(eight), wanted, rtol=0, atol=1e-6)
        assert torch.equal(take(wanted.double()), wanted)
        with torch.inference_mode():
            inside = wanted.clone()
        assert not take(inside).is_inference()
        assert take(wanted * 1.4).max() > 1  # a sampler's own result goes a little beyond

    def test_an_image_that_pillow_opened_and_nobody_decoded(self):
        turned_on_its_side = with_segments(jpeg(photo()), (0xE1, b"Exif\0\0" + exif(6)))
        assert size_of(Image.open(io.BytesIO(turned_on_its_side))) == (56, 40)
        assert torch.equal(take(Image.open(io.BytesIO(turned_on_its_side))), read(turned_on_its_side))
        cut = Image.open(io.BytesIO(png(photo(), 8, 2)[:3000]))
        for ask in (size_of, take, take_mask):
            with pytest.raises(InputError, match="cannot be decoded .*truncated"):
                ask(cut)
        closed = Image.open(io.BytesIO(jpeg(photo())))
        closed.close()
        with pytest.raises(InputError, match="cannot be decoded"):
            take(closed)

    @pytest.mark.parametrize(
        "form, told",
        [
            (None, "cannot be a NoneType"),
            (3, "cannot be a int"),
            ({"image": 1}, "cannot be a dict with 'image'"),
            (np.zeros((3, 40, 56), np.uint8), "Transpose it"),
            (np.zeros((2, 40, 56, 3), np.uint8), "has shape"),
            (np.zeros((40, 56, 3), np.int64), "has type int64"),
            (np.full((40, 56, 3), 200.0), "values from 0 to 200"),
            (np.full((40, 56, 3), "x"), "has type <U1"),
            (torch.zeros(40, 56, 3), "has shape"),
            (torch.full((3, 40, 56), 255.0), "values from 255 to 255; floats from -1 to 1"),
            (torch.zeros(3, 40, 56, dtype=torch.int64), "has type int64"),
            ("", "No picture at"),
            ("a\0b.png", "No picture at"),
            ("x" * 5000, "No picture at"),
            ("https://example.org/a.png", "is an address. Fetch the file first"),
            (".", "is a folder"),
        ],
    )
    def test_what_is_none(self, form, told):
        with pytest.raises(InputError) as error:
            take(form)
        assert told in str(error.value) and "\n" not in str(error.value)

    def test_masks(self):
        half = np.zeros((4, 6))
        half[:, 3:] = 1
        wanted = torch.from_numpy(half).float()
        bytes_, words = (half * 255).astype(np.uint8), half.astype(np.int64) * 65535
        for form in (half, half > 0, half.astype(np.uint8), bytes_, words):
            assert torch.equal(take_mask(form), wanted)
            assert torch.equal(take_mask(torch.from_numpy(np.asarray(form))), wanted)
        assert torch.equal(take_mask(Image.fromarray(bytes_)), wanted)
        with pytest.raises(InputError, match="A mask cannot be a dict"):
            take_mask({})
