"""The strength dial and the mask: what is outside stays the very picture that came in."""

import pytest
import torch


@pytest.fixture(scope="session")
def wide(pack):
    """(1, 40, 56, 3): a picture that is resized and padded on its way to the network."""
    image = pack("QSSampleImage", picture="cat")
    with torch.inference_mode():
        return torch.nn.functional.interpolate(image.movedim(-1, 1), (40, 56), mode="area").movedim(1, -1)


@pytest.fixture(scope="session")
def left():
    """White on the left half of the picture."""
    mask = torch.zeros(1, 40, 56)
    mask[..., :28] = 1
    return mask


@pytest.fixture(scope="session")
def inversion(invert, wide):
    return invert(wide, size=32)


@pytest.fixture(scope="session")
def full(sample, inversion):
    return sample(inversion, output_size="original")


def test_strength_0_is_the_very_picture(sample, inversion, wide):
    assert torch.equal(sample(inversion, strength=0.0, output_size="original"), wide)


def test_and_at_the_network_s_size_where_nothing_was_resized(invert, sample, photo):
    assert torch.equal(sample(invert(photo), strength=0.0), photo)


def test_the_dial_goes_smoothly_from_the_source_to_the_full_style(sample, inversion, wide, full):
    dials = (0.0, 0.02, 0.05, 0.1, 0.25, 0.5, 0.75)
    walks = [sample(inversion, strength=s, output_size="original") for s in dials] + [full]
    changes = [float((walk - wide).abs().mean()) for walk in walks]
    assert changes == sorted(changes) and changes[0] == 0
    # Nowhere more than three times as steep as were it even, and never flat.
    steps = [
        (b - a) / changes[-1] / (t - s)
        for a, b, s, t in zip(changes, changes[1:], dials, (*dials[1:], 1.0), strict=False)
    ]
    assert 0.2 < min(steps) and max(steps) < 3


def test_outside_the_mask_is_the_very_picture(sample, inversion, wide, full, left):
    result = sample(inversion, mask=left, output_size="original")
    assert torch.equal(result[:, :, 28:], wide[:, :, 28:])
    inside = (result - wide)[:, :, :28].abs().mean()
    assert inside > 0.3 * (full - wide)[:, :, :28].abs().mean()


def test_feather_softens_the_edge_from_within(pack, left):
    soften = pack.part("nodes.masks").feathered
    soft = soften(left[:, None], 8)[0, 0]
    assert torch.equal(soft[:, 28:], torch.zeros(40, 28))
    assert torch.equal(soft[:, :20], torch.ones(40, 20))  # the picture's border is no edge
    rise = soft[20, 20:28]
    assert (rise.diff() < 0).all() and 0 < rise[-1] < 0.1 and 0.9 < rise[0] <= 1
    assert torch.equal(soften(left[:, None], 0), left[:, None])


def test_thin_parts_of_a_mask_keep_a_share(pack):
    line = torch.zeros(1, 1, 32, 32)
    line[..., 15:18] = 1
    soft = pack.part("nodes.masks").feathered(line, 8)
    assert 0 < soft.max() < 0.5 and (soft > 0).equal(line > 0)


@pytest.mark.parametrize("value", [0.25, 0.5, 1.0])
def test_feather_leaves_an_even_mask_as_it_is(pack, value):
    grey = torch.full((1, 1, 20, 24), value)
    assert torch.equal(pack.part("nodes.masks").feathered(grey, 8), grey)


def test_feather_multiplies_what_is_grey(pack, left):
    soften = pack.part("nodes.masks").feathered
    gradient = torch.linspace(0.1, 1, 40)[None, None, :, None] * left[:, None]
    assert torch.allclose(soften(gradient, 8), gradient * soften(left[:, None], 8))


@pytest.mark.parametrize("width", [5, 31, 80, 150])
def test_the_ramp_is_the_distance_to_what_is_black(pack, width):
    """Against every pair of pixels; wide ramps are measured on a shrunk copy."""
    y, x = torch.meshgrid(torch.arange(120.0), torch.arange(160.0), indexing="ij")
    inside = (y - 60) ** 2 + (x - 70) ** 2 < 50**2
    outside = torch.stack([y[~inside], x[~inside]], dim=-1)
    distance = torch.cdist(torch.stack([y.flatten(), x.flatten()], dim=-1), outside).amin(1).view(120, 160)
    ramp = distance.clamp(max=width) / width
    soft = pack.part("nodes.masks").feathered(inside[None, None].float(), width)[0, 0]
    expected = torch.where(inside, ramp * ramp * (3 - 2 * ramp), torch.zeros(()))
    tolerance = 1e-5 if width < 64 else 0.06
    assert (soft - expected).abs().max() < tolerance
    assert (soft > 0).equal(inside)


def test_a_wide_feather_asks_whether_to_stop(pack, monkeypatch):
    masks, calls = pack.part("nodes.masks"), []
    monkeypatch.setattr(type(masks.HOST), "check_cancelled", lambda host: calls.append(1))
    masks.feathered(torch.ones(1, 1, 64, 64), 512)
    assert 8 < len(calls) < 2 * masks.CELLS + 2


def test_strength_and_mask_multiply(sample, inversion, wide, left):
    half = sample(inversion, mask=left, strength=0.3, output_size="original")
    whole = sample(inversion, mask=left, output_size="original")
    assert torch.equal(half[:, :, 28:], wide[:, :, 28:])
    assert 0 < (half - wide).abs().mean() < (whole - wide).abs().mean()


def test_a_white_mask_is_no_mask(sample, inversion, full):
    assert torch.equal(sample(inversion, mask=torch.ones(64, 64), output_size="original"), full)


def test_the_black_mask_of_load_image_selects_nothing(sample, inversion, wide):
    assert torch.equal(sample(inversion, mask=torch.zeros(1, 64, 64), output_size="original"), wide)


def test_a_mask_of_each_picture_of_the_batch(invert, sample, wide, left):
    inversion = invert(torch.cat([wide, wide]), size=32)
    result = sample(inversion, mask=torch.cat([left, 1 - left]), output_size="original")
    assert torch.equal(result[0, :, 28:], wide[0, :, 28:])
    assert torch.equal(result[1, :, :28], wide[0, :, :28])


def test_even_masks_of_a_batch_may_have_any_size(invert, sample, wide):
    inversion = invert(torch.cat([wide, wide]), size=32)
    result = sample(inversion, mask=torch.stack([torch.zeros(64, 64), torch.ones(64, 64)]))
    assert torch.equal(result[:1], wide) and not torch.equal(result[1:], wide)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.zeros(0, 8, 8), r"The mask has shape \(0, 8, 8\); .* Paint one on Load Image"),
        (torch.zeros(1, 0, 0), r"The mask has shape \(1, 0, 0\)"),
        (torch.eye(64), "The mask is 64x64 and the picture 56x40; give one of the same aspect"),
        (torch.ones(3, 40, 56), "There are 3 masks for 1 pictures"),
        (torch.full((40, 56), float("nan")), "The mask holds NaN or infinity in 2240 of its 2240 values"),
    ],
)
def test_unfit_masks_are_named(sample, inversion, input_error, mask, message):
    with pytest.raises(input_error, match=message):
        sample(inversion, mask=mask)


def test_frames_are_the_way_to_the_result(pack, inversion, text):
    options = {"inversion": inversion, "text": text, "crops": 2, "output_size": "original"}
    result, frames = pack.outputs("QSAttnGuidedSampler", frames_every=2, **options)
    assert frames.shape == (2, 40, 56, 3)  # of three steps, the second and the last
    assert torch.equal(frames[-1:], result)
    assert (frames[0] - frames[1]).abs().max() > 1e-3
    assert torch.equal(pack.outputs("QSAttnGuidedSampler", **options)[1], result)


def test_frames_come_picture_by_picture(pack, invert, wide, text):
    inversion = invert(torch.cat([wide, wide.flip(2)]), size=32)
    result, frames = pack.outputs("QSAttnGuidedSampler", inversion=inversion, text=text, crops=2, frames_every=1)
    assert len(frames) == 6
    assert torch.equal(frames[[2, 5]], result)
