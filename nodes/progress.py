"""ComfyUI's progress bar and preview, and sentences to the user."""

import logging
from collections.abc import Callable

from einops import rearrange
from torch import Tensor

from ..qs_core import pictures
from .host import hosted

PREVIEW_SIDE = 512  # pixels
PREVIEW_PICTURES = 4  # of a batch, side by side


class Bar:
    """Tells ComfyUI of each step of a number of pictures, and shows a preview of every n-th (0: none)."""

    def __init__(self, steps: int, pictures: int, preview_every: int = 0):
        self.steps, self.total, self.every, self.bar = steps, steps * pictures, preview_every, None
        if hosted():
            from comfy.utils import ProgressBar

            self.bar = ProgressBar(self.total)

    def __call__(self, rows: slice, step: int, look: Callable[[], Tensor | None]) -> None:
        """The pictures before `rows` are done and those have made `step` of their steps; `look` gives how they look,
        (B, 3, H, W) in about [-1, 1], or None for no preview."""
        if self.bar is None:
            return
        due = self.every and (step % self.every == 0 or step == self.steps)
        done = rows.start * self.steps + (rows.stop - rows.start) * step
        seen = look() if due else None
        self.bar.update_absolute(done, self.total, None if seen is None else _preview(seen))


def _preview(picture: Tensor) -> tuple:
    row = rearrange(picture[:PREVIEW_PICTURES], "b c h w -> c h (b w)")
    return "JPEG", pictures.to_image(row), PREVIEW_SIDE


def say(sentence: str) -> None:
    """Tell the user, in the log and on the node that runs."""
    logging.warning("QS: %s", sentence)
    if not hosted():
        return
    from comfy_execution.utils import get_executing_context
    from server import PromptServer

    if context := get_executing_context():
        PromptServer.instance.send_progress_text(sentence, context.node_id)
