"""Picture files and tensors, and fitting a picture to the network and back."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from qs_core.errors import InputError
from qs_core.pictures import (
    composite,
    coverage,
    fit,
    fit_mask,
    from_image,
    mask_from_image,
    mask_of,
    read,
    read_mask,
    to_image,
    write,
)

EIGHT_BITS = 1 / 255 + 1e-6  # half a grey level of [-1, 1], rounded once


def marked(height=6, width=9) -> np.ndarray:
    """(H, W, 3) uint8: red grows to the right, green downwards."""
    array = np.zeros((height, width, 3), np.uint8)
    array[..., 0] = np.linspace(0, 255, width).astype(np.uint8)
    array[..., 1] = np.linspace(0, 255, height).astype(np.uint8)[:, None]
    return array


def as_tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)


class TestRead:
    def test_layout_and_range(self, tmp_path):
        Image.fromarray(marked()).save(tmp_path / "p.png")
        tensor = read(tmp_path / "p.png")
        assert tensor.shape == (3, 6, 9) and tensor.dtype == torch.float32
        torch.testing.assert_close(tensor, as_tensor(marked()))
        assert tensor[0, 0].diff().min() > 0 and tensor[1, :, 0].diff().min() > 0

    @pytest.mark.parametrize("suffix", ["png", "webp", "tiff", "bmp", "jpg"])
    def test_formats(self, tmp_path, suffix):
        Image.fromarray(marked(32, 48)).save(tmp_path / f"p.{suffix}")
        assert (read(str(tmp_path / f"p.{suffix}")) - as_tensor(marked(32, 48))).abs().mean() < 0.1

    def test_exif_orientation_turns_it_upright(self, tmp_path):
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned clockwise
        Image.fromarray(marked()).save(tmp_path / "p.png", exif=exif)
        torch.testing.assert_close(read(tmp_path / "p.png"), as_tensor(np.rot90(marked(), -1).copy()))

    def test_alpha_is_laid_on_white(self, tmp_path):
        rgba = np.zeros((2, 2, 4), np.uint8)
        rgba[0, 0] = (255, 0, 0, 255)
        rgba[0, 1] = (255, 0, 0, 0)
        rgba[1, 0] = (0, 0, 0, 128)
        Image.fromarray(rgba).save(tmp_path / "p.png")
        tensor = read(tmp_path / "p.png")
        assert tensor[:, 0, 0].tolist() == [1, -1, -1] and tensor[:, 0, 1].tolist() == [1, 1, 1]
        torch.testing.assert_close(tensor[:, 1, 0], torch.full((3,), 127 / 127.5 - 1), rtol=0, atol=2 * EIGHT_BITS)

    def test_a_palette_with_a_transparent_colour(self, tmp_path):
        image = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
        image.putpalette([255, 0, 0, 0, 0, 255])
        image.save(tmp_path / "p.png", transparency=0)
        tensor = read(tmp_path / "p.png")
        assert tensor[:, 0, 0].tolist() == [1, 1, 1] and tensor[:, 0, 1].tolist() == [-1, -1, 1]

    @pytest.mark.parametrize("dtype, top", [(np.uint8, 255), (np.uint16, 65535)])
    def test_grey_of_8_and_16_bits(self, tmp_path, dtype, top):
        Image.fromarray(np.array([[0, top // 2, top]], dtype)).save(tmp_path / "p.png")
        tensor = read(tmp_path / "p.png")
        expected = torch.tensor([-1.0, 0.0, 1.0]).expand(3, 1, 3)
        torch.testing.assert_close(tensor, expected, rtol=0, atol=EIGHT_BITS)

    def test_one_bit(self, tmp_path):
        Image.fromarray(np.array([[True, False]])).save(tmp_path / "p.png")
        assert read(tmp_path / "p.png")[0].tolist() == [[1, -1]]

    def test_cmyk(self, tmp_path):
        Image.new("CMYK", (4, 4), (0, 0, 0, 0)).save(tmp_path / "p.tiff")
        torch.testing.assert_close(read(tmp_path / "p.tiff"), torch.ones(3, 4, 4))

    def test_missing(self, tmp_path):
        with pytest.raises(InputError, match="No picture at .*none.png"):
            read(tmp_path / "none.png")

    @pytest.mark.parametrize("content", [b"", b"hello", bytes(1000)])
    def test_no_picture(self, tmp_path, content):
        (tmp_path / "p.png").write_bytes(content)
        with pytest.raises(InputError, match="no picture that Pillow can read"):
            read(tmp_path / "p.png")

    @pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
    def test_truncated(self, tmp_path, suffix):
        noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
        path = tmp_path / f"p.{suffix}"
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(InputError, match="cannot be decoded|no picture"):
            read(path)


class TestWrite:
    def test_written_and_read_again(self, tmp_path):
        tensor = as_tensor(marked())
        write(tmp_path / "p.png", tensor, {"prompt": "un croquis à l'encre 墨"})
        torch.testing.assert_close(read(tmp_path / "p.png"), tensor, rtol=0, atol=1e-6)
        with Image.open(tmp_path / "p.png") as image:
            assert image.text == {"prompt": "un croquis à l'encre 墨"}
        assert [path.name for path in tmp_path.iterdir()] == ["p.png"]

    def test_values_are_clamped_and_rounded(self):
        image = to_image(torch.tensor([-3.0, 0.0039, 3.0]).view(3, 1, 1))
        assert image.getpixel((0, 0)) == (0, 128, 255)

    def test_an_unwritable_place(self, tmp_path):
        with pytest.raises(InputError, match="Cannot write .*Choose a writable place"):
            write(tmp_path / "none" / "p.png", torch.zeros(3, 4, 4))

    def test_an_image_survives_as_tensor(self):
        image = Image.fromarray(marked())
        assert np.array_equal(np.asarray(to_image(from_image(image))), marked())


sides = st.integers(12, 90)


class TestFit:
    @given(sides, sides, st.sampled_from([None, 32, 40]), st.sampled_from([2, 8, 32]), st.sampled_from(["pad", "crop"]))
    @settings(max_examples=60, deadline=None)
    def test_sides_are_multiples_and_the_frame_is_inside(self, height, width, size, multiple, mode):
        picture = torch.rand(1, 3, height, width) * 2 - 1
        short = size or min(height, width)
        if (mode == "crop" or size is None) and short < multiple:
            return
        fitted, frame = fit(picture, size, multiple, mode)
        assert fitted.shape[-2] % multiple == 0 and fitted.shape[-1] % multiple == 0
        assert fitted.abs().max() <= 1
        restored = frame.restore(fitted)
        assert restored.shape[-2:] == (frame.height, frame.width)
        if mode == "pad":
            assert min(frame.height, frame.width) == short
            assert frame.restore(fitted, "original").shape == picture.shape

    def test_strips(self):
        with pytest.raises(InputError, match="The picture is 900x100; at most 8:1 is taken"):
            fit(torch.zeros(1, 3, 100, 900), 32, 8)

    def test_padding_is_cut_off_again(self, picture):
        source = picture(1, height=30, width=45)
        fitted, frame = fit(source, None, 32)
        assert fitted.shape == (1, 3, 32, 64)
        torch.testing.assert_close(frame.restore(fitted), source, rtol=0, atol=0)
        torch.testing.assert_close(frame.restore(fitted, "original"), source, rtol=0, atol=0)

    def test_padding_mirrors_the_border(self):
        row = torch.arange(10.0).expand(1, 3, 10, 10) / 10
        fitted, _ = fit(row, None, 4)
        assert (fitted[0, 0, 5] * 10).round().tolist() == [1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 8]

    def test_a_picture_that_fits_is_left_alone(self, picture):
        for mode in ("pad", "crop"):
            fitted, frame = fit(picture(1), 32, 16, mode)
            torch.testing.assert_close(fitted, picture(1), rtol=0, atol=0)
            torch.testing.assert_close(frame.restore(fitted), picture(1), rtol=0, atol=0)

    def test_crop_takes_the_middle(self):
        row = torch.arange(70.0).expand(1, 3, 32, 70) / 70
        fitted, _ = fit(row, None, 32, "crop")
        torch.testing.assert_close(fitted, row[..., 3:67], rtol=0, atol=0)

    def test_aspect_is_kept(self, picture):
        fitted, frame = fit(picture(1, height=60, width=120), 32, 32)
        assert (frame.height, frame.width) == (32, 64) and fitted.shape[-2:] == (32, 64)

    def test_resizing_there_and_back_is_close(self, picture):
        source = picture(1, height=50, width=75)
        fitted, frame = fit(source, 64, 32)
        assert (frame.restore(fitted, "original") - source).abs().mean() < 0.02  # bicubic, up then down

    def test_a_cropped_picture_is_restored_as_its_crop(self, picture):
        fitted, frame = fit(picture(1, height=64, width=100), 32, 32, "crop")
        assert frame.restore(fitted, "original").shape[-2:] == (64, 64)

    @pytest.mark.parametrize(
        "shape, arguments, message",
        [
            ((1, 3, 7, 20), (32, 2), "The picture is 20x7; both sides need at least 8 pixels"),
            ((1, 3, 32, 32), (16, 32), "Size 16 is too small: this U-Net needs at least 32"),
            ((1, 3, 20, 40), (None, 32, "crop"), "At 40x20 no crop of 32 pixels a side is left"),
            ((1, 3, 32, 32), (32, 2, "stretch"), "Fit 'stretch' is unknown; choose one of pad, crop"),
        ],
    )
    def test_messages(self, shape, arguments, message):
        with pytest.raises(InputError, match=message):
            fit(torch.zeros(shape), *arguments)

    @pytest.mark.parametrize("bad", [float("nan"), float("inf")])
    def test_non_finite_pictures(self, bad):
        with pytest.raises(InputError, match="holds NaN or infinity"):
            fit(torch.full((1, 3, 32, 32), bad), 32, 2)

    def test_unknown_output_size(self):
        fitted, frame = fit(torch.zeros(1, 3, 32, 32), 32, 2)
        with pytest.raises(InputError, match="Output size 'huge' is unknown; choose network or original"):
            frame.restore(fitted, "huge")


class TestMask:
    def test_white_is_1_and_black_is_0(self, tmp_path):
        Image.fromarray(np.array([[0, 51, 255]], np.uint8)).save(tmp_path / "m.png")
        torch.testing.assert_close(read_mask(tmp_path / "m.png"), torch.tensor([[0.0, 0.2, 1.0]]))

    @pytest.mark.parametrize(
        "mode, white", [("L", 255), ("RGB", (255, 255, 255)), ("1", 1), ("I;16", 65535), ("F", 1.0)]
    )
    def test_modes(self, mode, white):
        assert mask_from_image(Image.new(mode, (3, 2), white)).tolist() == [[1, 1, 1], [1, 1, 1]]
        assert mask_from_image(Image.new(mode, (3, 2), 0)).max() == 0

    def test_transparent_is_outside(self):
        image = Image.new("RGBA", (2, 1), (255, 255, 255, 0))
        image.putpixel((0, 0), (255, 255, 255, 255))
        assert mask_from_image(image).tolist() == [[1, 0]]

    def test_a_missing_file(self):
        with pytest.raises(InputError, match="No picture at none.png"):
            read_mask("none.png")

    @pytest.mark.parametrize("shape", [(20, 30), (1, 20, 30), (1, 1, 20, 30), (1, 20, 30, 1), (20, 30, 1)])
    def test_of_the_pictures_size_it_is_kept(self, shape):
        mask = torch.rand(shape, generator=torch.Generator().manual_seed(0))
        assert torch.equal(mask_of(mask, 20, 30), mask.reshape(1, 1, 20, 30))

    @pytest.mark.parametrize("shape", [(10, 15), (200, 301), (40, 60), (7, 10)])
    def test_resized_it_keeps_its_values_ends(self, shape):
        assert torch.equal(mask_of(torch.ones(shape), 20, 30), torch.ones(1, 1, 20, 30))
        assert torch.equal(mask_of(torch.zeros(shape), 20, 30), torch.zeros(1, 1, 20, 30))
        half = torch.zeros(shape)
        half[:, : shape[1] // 2] = 1
        resized = mask_of(half, 20, 30)
        assert resized[..., :10].min() == 1 and resized[..., 20:].max() == 0

    def test_a_batch_of_masks(self):
        assert mask_of(torch.ones(3, 20, 30), 40, 60).shape == (3, 1, 40, 60)

    @pytest.mark.parametrize(
        "mask, message",
        [
            (torch.ones(30, 20), "The mask is 20x30 and the picture 30x20; give one of the same aspect"),
            (torch.ones(20, 33), "same aspect"),
            (torch.ones(0, 0), r"The mask has shape \(0, 0\); \(height, width\)"),
            (torch.ones(20), "has shape"),
            (torch.ones(1, 3, 20, 30), "has shape"),
            (torch.full((20, 30), 1.5), "The mask's values go from 1.5 to 1.5; 0 .keep. to 1"),
            (torch.full((20, 30), -0.5), "The mask's values go from -0.5"),
            (torch.full((20, 30), float("nan")), "The mask's values go from nan"),
        ],
    )
    def test_what_it_refuses(self, mask, message):
        with pytest.raises(InputError, match=message):
            mask_of(mask, 20, 30)

    @pytest.mark.parametrize("mode", ["pad", "crop"])
    @pytest.mark.parametrize("height, width, size", [(40, 48, 32), (40, 48, 40), (33, 57, None), (64, 64, 64)])
    def test_it_is_fitted_as_its_picture_is(self, mode, height, width, size):
        place = torch.linspace(-1, 1, width).expand(1, 3, height, width)
        fitted, _ = fit(place, size, 16, mode)
        mask = fit_mask((place[:, :1] + 1) / 2, size, 16, mode)
        assert mask.shape == (1, 1, *fitted.shape[-2:])
        # Bilinear for the one, bicubic for the other: a ramp's ends differ by a fraction of a pixel.
        torch.testing.assert_close(mask * 2 - 1, fitted[:, :1], rtol=0, atol=1.5 / min(width, size or width))


class TestComposite:
    def test_its_ends_are_exact_and_between_it_is_linear(self):
        generator = torch.Generator().manual_seed(0)
        result, source = (torch.randn(2, 3, 4, 5, generator=generator) for _ in range(2))
        share = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0]).expand(1, 1, 4, 5)
        mixed = composite(result, source, share)
        assert torch.equal(mixed[..., 0], source[..., 0]) and torch.equal(mixed[..., 4], result[..., 4])
        torch.testing.assert_close(mixed[..., 1:4], source[..., 1:4] + (result - source)[..., 1:4] * share[..., 1:4])
        assert torch.equal(composite(result, source, 0.0), source) and torch.equal(composite(result, source, 1), result)

    def test_what_is_not_taken_may_be_anything(self):
        wild, calm = torch.full((1, 3, 2, 2), float("nan")), torch.zeros(1, 3, 2, 2)
        assert torch.equal(composite(wild, calm, 0.0), calm) and torch.equal(composite(calm, wild, 1.0), calm)

    def test_pictures_of_two_sizes(self):
        with pytest.raises(InputError, match="The result is 5x4 and its source 6x4; they need one size"):
            composite(torch.zeros(1, 3, 4, 5), torch.zeros(1, 3, 4, 6), 1.0)

    def test_coverage(self):
        dial = torch.tensor([0.0, 0.05, 0.1, 0.5, 1.0])
        torch.testing.assert_close(coverage(dial), torch.tensor([0.0, 0.5, 1.0, 1.0, 1.0]))
        assert float(coverage(0.0)) == 0 and float(coverage(1.0)) == 1


class TestSource:
    """What a result that changes nothing looks like."""

    @pytest.mark.parametrize("size", [32, 40, 64])
    def test_at_its_own_size_it_is_the_original(self, size):
        original = torch.rand(1, 3, 40, 52) * 2 - 1
        fitted, frame = fit(original, size, 16)
        assert frame.source(original, fitted, "original") is original
        assert (frame.source(original, fitted, "network") is original) == (size == 40)
        assert frame.source(original, fitted, "network").shape[-2:] == frame.restore(fitted).shape[-2:]

    def test_of_a_cropped_picture_it_is_the_same_part(self):
        ramp = torch.linspace(-1, 1, 103)[None, None, None].expand(1, 3, 71, 103)
        for size in (None, 40):
            fitted, frame = fit(ramp, size, 32, "crop")
            same, restored = frame.source(ramp, fitted, "original"), frame.restore(fitted, "original")
            assert same.shape == restored.shape
            # A pixel of the ramp is 2 / 102; the part is known to a pixel of the original.
            torch.testing.assert_close(same, restored, rtol=0, atol=2.5 / 102)
