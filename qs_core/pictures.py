"""Picture files ⇄ tensors, and fitting a picture to what the U-Net needs without squashing it."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from einops import rearrange
from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError
from torch import Tensor
from torch.nn.functional import interpolate, pad

from .errors import InputError

Converted = TypeVar("Converted")

FITS = ("pad", "crop")
OUTPUT_SIZES = ("network", "original")
SMALLEST = 8  # pixels a side: below that there is nothing to restyle
LONGEST = 8  # times the short side
FADE = 0.1  # the dial below which the result fades into the source


def read(path: str | Path) -> Tensor:
    """(3, H, W) float32 in [-1, 1]: upright by its EXIF tag, alpha composited on white, grey and 16 bit taken as such.

    Raises InputError for a file that is missing, no picture, or truncated.
    """
    return _open(path, from_image)


def size(path: str | Path) -> tuple[int, int]:
    """Height and width of a picture file by its header, before its EXIF turn. Raises InputError as `read` does, but for
    what only decoding shows."""
    return _open(path, lambda image: (image.height, image.width))


def read_mask(path: str | Path) -> Tensor:
    """(H, W) float32 in [0, 1] of a mask file, as `mask_from_image`. Raises InputError as `read` does."""
    return _open(path, mask_from_image)


def _open(path: str | Path, convert: Callable[[Image.Image], Converted]) -> Converted:
    path = Path(path)
    if not path.is_file():
        raise InputError(f"No picture at {path}.")
    try:
        with Image.open(path) as opened:
            return convert(opened)
    except UnidentifiedImageError as error:
        raise InputError(f"{path} is no picture that Pillow can read. Give a PNG, JPEG, WebP, TIFF or BMP.") from error
    except (PermissionError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} cannot be opened ({error}).") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{path} cannot be decoded ({error}); it may be truncated. Save it again.") from error


def from_image(image: Image.Image) -> Tensor:
    """(3, H, W) float32 in [-1, 1] of a Pillow image, as `read` does."""
    array = _to_array(ImageOps.exif_transpose(image))
    return rearrange(torch.from_numpy(array.copy()), "h w c -> c h w") * 2 - 1


def mask_from_image(image: Image.Image) -> Tensor:
    """(H, W) float32 in [0, 1]: how light a Pillow image is. What is transparent is black, outside the mask."""
    image = ImageOps.exif_transpose(image)
    if "A" in image.getbands() or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "black"), rgba).convert("RGB")
    deep = image.mode.startswith("I") or image.mode == "F"
    grey = _to_array(image)[..., 0] if deep else np.asarray(image.convert("L"), dtype=np.float32) / 255
    return torch.from_numpy(grey.copy())


def _to_array(picture: Image.Image) -> np.ndarray:
    """(H, W, 3) float32 in [0, 1]."""
    if picture.mode.startswith("I") or picture.mode == "F":
        grey = np.asarray(picture, dtype=np.float32)
        top = 65535.0 if picture.mode.startswith("I") else max(1.0, float(grey.max()))
        return np.repeat((grey / top).clip(0, 1)[..., None], 3, axis=2)
    if "A" in picture.getbands() or "transparency" in picture.info:
        rgba = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return np.asarray(picture.convert("RGB"), dtype=np.float32) / 255


def to_image(tensor: Tensor) -> Image.Image:
    """(3, H, W) in [-1, 1], clamped, → an 8-bit RGB Pillow image."""
    array = rearrange(tensor.detach().float().cpu().clamp(-1, 1), "c h w -> h w c")
    return Image.fromarray(((array + 1) * 127.5).round().to(torch.uint8).numpy())


def write(path: str | Path, tensor: Tensor, metadata: Mapping[str, str] | None = None) -> None:
    """Write (3, H, W) in [-1, 1] as PNG with text metadata; the file appears whole or not at all."""
    path = Path(path)
    info = PngImagePlugin.PngInfo()
    for key, text in (metadata or {}).items():
        info.add_itxt(key, text)
    partial = path.with_name(f".{path.name}.partial")
    try:
        to_image(tensor).save(partial, format="PNG", pnginfo=info)
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise InputError(f"Cannot write {path} ({error.strerror or error}). Choose a writable place.") from error


@dataclass(frozen=True)
class Frame:
    """How a picture was fitted: the resized picture's place in the fitted one, and the original's size."""

    original: tuple[int, int]  # height, width
    top: int
    left: int
    height: int
    width: int
    cropped: bool = False  # whether a part of the picture was left out
    kept: tuple[int, int, int, int] | None = None  # top, left, height, width of the original's part if cropped

    def restore(self, fitted: Tensor, output_size: str = "network") -> Tensor:
        """(B, 3, H, W) with the padding cut off again; "original" resizes to the original's size as well.

        A picture that was cropped keeps its crop, scaled alike.
        """
        picture = fitted[..., self.top : self.top + self.height, self.left : self.left + self.width]
        if output_size == "network":
            return picture
        if output_size != "original":
            raise InputError(f"Output size {output_size!r} is unknown; choose network or original.")
        return _resize(picture, self._inside() if self.cropped else self.original)

    def source(self, original: Tensor, fitted: Tensor, output_size: str = "network") -> Tensor:
        """What `restore` should give where nothing changed: the original itself wherever it has that size.

        `original` (B, C, H, W) is what came in, `fitted` what `fit` made of it; both may be masks as well.
        """
        unscaled = self.original == (self.height, self.width) and not self.cropped
        if output_size == "network":
            return original if unscaled else self.restore(fitted)
        if not self.cropped:
            return original
        top, left, height, width = self.kept
        return _resize(original[..., top : top + height, left : left + width], self._inside())

    def _inside(self) -> tuple[int, int]:
        """The size of a cropped picture, scaled until it touches the original's sides from within."""
        scale = min(self.original[0] / self.height, self.original[1] / self.width)
        return round(scale * self.height), round(scale * self.width)


def composite(result: Tensor, source: Tensor, strength_map: float | Tensor) -> Tensor:
    """The source's very values where the map is 0, the result's very values where it is 1, linear between.

    Any range of values; the map is a number or broadcasts as (B, 1, H, W). Raises InputError for pictures of two sizes.
    """
    if result.shape[-2:] != source.shape[-2:]:
        sizes = [f"{picture.shape[-1]}x{picture.shape[-2]}" for picture in (result, source)]
        raise InputError(f"The result is {sizes[0]} and its source {sizes[1]}; they need one size. Resize one of them.")
    share = torch.as_tensor(strength_map, dtype=result.dtype, device=result.device)
    mixed = torch.lerp(source, result, share)
    return torch.where(share == 0, source, torch.where(share == 1, result, mixed))


def coverage(dial: float | Tensor) -> Tensor:
    """The result's share in the composition with the source, for a dial (strength · mask): min(1, dial / FADE).

    How much of the style shows is the walk's matter. This alone fades out what the walk loses of the source at any
    dial, such as detail finer than the network's pixels, so that the way to the very source at 0 has no jump.
    """
    return (torch.as_tensor(dial, dtype=torch.float32) / FADE).clamp(max=1)


def fit(picture: Tensor, size: int | None, multiple: int, mode: str = "pad") -> tuple[Tensor, Frame]:
    """(B, 3, H, W) → the same with its short side at `size` (kept if None) and both sides multiples of `multiple`.

    Aspect is kept. "pad" mirrors the border outwards, to be cut off again by the frame; "crop" cuts the middle out.
    Raises InputError for pictures too small or flat, and for non-finite values.
    """
    height, width = picture.shape[-2:]
    fitted_size(height, width, size, multiple, mode)
    if not torch.isfinite(picture).all():
        raise InputError("The picture holds NaN or infinity. Look at the step that made it.")
    resized = _resize(picture, _scaled(height, width, size))
    return _pad(resized, multiple, (height, width)) if mode == "pad" else _crop(resized, multiple, (height, width))


def fitted_size(height: int, width: int, size: int | None, multiple: int, mode: str = "pad") -> tuple[int, int]:
    """Height and width to which `fit` brings a picture. Raises InputError for those that it refuses by their size."""
    if mode not in FITS:
        raise InputError(f"Fit {mode!r} is unknown; choose one of {', '.join(FITS)}.")
    if min(height, width) < SMALLEST:
        raise InputError(f"The picture is {width}x{height}; both sides need at least {SMALLEST} pixels.")
    if max(height, width) > LONGEST * min(height, width):
        raise InputError(f"The picture is {width}x{height}; at most {LONGEST}:1 is taken. Cut it into pieces.")
    if size is not None and size < multiple:
        raise InputError(f"Size {size} is too small: this U-Net needs at least {multiple} pixels a side.")
    scaled = _scaled(height, width, size)
    if mode == "pad":
        return tuple(side + -side % multiple for side in scaled)
    if min(scaled) < multiple:
        raise InputError(
            f"At {scaled[1]}x{scaled[0]} no crop of {multiple} pixels a side is left. Use pad, or a larger size."
        )
    return tuple(side // multiple * multiple for side in scaled)


def fit_mask(mask: Tensor, size: int | None, multiple: int, mode: str = "pad") -> Tensor:
    """A picture's mask (B, 1, H, W), of its size, fitted as `fit` fits the picture."""
    height, width = mask.shape[-2:]
    resized = _resize_mask(mask, _scaled(height, width, size))
    return (_pad if mode == "pad" else _crop)(resized, multiple, (height, width))[0]


def mask_of(mask: Tensor, height: int, width: int) -> Tensor:
    """(B, 1, height, width) in [0, 1]: a mask (H, W), (B, H, W) or (B, 1, H, W) for pictures of that size, resized.

    Raises InputError for another shape or aspect (over a pixel's rounding), NaN, and values outside [0, 1].
    """
    shape = tuple(mask.shape)
    if mask.ndim not in (2, 3, 4) or 0 in shape or (mask.ndim == 4 and shape[1] != 1):
        raise InputError(f"The mask has shape {shape}; (height, width) or (batch, height, width) is needed.")
    tall, wide = shape[-2:]
    if min(abs(tall - height * wide / width), abs(height - tall * width / wide)) > 1:
        raise InputError(f"The mask is {wide}x{tall} and the picture {width}x{height}; give one of the same aspect.")
    mask = rearrange(mask.float(), "b 1 h w -> b h w") if mask.ndim == 4 else mask.float()
    low, high = (float(end) for end in mask.aminmax())
    if not 0 <= low <= high <= 1:  # false for NaN as well
        raise InputError(f"The mask's values go from {low:g} to {high:g}; 0 (keep) to 1 (restyle) is needed.")
    return _resize_mask(mask.reshape(-1, 1, tall, wide), (height, width))


def _scaled(height: int, width: int, size: int | None) -> tuple[int, int]:
    """The picture's size once its short side is at `size`."""
    scale = (size or min(height, width)) / min(height, width)
    return round(height * scale), round(width * scale)


def _pad(picture: Tensor, multiple: int, original: tuple[int, int]) -> tuple[Tensor, Frame]:
    height, width = picture.shape[-2:]
    extra_y, extra_x = -height % multiple, -width % multiple
    top, left = extra_y // 2, extra_x // 2
    if extra_y - top >= height or extra_x - left >= width:
        raise InputError(f"{width}x{height} is too little to mirror up to {multiple} pixels. Use a larger size.")
    padded = pad(picture, (left, extra_x - left, top, extra_y - top), mode="reflect")
    return padded, Frame(original, top, left, height, width)


def _crop(picture: Tensor, multiple: int, original: tuple[int, int]) -> tuple[Tensor, Frame]:
    height, width = (side // multiple * multiple for side in picture.shape[-2:])
    top, left = (picture.shape[-2] - height) // 2, (picture.shape[-1] - width) // 2
    cropped = (height, width) != tuple(picture.shape[-2:])
    y, x = (was / now for was, now in zip(original, picture.shape[-2:], strict=True))
    kept = (round(top * y), round(left * x), round(height * y), round(width * x)) if cropped else None
    frame = Frame(original, 0, 0, height, width, cropped, kept)
    return picture[..., top : top + height, left : left + width], frame


def _resize(picture: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(picture.shape[-2:]) == tuple(size):
        return picture
    return interpolate(picture, size, mode="bicubic", antialias=True, align_corners=False).clamp(-1, 1)


def _resize_mask(mask: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(mask.shape[-2:]) == tuple(size):
        return mask
    resized = interpolate(mask, size, mode="bilinear", antialias=True, align_corners=False)
    return resized.where(resized < 1 - 1e-6, 1.0)  # the filter's weights sum to 1 but for rounding
