"""The state of a training run on disk, so that it can be stopped at any time."""

from pathlib import Path

import torch


def save_state(path: Path, model, ema, optimizer, **progress) -> None:
    """Write what `train` resumes from; the file appears whole or not at all."""
    state = {"model": model.state_dict(), "ema": ema.state_dict(), "optimizer": optimizer.state_dict(), **progress}
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    temporary.replace(path)
