"""The state of a training run on disk, so that it can be stopped at any time."""

from pathlib import Path

import torch


def resume(path: Path, model, ema, optimizer, device: torch.device, seed: int) -> tuple[int, float, list]:
    """(steps done, seconds spent, log rows) of the state at `path`, loaded in place; a fresh start where there is none.

    Randomness goes on with seeds that were not used before.
    """
    if not path.exists():
        return 0, 0.0, []
    state = torch.load(path, map_location=device, weights_only=True)
    for name, part in (("model", model), ("ema", ema), ("optimizer", optimizer)):
        part.load_state_dict(state[name])
    torch.manual_seed(seed + state["step"])
    return state["step"], state["seconds"], state["log"]


def save_state(path: Path, model, ema, optimizer, **progress) -> None:
    """Write what `train` resumes from; the file appears whole or not at all."""
    state = {"model": model.state_dict(), "ema": ema.state_dict(), "optimizer": optimizer.state_dict(), **progress}
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    temporary.replace(path)
