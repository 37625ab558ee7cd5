"""Whatever pixels Pillow opens → plain ones: 8 bit sRGB, or grey numbers in [0, 1] where there is more depth."""

from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

from ..errors import InputError

ALIKE = 2  # of 255: a profile that changes no colour more is sRGB, and its values are left alone
STEPS = 17  # of each channel, in the colours by which that is told
SRGB_GAMMA = 0.45455  # as PNG files state it
GAMMAS = (0.1, 5.0)  # what a PNG file may state
HIGHLIGHTS = 16.0  # a float picture with no value above this is in [0, 1], and what is beyond is clipped
# TIFF's tags, and what they say of numbers that Pillow hands over as they are in the file.
BITS_PER_SAMPLE, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339
WHITE_IS_ZERO, SIGNED = 0, 2
UNLIKE_PILLOW = {(32, False): np.uint32, (8, True): np.int8}  # where Pillow takes the sign wrongly
SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}  # which profiles fit which pixels


def flatten(image: Image.Image, background: str, managed: bool = True) -> Image.Image:
    """The image in mode RGB, or in mode F with values in [0, 1] where it is grey and deeper than 8 bits.

    What is transparent shows the background, "white" or "black". A colour profile is applied if `managed`; one that is
    broken or of another kind of pixels is passed over, as viewers do.
    """
    if is_deep(image):
        grey = _deep(image)
        curve = _grey_curve(image) if managed else None
        if curve is not None:
            grey = np.interp(grey, np.linspace(0, 1, 256, dtype=np.float32), curve).astype(np.float32)
        hidden = _hidden(image)
        if hidden is not None:
            grey = np.where(hidden, np.float32(background == "white"), grey)
        return Image.fromarray(grey)
    alpha, opaque = _without_alpha(image)
    colours = _to_srgb(opaque, image.info) if managed else _convert(opaque)
    if alpha is None:
        return colours
    colours.putalpha(alpha)
    return Image.alpha_composite(Image.new("RGBA", colours.size, background), colours).convert("RGB")


def is_deep(image: Image.Image) -> bool:
    """Whether it is grey with numbers that no 8 bit without a sign holds."""
    return image.mode.startswith("I") or image.mode == "F" or (image.mode == "L" and _integers(image)[1])


def _deep(image: Image.Image) -> np.ndarray:
    """(H, W) float32 in [0, 1] of an image that is deep; NaN stays."""
    values = np.asarray(image)
    tags = getattr(image, "tag_v2", {})
    if image.mode == "F":
        top = _top_of_floats(values)
    else:
        bits, signed = _integers(image)
        if (bits, signed) in UNLIKE_PILLOW:
            values = values.view(UNLIKE_PILLOW[bits, signed])
        top = 2.0 ** (bits - signed) - 1
    grey = (values.astype(np.float32) / np.float32(top)).clip(0, 1)
    return 1 - grey if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO else grey


def _integers(image: Image.Image) -> tuple[int, bool]:
    """Bits of a sample, and whether one of them is a sign."""
    tags = getattr(image, "tag_v2", {})
    if BITS_PER_SAMPLE in tags:
        return int(tags[BITS_PER_SAMPLE][0]), int(tags.get(SAMPLE_FORMAT, (1,))[0]) == SIGNED
    if image.mode == "I" and image.getextrema()[1] > 65535:
        return 32, True
    return 16, False


def _top_of_floats(values: np.ndarray) -> float:
    """The number that is white: 1, or 255 or 65535 where numbers are that large, or the largest there is."""
    highest = float(np.nanmax(values, initial=0.0))
    if not np.isfinite(highest) or highest <= HIGHLIGHTS:
        return 1.0
    return next((top for top in (255.0, 65535.0) if highest <= top), highest)


def _hidden(image: Image.Image) -> np.ndarray | None:
    """Where a deep image has the one grey that its file calls transparent; None for no such grey."""
    transparent = image.info.get("transparency")
    return None if not isinstance(transparent, int) else np.asarray(image) == transparent


def _without_alpha(image: Image.Image) -> tuple[Image.Image | None, Image.Image]:
    """Its alpha in mode L, None where it has none, and the rest in a mode without."""
    if image.mode == "La":
        image = _keeping(image.convert("LA"), image)
    if image.mode == "RGBa":
        image = _keeping(image.convert("RGBA"), image)
    if image.mode == "LA":
        return image.getchannel("A"), image.getchannel("L")
    if "A" in image.getbands() or "transparency" in image.info:
        _narrow(image)
        rgba = image.convert("RGBA")
        return rgba.getchannel("A"), rgba.convert("RGB")
    return None, image


def _narrow(image: Image.Image) -> None:
    """Bring a transparent colour of 16 bits, which Pillow hands over as it is in the file, to the pixels' 8."""
    colour = image.info.get("transparency")
    if isinstance(colour, tuple) and max(colour) > 255:
        image.info["transparency"] = tuple(part >> 8 for part in colour)


def _keeping(converted: Image.Image, image: Image.Image) -> Image.Image:
    converted.info = dict(image.info)
    return converted


def _to_srgb(image: Image.Image, info: dict) -> Image.Image:
    """Mode RGB of an opaque image, by its colour profile or its PNG gamma if it has one."""
    if image.mode not in SPACES:
        image = _convert(image)
    if profile := info.get("icc_profile"):
        return _by_profile(image, profile)
    gamma = info.get("gamma", SRGB_GAMMA)
    if "srgb" in info or abs(gamma - SRGB_GAMMA) < 0.01 or not GAMMAS[0] <= gamma <= GAMMAS[1]:
        return _convert(image)
    curve = (_encoded(np.linspace(0, 1, 256) ** (1 / gamma)) * 255).round().astype(int).tolist()
    return _convert(image).point(curve * 3)


def _convert(image: Image.Image) -> Image.Image:
    """Mode RGB by Pillow's own rules, and LAB, for which it has none, by the sRGB profile."""
    if image.mode != "LAB":
        return image.convert("RGB")
    lab, srgb = _profiles().createProfile("LAB"), _profiles().createProfile("sRGB")
    return _profiles().profileToProfile(image, lab, srgb, outputMode="RGB")


def _by_profile(image: Image.Image, profile: bytes) -> Image.Image:
    """Mode RGB of an image in L, RGB or CMYK. A profile of RGB fits grey pixels as well."""
    space = _space(profile)
    if space == "RGB":
        image = _convert(image)
    if space != SPACES[image.mode]:
        return _convert(image)
    transform = _transform(profile, image.mode)
    if transform is None or (image.mode != "CMYK" and _changes_nothing(transform, image.mode)):
        return _convert(image)
    return _profiles().applyTransform(image, transform)


def _grey_curve(image: Image.Image) -> np.ndarray | None:
    """sRGB's grey in [0, 1] for each of 256 greys, by the image's profile or gamma; None where they are the same."""
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    curve = np.asarray(_to_srgb(ramp, image.info))[0, :, 1]
    same = np.abs(curve.astype(int) - np.arange(256)).max() <= ALIKE
    return None if same else curve.astype(np.float32) / 255


def _space(profile: bytes) -> str | None:
    """The colour space of the pixels that a profile describes; None for a broken one."""
    try:
        return _profiles().ImageCmsProfile(BytesIO(profile)).profile.xcolor_space.strip()
    except (OSError, TypeError, ValueError):
        return None


def _transform(profile: bytes, mode: str):
    """Pillow's transform to sRGB; None for a broken profile."""
    cms = _profiles()
    try:
        return cms.buildTransform(cms.ImageCmsProfile(BytesIO(profile)), cms.createProfile("sRGB"), mode, "RGB")
    except (OSError, TypeError, ValueError, cms.PyCMSError):
        return None


def _changes_nothing(transform, mode: str) -> bool:
    axis = np.linspace(0, 255, STEPS).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(1, -1, 3)
    sample = Image.fromarray(colours if mode == "RGB" else np.arange(256, dtype=np.uint8)[None])
    before, after = (np.asarray(each.convert("RGB")).astype(int) for each in (sample, _applied(sample, transform)))
    return bool(np.abs(before - after).max() <= ALIKE)


def _applied(image: Image.Image, transform) -> Image.Image:
    return _profiles().applyTransform(image, transform)


def _profiles():
    """Pillow's colour management. Raises InputError where Pillow was built without it."""
    try:
        from PIL import _imagingcms  # noqa: F401 - what ImageCms needs and may lack
    except ImportError as error:
        raise InputError(
            "The picture has a colour profile, and this Pillow was built without LittleCMS to read it. Install Pillow "
            "from its wheels (pip install --force-reinstall pillow), or save the picture in sRGB."
        ) from error
    return ImageCms


def _encoded(light: np.ndarray) -> np.ndarray:
    """sRGB's values of linear light in [0, 1]."""
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)
