"""Weights of frozen networks: those that a file has, or that a hub has and this machine lacks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import huggingface_hub
from torch import Tensor
from torch.nn import Module

from ..errors import InputError, UnsupportedCheckpoint

Announce = Callable[[str], None]


@dataclass(frozen=True)
class Download:
    """What a network needs and this machine lacks, its address, the folder it goes to, and the way without it."""

    what: str
    address: str
    folder: str
    otherwise: str

    @property
    def sentence(self) -> str:
        """What a person is told before it begins."""
        return f"{self.what} will be downloaded from {self.address} to {self.folder}."

    def begin(self, announce: Announce | None) -> None:
        """Say so. Raises InputError where downloads are switched off."""
        if huggingface_hub.constants.HF_HUB_OFFLINE:
            raise InputError(
                f"{self.what} would have to be downloaded from {self.address} to {self.folder}, and HF_HUB_OFFLINE "
                f"forbids it. Unset it. {self.otherwise}"
            )
        if announce:
            announce(self.sentence)

    def fetch(self, get: Callable[[], str], announce: Announce | None) -> str:
        """The path that `get` downloads to, after saying so. Raises InputError where it fails."""
        self.begin(announce)
        try:
            return get()
        except Exception as error:  # a connection can fail in any way
            raise InputError(
                f"{self.what} could not be downloaded from {self.address} to {self.folder} ({first_line(error)}). "
                f"Check the connection. {self.otherwise}"
            ) from error


def cached(repository: str, *files: str) -> str | None:
    """The path of the first of a Hugging Face repository's files that the local cache holds; no network is asked."""
    paths = (huggingface_hub.try_to_load_from_cache(repository, file) for file in files)
    return next((path for path in paths if isinstance(path, str)), None)


def from_hub(what: str, repository: str, otherwise: str) -> Download:
    """The download of a Hugging Face repository's file into the local cache."""
    constants = huggingface_hub.constants
    return Download(what, f"{constants.ENDPOINT}/{repository}", constants.HF_HUB_CACHE, otherwise)


def load_exactly(network: Module, state: Mapping[str, Tensor], name: str, kind: str) -> None:
    """Fill `network`, in its own number format, with all of `state`.

    Raises UnsupportedCheckpoint that names missing, left over, other-shaped, low-bit and non-finite weights.
    """
    own = network.state_dict()
    faults = {
        "missing": [key for key in own if key not in state],
        "left over": [key for key in state if key not in own],
        "of another shape": [key for key in own if key in state and own[key].shape != state[key].shape],
        "not plain numbers": [key for key in own if key in state and not _plain(own[key], state[key])],
    }
    told = [
        f"{len(keys)} {what} ({', '.join(key[:60] for key in keys[:3])}{' …' * (len(keys) > 3)})"
        for what, keys in faults.items()
        if keys
    ]
    if told:
        raise UnsupportedCheckpoint(
            f"{name} does not load as {kind}; keys: {'; '.join(told)}. Is it such a network, whole? Choose the name "
            "that fits the file, or another file."
        )
    network.load_state_dict(state)


def _plain(own: Tensor, tensor: Tensor) -> bool:
    """Whether a weight has at least 16 bits, as many kinds of number as the network's, and no NaN or infinity."""
    if not own.is_floating_point():
        return not tensor.is_floating_point()
    return tensor.is_floating_point() and tensor.element_size() > 1 and bool(tensor.isfinite().all())


def begin_all(downloads: Sequence[Download], announce: Announce | None) -> None:
    """Say so of each. Raises InputError where downloads are switched off."""
    for download in downloads:
        download.begin(announce)


def otherwise(downloads: Sequence[Download]) -> str:
    """What a person can do where these downloads fail, in sentences."""
    return "".join(f" {d.what} comes from {d.address} and belongs into {d.folder}. {d.otherwise}" for d in downloads)


def first_line(error: Exception) -> str:
    """An error's first line, or its kind where it says nothing."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]
