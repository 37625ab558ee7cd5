"""Apply Style: the same pictures as Python, frame by frame and held steady."""

import pytest
import torch

from qs_core import demo
from qs_core.unguided import StyleSettings, run

SPACING = "500:4"


@pytest.mark.parametrize("steady", [0.0, 0.95])
def test_the_node_is_python(pack, model, photo, steady):
    frames = torch.cat([photo, photo.roll(2, dims=2)])
    inversion = pack("EncodeInvertDDIM", model=model, image=frames, size=32, skip=1, spacing=SPACING)
    styles = pack("QSLoadStyle", model=model, style_name="golden", weight="1")
    node = pack("QSApplyStyle", inversion=inversion, styles=styles, points=3, steady=steady)
    settings = StyleSettings((str(demo.STYLES["golden"]),), size=32, inversion=SPACING, points=3, steady=steady)
    python = [made.picture for made in run([frame.movedim(-1, 0) * 2 - 1 for frame in frames], settings)]
    torch.testing.assert_close(node.movedim(-1, 1), ((torch.stack(python) + 1) / 2).clamp(0, 1), rtol=0, atol=1e-4)
