"""The training and evaluation pictures: shapes, determinism, licences and the split."""

from itertools import product

import numpy as np
import pytest
from PIL import Image

from tools.data import heldout, photos, scenes

ALL_KINDS = scenes.TRAIN_KINDS + scenes.HELD_OUT_KINDS


@pytest.mark.parametrize("photo", photos.PHOTOS, ids=lambda photo: photo.name)
def test_photo_loads_as_its_region(photo):
    if not photos.source_path(photo).is_file():
        pytest.skip(f"{photo.package} is a package of Debian, needed for training alone")
    pixels = photos.load(photo)
    assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3
    with Image.open(photos.source_path(photo)) as whole:
        left, top, right, bottom = photo.box or (0, 0, *whole.size)
        assert 0 <= left < right <= whole.width and 0 <= top < bottom <= whole.height
    assert pixels.shape[:2] == (bottom - top, right - left)


def test_load_returns_pixels_of_its_own():
    photo = photos.by_name("cat")
    before = photos.load(photo)
    photos.load(photo)[:] = 0
    assert np.array_equal(photos.load(photo), before)


def test_photos_state_an_allowed_licence():
    for photo in photos.PHOTOS:
        assert photo.licence in photos.ALLOWED_LICENCES, photo.name
        assert photo.attribution.strip(), photo.name
        assert photo.package in ("scikit-image", "scikit-learn", "lomiri-wallpapers-16.04"), photo.name


def test_split_covers_every_photo_once():
    train, held_out = photos.split("train"), photos.split("held_out")
    assert len(held_out) >= 6
    assert sorted(photo.name for photo in train + held_out) == sorted(photo.name for photo in photos.PHOTOS)
    assert len({photo.name for photo in photos.PHOTOS}) == len(photos.PHOTOS)


def test_unknown_split_is_refused():
    with pytest.raises(ValueError, match="held_out"):
        photos.split("test")


def test_train_and_held_out_regions_share_no_pixel():
    for train, held_out in product(photos.split("train"), photos.split("held_out")):
        if train.file != held_out.file:
            continue
        assert train.box is not None and held_out.box is not None, f"{train.name} is part of {held_out.name}"
        across = max(train.box[0] - held_out.box[2], held_out.box[0] - train.box[2])
        down = max(train.box[1] - held_out.box[3], held_out.box[1] - train.box[3])
        assert max(across, down) >= photos.SEAM, f"{train.name} and {held_out.name} are too close"


def test_held_out_photos_are_large_enough_to_show():
    assert all(min(photos.load(photo).shape[:2]) >= 200 for photo in photos.split("held_out"))


def test_samples_are_held_out_and_small(tmp_path):
    paths = photos.export_samples(tmp_path)
    assert {photos.by_name(path.stem).split for path in paths} == {"held_out"}
    assert sum(path.stat().st_size for path in paths) < 250_000
    listing = (tmp_path / "LICENCES.md").read_text(encoding="utf-8")
    for path in paths:
        with Image.open(path) as picture:
            assert min(picture.size) <= 256
        assert path.name in listing and photos.by_name(path.stem).attribution in listing


def test_kinds_are_disjoint():
    assert len(scenes.TRAIN_KINDS) >= 14 and len(scenes.HELD_OUT_KINDS) >= 6
    assert len(set(ALL_KINDS)) == len(ALL_KINDS)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_scene_is_a_deterministic_varied_picture(kind):
    first = scenes.draw(kind, np.random.default_rng(7), 64)
    again = scenes.draw(kind, np.random.default_rng(7), 64)
    other = scenes.draw(kind, np.random.default_rng(8), 64)
    assert first.dtype == np.uint8 and first.shape == (64, 64, 3)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.std() > 12, "a scene is no flat picture"


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_many_seeds_draw_without_a_failure(kind):
    for seed in range(12):
        assert scenes.draw(kind, np.random.default_rng(seed), 32).shape == (32, 32, 3)


def test_scene_size_is_free():
    assert scenes.draw("face", np.random.default_rng(0)).shape == (128, 128, 3)
    assert scenes.draw("face", np.random.default_rng(0), 48).shape == (48, 48, 3)


def test_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="windmill"):
        scenes.draw("submarine", np.random.default_rng(0))


def test_evaluation_set_is_fixed():
    pictures, again = heldout.held_out_pictures(), heldout.held_out_pictures()
    names = [name for name, _ in pictures]
    assert len(pictures) == 12 and len(set(names)) == 12
    held_out = {photo.name for photo in photos.split("held_out")}
    assert set(names[:6]) <= held_out
    assert tuple(names[6:]) == scenes.HELD_OUT_KINDS
    for (_, one), (_, two) in zip(pictures, again, strict=True):
        assert one.dtype == np.uint8 and one.ndim == 3 and min(one.shape[:2]) == 128
        assert np.array_equal(one, two)
