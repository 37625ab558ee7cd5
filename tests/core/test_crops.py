"""Crops as homographies: inside the picture, the right way round, as large as asked for, and reproducible."""

import pytest
import torch
from torch.nn.functional import interpolate

from qs_core.crops import Crops, cut, homographies
from qs_core.errors import InputError
from qs_core.randomness import seeded

EXACT = {"rtol": 0, "atol": 2e-5}  # float32 homographies solved in float64
STILL = {"degrees": 0.0, "shift": 0.0, "distortion": 0.0}
AXIS = (torch.arange(64) * 2 + 1) / 64 - 1
CORNERS = torch.tensor([[-1.0, -1.0, 1.0], [1.0, -1.0, 1.0], [1.0, 1.0, 1.0], [-1.0, 1.0, 1.0]])


def marker(height: int = 64, width: int = 64) -> torch.Tensor:
    """(1, 2, H, W): channel 0 is x, channel 1 is y, each from -1 to 1 at pixel centres."""
    y, x = ((torch.arange(side) * 2 + 1) / side - 1 for side in (height, width))
    return torch.stack([x.expand(height, width), y[:, None].expand(height, width)])[None]


def apply(matrices: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """(…, 3, 3) on (p, 3) → (…, p, 2)."""
    mapped = torch.einsum("...ij,pj->...pi", matrices, points)
    return mapped[..., :2] / mapped[..., 2:]


def draw(crops: Crops, height=64, width=64, seeds=(0,)) -> torch.Tensor:
    return homographies(crops, height, width, seeded(seeds))


class TestHomographies:
    def test_the_whole_picture_is_the_identity(self):
        matrices = draw(Crops(5, (1, 1), (1, 1), **STILL))
        torch.testing.assert_close(matrices, torch.eye(3).expand(1, 5, 3, 3), **EXACT)

    @pytest.mark.parametrize("height, width", [(64, 64), (48, 96)])
    def test_area_and_aspect_are_in_their_ranges(self, height, width):
        matrices = draw(Crops(500, (0.05, 0.3), **STILL), height, width)[0]
        across, down = matrices[:, 0, 0], matrices[:, 1, 1]
        area, ratio = across * down, across * width / (down * height)
        assert 0.05 <= area.min() + 1e-5 and area.max() <= 0.3 + 1e-5
        assert 0.75 <= ratio.min() + 1e-4 and ratio.max() <= 4 / 3 + 1e-4
        assert area.max() - area.min() > 0.22 and ratio.max() - ratio.min() > 0.5  # the ranges are used

    @pytest.mark.parametrize("height, width", [(64, 64), (48, 96)])
    def test_crops_stay_inside_and_reach_every_border(self, height, width):
        corners = apply(draw(Crops(1000, (0.05, 0.3), **STILL), height, width), CORNERS)
        assert corners.abs().max() <= 1 + 1e-5
        assert (corners.amin((0, 1, 2)) < -0.98).all() and (corners.amax((0, 1, 2)) > 0.98).all()

    def test_rotation_keeps_right_angles_on_a_picture_that_is_not_square(self):
        height, width = 48, 96
        matrices = draw(Crops(200, (0.1, 0.1), (1, 1), 15, 0.0, 0.0), height, width)[0]
        pixels = matrices[:, :2, :2] * torch.tensor([[width], [height]])
        across, down = pixels[..., 0], pixels[..., 1]
        torch.testing.assert_close((across * down).sum(-1), torch.zeros(200), rtol=0, atol=1e-2)
        angles = torch.atan2(across[:, 1], across[:, 0]).rad2deg()
        assert 14 < angles.max() <= 15.01 and -15.01 <= angles.min() < -14

    def test_shift_is_vertical_alone_and_a_share_of_the_crop(self):
        still = draw(Crops(300, (0.1, 0.1), (1, 1), 0.0, 0.0, 0.0))[0]
        moved = draw(Crops(300, (0.1, 0.1), (1, 1), 0.0, 0.1, 0.0))[0]
        move = (moved - still)[:, :2, 2] / still[:, 1:2, 1] / 2  # in crop sides
        torch.testing.assert_close(move[:, 0], torch.zeros(300), **EXACT)
        assert 0.09 < move[:, 1].max() <= 0.1001 and -0.1001 <= move[:, 1].min() < -0.09

    def test_perspective_moves_corners_inwards_by_up_to_its_share(self):
        corners = apply(draw(Crops(500, (1, 1), (1, 1), 0.0, 0.0, 0.7)), CORNERS)[0]
        top = (corners[:, 1, 0] - corners[:, 0, 0]) / 2  # its length, as a share of the crop's side
        assert 0.3 <= top.min() + 1e-4 and top.min() < 0.4 and 0.9 < top.max() <= 1.0001

    def test_no_crop_is_folded_or_mirrored(self):
        matrices = draw(Crops(2000))
        weights = torch.einsum("bnj,pj->bnp", matrices[..., 2, :], CORNERS)
        assert weights.min() > 0 and torch.linalg.det(matrices).min() > 0

    def test_nearly_every_sample_is_a_place_of_the_picture(self):
        y, x = torch.meshgrid(AXIS[::4], AXIS[::4], indexing="ij")
        places = torch.stack([x, y, torch.ones_like(x)], -1).view(-1, 3)
        mapped = apply(draw(Crops(1000)), places)
        assert (mapped.abs() > 1).any(-1).float().mean() < 0.08  # the others are mirrored at the border

    def test_the_border_is_seen_about_as_often_as_the_middle(self):
        y, x = torch.meshgrid(AXIS[::4], AXIS[::4], indexing="ij")
        places = torch.stack([x, y, torch.ones_like(x)], -1).view(-1, 3)
        mapped = apply(draw(Crops(4000, (0.05, 0.3))), places)
        folded = torch.where(mapped.abs() > 1, 2 * mapped.sign() - mapped, mapped)[..., 0].abs()
        outer, middle = ((folded > 0.9).float().mean(), (folded < 0.1).float().mean())
        assert outer / middle > 0.3

    def test_one_generator_per_picture(self):
        crops = Crops(4)
        together, alone, again = draw(crops, seeds=(1, 2)), draw(crops, seeds=(2,)), draw(crops, seeds=(2,))
        assert torch.equal(together[1:], alone) and torch.equal(alone, again)
        assert not torch.equal(together[0], together[1])

    def test_each_step_draws_other_crops(self):
        generators = seeded([1])
        assert not torch.equal(*(homographies(Crops(4), 64, 64, generators) for _ in range(2)))

    @pytest.mark.parametrize("area", [(0.0, 0.3), (0.3, 0.1), (0.1, 1.1), (-0.1, 0.2)])
    def test_areas_that_are_none(self, area):
        with pytest.raises(InputError, match="give a range within 0 to 1, the smaller first"):
            Crops(4, area)

    def test_no_crops(self):
        with pytest.raises(InputError, match="0 crops: at least 1"):
            Crops(0)


class TestCut:
    def test_the_identity_gives_the_picture(self, picture):
        source = picture(1, 2, height=24, width=24)
        torch.testing.assert_close(cut(source, torch.eye(3).expand(2, 1, 3, 3), 24), source, **EXACT)

    @pytest.mark.parametrize("size", [16, 48])
    def test_the_identity_resizes(self, picture, size):
        source = picture(1, height=24, width=32)
        expected = interpolate(source, (size, size), mode="bilinear", align_corners=False)
        if size > 24:  # bilinear resizing repeats the border where sampling mirrors it: half a pixel
            expected, actual = (p[..., 2:-2, 2:-2] for p in (expected, cut(source, torch.eye(3)[None, None], size)))
        else:
            actual = cut(source, torch.eye(3)[None, None], size)
        torch.testing.assert_close(actual, expected, **EXACT)

    def test_the_lower_right_quarter(self):
        """x grows to the right, y downwards, and neither is mirrored or exchanged."""
        quarter = torch.tensor([[0.5, 0.0, 0.5], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]])
        crop = cut(marker(), quarter[None, None], 32)
        torch.testing.assert_close(crop, marker()[..., 32:, 32:], **EXACT)

    @pytest.mark.parametrize("height, width", [(64, 64), (48, 96)])
    def test_samples_are_where_the_homography_says(self, height, width):
        matrices = draw(Crops(50, (0.05, 0.3)), height, width, seeds=(3,))
        crops = cut(marker(height, width), matrices, 16)
        y, x = torch.meshgrid(AXIS.view(16, 4).mean(1), AXIS.view(16, 4).mean(1), indexing="ij")
        mapped = apply(matrices[0], torch.stack([x, y, torch.ones_like(x)], -1).view(-1, 3))
        expected = mapped.view(50, 16, 16, 2).permute(0, 3, 1, 2)
        inside = (expected.abs() < 0.97).all(1, keepdim=True).expand_as(expected)
        assert inside.float().mean() > 0.8
        torch.testing.assert_close(crops[inside], expected[inside], rtol=0, atol=1e-4)

    def test_no_grey(self):
        ones = torch.ones(1, 3, 40, 56)
        crops = cut(ones, draw(Crops(64, (0.3, 1.0)), 40, 56), 16)
        torch.testing.assert_close(crops, torch.ones(64, 3, 16, 16), **EXACT)

    def test_crops_come_picture_by_picture(self):
        batch = torch.stack([torch.full((3, 32, 32), value) for value in (0.1, 0.2)])
        crops = cut(batch, draw(Crops(3), 32, 32, seeds=(1, 2)), 8)
        torch.testing.assert_close(crops[:, 0, 0, 0], torch.tensor([0.1] * 3 + [0.2] * 3))

    def test_a_pictures_crops_do_not_depend_on_its_batch(self, picture):
        source, crops = picture(1, 2, height=48, width=64), Crops(5)
        together = cut(source, homographies(crops, 48, 64, seeded([1, 2])), 16)
        alone = cut(source[1:], homographies(crops, 48, 64, seeded([2])), 16)
        torch.testing.assert_close(together[5:], alone, **EXACT)

    def test_a_large_picture_is_filtered_before_it_is_shrunk(self):
        """A checkerboard of single pixels must become flat, not alias."""
        board = (torch.arange(256)[:, None] + torch.arange(256)) % 2 * 2.0 - 1
        identity = torch.eye(3)[None, None]
        crop = cut(board.expand(1, 3, 256, 256), identity, 32, area=(1.0, 1.0))
        assert crop.abs().max() < 0.1

    def test_gradients_reach_the_picture(self, picture):
        source = picture(1).requires_grad_()
        cut(source, draw(Crops(64, (0.3, 1.0)), 32, 32), 16).sum().backward()
        assert source.grad.isfinite().all() and (source.grad[..., 8:-8, 8:-8] != 0).all()
