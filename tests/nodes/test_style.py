"""Style from Picture: the same picture as Python, alone and mixed with a phrase, and what it refuses."""

import pytest
import torch

from qs_core import demo, stylize
from qs_core.pictures import read

WALK = {"size": 32, "steps": "6", "skip": 3, "crops": 4, "clip_dtype": "float32"}


@pytest.fixture(scope="module")
def clip(pack):
    return pack("LoadOpenCLIP", dtype="float32")


@pytest.fixture(scope="module")
def style(pack, clip):
    """Style from Picture of a bundled painting."""
    image = pack("QSSampleImage", picture="swirls")
    return lambda **inputs: pack("QSStylePicture", **{"clip": clip, "image": image, **inputs})


def drawn(pack, invert, photo, text, **options):
    return pack("QSAttnGuidedSampler", inversion=invert(photo), text=text, crops=4, **options)


@pytest.mark.parametrize("prompt, weight", [("", 1.0), ("golden", 3.0)])
def test_the_node_is_python(pack, invert, photo, clip, style, prompt, weight):
    given = {"text": pack("CLIPTextDirection", clip=clip, prompt=prompt)} if prompt else {}
    node = drawn(pack, invert, photo, style(weight=weight, colour_transfer=0.25, **given))
    source = photo[0].movedim(-1, 0).clone() * 2 - 1
    python = stylize(
        source,
        [prompt] if prompt else [],
        style_images=demo.STYLE_PICTURES["swirls"],
        style_weights=[weight],
        colour_transfer=0.25,
        **WALK,
    )
    torch.testing.assert_close(node[0].movedim(-1, 0), ((python.picture + 1) / 2).clamp(0, 1), rtol=0, atol=1e-5)


def test_at_strength_0_the_very_photo_comes_out(pack, invert, photo, style):
    assert torch.equal(drawn(pack, invert, photo, style(colour_transfer=1.0), strength=0.0), photo)


def test_a_batch_is_the_mean_of_its_styles(pack, style):
    image = (torch.stack([read(demo.STYLE_PICTURES[name]) for name in ("swirls", "woodblock")]).movedim(1, -1) + 1) / 2
    both, chained = style(image=image), style(image=image[:1], text=style(image=image[1:]))
    assert both.direction.weights.tolist() == chained.direction.weights.tolist() == [0.5, 0.5]


def test_the_text_of_another_clip_is_refused(pack, input_error, style):
    other = pack("CLIPTextDirection", clip=pack("LoadOpenCLIP", dtype="bfloat16"))
    with pytest.raises(input_error, match="another CLIP. Link both nodes to the same"):
        style(text=other)
