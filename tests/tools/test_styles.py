"""Tests of the procedural style renderings."""

from itertools import product

import numpy as np
import pytest
from scipy import ndimage

from tools.data import styles
from tools.data.filters import luminance

NAMES = list(styles.STYLES)

# Least correlation of the blurred luminance with that of the source.  Neon draws edges only; see its own test.
LEAST_TONE = {
    "photo": 0.999,
    "crayon": 0.8,
    "golden": 0.8,
    "watercolor": 0.85,
    "wooden": 0.8,
    "bricks": 0.8,
    "pencil": 0.75,
    "mosaic": 0.85,
    "oil": 0.9,
    "ink": 0.65,
    "stained_glass": 0.6,
    "van_gogh": 0.9,
    "pastel": 0.9,
    "charcoal": 0.85,
    "ukiyo_e": 0.65,
    "marbling": 0.75,
    "pop_art": 0.8,
    "comic": 0.7,
    "stone_wall": 0.85,
    "leather": 0.85,
    "autumn": 0.85,
    "snow": 0.85,
    "clay": 0.85,
    "vintage_photo": 0.85,
    "pixel_art": 0.85,
    "cyberpunk": 0.85,
}
KEEP_COLOUR = ("photo", "crayon", "watercolor", "mosaic", "oil", "stained_glass", "van_gogh", "pastel", "marbling")
KEEP_COLOUR += ("comic",)


def scene(height=96, width=128):
    """A small landscape: sky, sun, hills, a house with a window and a door."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    picture = np.empty((height, width, 3), np.float32)
    picture[:] = np.array([0.45, 0.65, 0.95]) + 0.25 * (y / height)[..., None]
    picture[(y - 18) ** 2 + (x - 100) ** 2 < 120] = (1.0, 0.9, 0.3)
    picture[y > 60 + 8 * np.sin(x / 15)] = (0.2, 0.45, 0.15)
    picture[40:80, 25:70] = (0.75, 0.25, 0.2)
    picture[48:60, 32:46] = (0.95, 0.95, 0.85)
    picture[56:80, 54:64] = (0.2, 0.12, 0.08)
    return np.clip(ndimage.gaussian_filter(picture, 0.7, axes=(0, 1)), 0, 1)


def drawn(name, held_out, seed=3, picture=None):
    picture = scene() if picture is None else picture
    return styles.render(picture, name, np.random.default_rng(seed), held_out)


def correlation(first, second):
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def soft(field, sigma=3.0):
    return ndimage.gaussian_filter(field, sigma)


def edges(picture):
    lum = soft(luminance(picture), 1.0)
    return soft(np.hypot(*np.gradient(lum)), 1.5)


def test_twenty_seven_styles_with_photo_first():
    assert len(NAMES) == 27
    assert NAMES[0] == "photo"
    assert all(style.name == name for name, style in styles.STYLES.items())


def test_phrases_are_unique_across_styles():
    phrases = [phrase.lower() for style in styles.STYLES.values() for phrase in style.phrases]
    assert len(phrases) == len(set(phrases))
    assert all(6 <= len(style.phrases) <= 14 for style in styles.STYLES.values())


@pytest.mark.parametrize("name", NAMES[1:])
def test_held_out_settings_are_disjoint(name):
    pairs = [(knob.train, knob.held) for knob in styles.KNOBS[name].values() if knob.held]
    assert len(pairs) >= 2
    assert all(held[0] > train[1] or held[1] < train[0] for train, held in pairs)


@pytest.mark.parametrize("name", NAMES)
def test_form_of_the_result(name):
    for (height, width), held_out in product([(48, 48), (49, 83), (96, 128)], (False, True)):
        source = scene()[:height, :width]
        before = source.copy()
        out = drawn(name, held_out, picture=source)
        assert out.shape == source.shape and out.dtype == np.float32
        assert np.isfinite(out).all() and out.min() >= 0.0 and out.max() <= 1.0
        assert np.array_equal(source, before)
        assert name == "photo" or np.abs(out - source).mean() > 0.02


@pytest.mark.parametrize("name", NAMES)
def test_flat_pictures_stay_finite(name):
    for value, held_out in product((0.0, 0.5, 1.0), (False, True)):
        out = drawn(name, held_out, picture=np.full((64, 64, 3), value, np.float32))
        assert np.isfinite(out).all() and out.min() >= 0.0 and out.max() <= 1.0


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_result(name):
    for held_out in (False, True):
        once = drawn(name, held_out)
        assert np.array_equal(once, drawn(name, held_out))
        assert name == "photo" or not np.array_equal(once, drawn(name, held_out, seed=4))


def test_photo_is_the_identity():
    assert np.array_equal(drawn("photo", False), scene())


@pytest.mark.parametrize("held_out", [False, True])
@pytest.mark.parametrize("name", LEAST_TONE)
def test_light_and_dark_are_kept(name, held_out):
    source = soft(luminance(scene()))
    kept = [correlation(soft(luminance(drawn(name, held_out, seed))), source) for seed in range(5)]
    assert min(kept) > LEAST_TONE[name]


@pytest.mark.parametrize("held_out", [False, True])
def test_neon_glows_along_the_edges(held_out):
    source = edges(scene())
    for seed in range(5):
        out = drawn("neon", held_out, seed)
        assert correlation(soft(out.max(axis=2), 1.5), source) > 0.6
        assert np.median(out) < 0.25


@pytest.mark.parametrize("held_out", [False, True])
@pytest.mark.parametrize("name", KEEP_COLOUR)
def test_main_colours_are_kept(name, held_out):
    def opponent(picture):
        return np.stack([soft(picture[..., 0] - picture[..., 1]), soft(picture[..., 2] - picture[..., 1])])

    for seed in range(5):
        assert correlation(opponent(drawn(name, held_out, seed)), opponent(scene())) > 0.85


@pytest.mark.parametrize("name", ["pencil", "ink"])
def test_drawings_have_no_colour(name):
    out = drawn(name, False)
    assert (out.max(axis=2) - out.min(axis=2)).max() < 0.12


def test_ink_has_fewer_midtones_than_pencil():
    def midtones(name):
        lum = luminance(drawn(name, False))
        return ((lum > 0.25) & (lum < 0.75)).mean()

    assert midtones("ink") < 0.2
    assert midtones("ink") < 0.6 * midtones("pencil")
