"""Picture files ⇄ tensors, and fitting a picture to what the U-Net needs without squashing it."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from PIL import Image, PngImagePlugin
from torch import Tensor
from torch.nn.functional import interpolate, pad

from .errors import InputError, first_line
from .paths import expanded, write_whole
from .reading import GAP, SIDEWAYS, File, arrays, is_large, load, orientation, size, turned
from .reading.colour import flatten

Source = File | Image.Image | np.ndarray | Tensor
ONE = (str, os.PathLike, bytes, bytearray, memoryview, Image.Image, np.ndarray, Tensor)  # what is a picture by itself

FITS = ("pad", "crop")
OUTPUT_SIZES = ("network", "original")
SMALLEST = 8  # pixels a side: below that there is nothing to restyle
LONGEST = 8  # times the short side
COMPRESSION = 4  # of PNG, as ComfyUI's own: half the time of zlib's 6, and files at most some percent larger
FADE = 0.1  # the dial below which the result fades into the source


def read(file: File, short_side: int | None = None) -> Tensor:
    """(3, H, W) float32 in [-1, 1] of a picture file: a path, its bytes, or an open file.

    It is upright, in sRGB by its colour profile, grey and 16 bit taken as such, alpha composited on white. With
    `short_side` a picture of over 16 million pixels comes smaller, its short side still at least three times that: for
    a network that sees no more, in a fraction of time and memory.
    Raises InputError for a file that is missing, no picture, cut, or larger than QS_MAX_PIXELS allows.
    """
    return from_image(load(file, short_side), short_side)


def read_mask(file: File) -> Tensor:
    """(H, W) float32 in [0, 1] of a mask file, as `mask_from_image`. Raises InputError as `read` does."""
    return mask_from_image(load(file))


def take(picture: Source, short_side: int | None = None) -> Tensor:
    """(3, H, W) float32 in [-1, 1] of a picture in any form that people have.

    A file as `read` takes it, a Pillow image, a NumPy array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of 8 or 16 bit
    or of floats in [0, 1], or a tensor (3, H, W) of floats in [-1, 1] or of 8 bit. Raises InputError for anything else.
    """
    if isinstance(picture, Image.Image):
        return from_image(picture, short_side)
    if isinstance(picture, Tensor):
        return arrays.from_tensor(picture)
    if isinstance(picture, np.ndarray):
        return arrays.from_array(picture)
    _require_file(picture, "picture")
    return read(picture, short_side)


def take_mask(mask: Source) -> Tensor:
    """(…, H, W) float32 in [0, 1] of a mask in any of these forms; of whole numbers 255, or 1 as the highest, is white.

    Raises InputError for anything else.
    """
    if isinstance(mask, Image.Image):
        return mask_from_image(mask)
    if isinstance(mask, Tensor | np.ndarray):
        return arrays.mask_of_numbers(mask)
    _require_file(mask, "mask")
    return read_mask(mask)


def is_one(given: object) -> bool:
    """Whether that is one picture, or nothing that could hold several."""
    several = isinstance(given, Iterable) and not isinstance(given, Mapping)
    return isinstance(given, ONE) or hasattr(given, "read") or not several


def size_of(picture: Source) -> tuple[int, int]:
    """(height, width) of what `take` gives without `short_side`; of a file its head alone is read.

    Raises InputError as `take` does.
    """
    if isinstance(picture, Image.Image):
        return _decoded(picture).size[:: 1 if orientation(picture) in SIDEWAYS else -1]
    if isinstance(picture, Tensor | np.ndarray):
        return tuple(take(picture).shape[-2:])
    _require_file(picture, "picture")
    return size(picture)


def _require_file(given: object, what: str) -> None:
    if not isinstance(given, str | os.PathLike | bytes | bytearray | memoryview) and not hasattr(given, "read"):
        held = f" with {', '.join(map(repr, list(given)[:4]))}" if isinstance(given, Mapping) else ""
        raise InputError(
            f"A {what} cannot be a {type(given).__name__}{held}. Give a path, an open file, bytes, a Pillow image, a "
            "NumPy array or a tensor."
        )


def from_image(image: Image.Image, short_side: int | None = None) -> Tensor:
    """(3, H, W) float32 in [-1, 1] of a Pillow image, as `read` does."""
    flat = _reduced(_flat(image, "white"), short_side)
    if flat.mode == "F":
        return (torch.from_numpy(np.array(flat)) * 2 - 1).expand(3, -1, -1).contiguous()
    return arrays.from_bytes(np.asarray(flat))


def mask_from_image(image: Image.Image) -> Tensor:
    """(H, W) float32 in [0, 1]: how light a Pillow image is. What is transparent is black, outside the mask."""
    flat = _flat(image, "black", managed=False)
    if flat.mode == "F":
        return torch.from_numpy(np.array(flat))
    return torch.from_numpy(np.array(flat.convert("L"), dtype=np.float32) / 255)


def _flat(image: Image.Image, background: str, managed: bool = True) -> Image.Image:
    decoded = _decoded(image)
    try:
        return turned(flatten(decoded, background, managed), orientation(image))
    except InputError:
        raise
    except Exception as error:  # e.g. tags that contradict the pixels
        told = first_line(f"{type(error).__name__}: {error}")
        raise InputError(f"A picture of mode {image.mode} cannot be read ({told}). Save it as PNG or JPEG.") from error


def _decoded(image: Image.Image) -> Image.Image:
    """The image itself. Raises InputError for a file that Pillow opened and cannot decode."""
    try:
        image.load()
    except Exception as error:  # a damaged file can make a decoder stumble over anything
        raise InputError(f"The picture cannot be decoded ({error}); it may be truncated. Save it again.") from error
    return image


def _reduced(image: Image.Image, short_side: int | None) -> Image.Image:
    factor = min(image.size) // (GAP * short_side) if short_side and is_large(image.size) else 1
    return image.reduce(factor) if factor > 1 else image


def to_image(tensor: Tensor) -> Image.Image:
    """(3, H, W) in [-1, 1], clamped, → an 8-bit RGB Pillow image."""
    array = rearrange(tensor.detach().float().cpu().clamp(-1, 1), "c h w -> h w c")
    return Image.fromarray(((array + 1) * 127.5).round().to(torch.uint8).numpy())


def write(path: str | Path, tensor: Tensor, metadata: Mapping[str, str] | None = None) -> None:
    """Write `encode`'s PNG; the file appears whole or not at all. Raises InputError where it cannot be written."""
    write_whole(expanded(path), encode(tensor, metadata))


def encode(tensor: Tensor, metadata: Mapping[str, str] | None = None) -> bytes:
    """The PNG file of (3, H, W) in [-1, 1], with text metadata."""
    info = PngImagePlugin.PngInfo()
    for key, text in (metadata or {}).items():
        info.add_itxt(key, text)
    file = BytesIO()
    to_image(tensor).save(file, format="PNG", pnginfo=info, compress_level=COMPRESSION)
    return file.getvalue()


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
        return resize(picture, self._inside() if self.cropped else self.original)

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
        return resize(original[..., top : top + height, left : left + width], self._inside())

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
    resized = resize(picture, _scaled(height, width, size))
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
    """(B, 1, height, width) in [0, 1]: a mask for pictures of that size, resized; it is (H, W), (B, H, W), or either
    with a channel of 1 before or behind.

    Raises InputError for another shape or aspect (over a pixel's rounding), NaN, and values outside [0, 1].
    """
    mask = arrays.without_channel(mask)
    shape = tuple(mask.shape)
    if mask.ndim not in (2, 3) or 0 in shape:
        raise InputError(f"The mask has shape {shape}; (height, width) or (batch, height, width) is needed.")
    tall, wide = shape[-2:]
    if min(abs(tall - height * wide / width), abs(height - tall * width / wide)) > 1:
        raise InputError(f"The mask is {wide}x{tall} and the picture {width}x{height}; give one of the same aspect.")
    mask = mask.float()
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


def resize(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """A picture in [-1, 1] at a size (height, width), bicubic and antialiased; itself where it has it."""
    if tuple(picture.shape[-2:]) == tuple(size):
        return picture
    return interpolate(picture, size, mode="bicubic", antialias=True, align_corners=False).clamp(-1, 1)


def _resize_mask(mask: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(mask.shape[-2:]) == tuple(size):
        return mask
    resized = interpolate(mask, size, mode="bilinear", antialias=True, align_corners=False)
    return resized.where(resized < 1 - 1e-6, 1.0)  # the filter's weights sum to 1 but for rounding
