"""Picture files ⇄ tensors, and fitting a picture to what the U-Net needs without squashing it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError
from torch import Tensor
from torch.nn.functional import interpolate, pad

from .errors import InputError

FITS = ("pad", "crop")
OUTPUT_SIZES = ("network", "original")
SMALLEST = 8  # pixels a side: below that there is nothing to restyle
LONGEST = 8  # times the short side


def read(path: str | Path) -> Tensor:
    """(3, H, W) float32 in [-1, 1]: upright by its EXIF tag, alpha composited on white, grey and 16 bit taken as such.

    Raises InputError for a file that is missing, no picture, or truncated.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"No picture at {path}.")
    try:
        with Image.open(path) as opened:
            return from_image(opened)
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

    def restore(self, fitted: Tensor, output_size: str = "network") -> Tensor:
        """(B, 3, H, W) with the padding cut off again; "original" resizes to the original's size as well.

        A picture that was cropped keeps its crop, scaled alike.
        """
        picture = fitted[..., self.top : self.top + self.height, self.left : self.left + self.width]
        if output_size == "network":
            return picture
        if output_size != "original":
            raise InputError(f"Output size {output_size!r} is unknown; choose network or original.")
        scale = min(self.original[0] / self.height, self.original[1] / self.width)
        inside = (round(scale * self.height), round(scale * self.width))
        return _resize(picture, inside if self.cropped else self.original)


def fit(picture: Tensor, size: int | None, multiple: int, mode: str = "pad") -> tuple[Tensor, Frame]:
    """(B, 3, H, W) → the same with its short side at `size` (kept if None) and both sides multiples of `multiple`.

    Aspect is kept. "pad" mirrors the border outwards, to be cut off again by the frame; "crop" cuts the middle out.
    Raises InputError for pictures too small or flat, and for non-finite values.
    """
    if mode not in FITS:
        raise InputError(f"Fit {mode!r} is unknown; choose one of {', '.join(FITS)}.")
    height, width = picture.shape[-2:]
    if min(height, width) < SMALLEST:
        raise InputError(f"The picture is {width}x{height}; both sides need at least {SMALLEST} pixels.")
    if max(height, width) > LONGEST * min(height, width):
        raise InputError(f"The picture is {width}x{height}; at most {LONGEST}:1 is taken. Cut it into pieces.")
    if not torch.isfinite(picture).all():
        raise InputError("The picture holds NaN or infinity. Look at the step that made it.")
    if size is not None and size < multiple:
        raise InputError(f"Size {size} is too small: this U-Net needs at least {multiple} pixels a side.")
    short = size or min(height, width)
    scale = short / min(height, width)
    resized = _resize(picture, (round(height * scale), round(width * scale)))
    return _pad(resized, multiple, (height, width)) if mode == "pad" else _crop(resized, multiple, (height, width))


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
    if not height or not width:
        size = f"{picture.shape[-1]}x{picture.shape[-2]}"
        raise InputError(f"At {size} no crop of {multiple} pixels a side is left. Use pad, or a larger size.")
    top, left = (picture.shape[-2] - height) // 2, (picture.shape[-1] - width) // 2
    cropped = (height, width) != tuple(picture.shape[-2:])
    return picture[..., top : top + height, left : left + width], Frame(original, 0, 0, height, width, cropped)


def _resize(picture: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(picture.shape[-2:]) == tuple(size):
        return picture
    return interpolate(picture, size, mode="bicubic", antialias=True, align_corners=False).clamp(-1, 1)
