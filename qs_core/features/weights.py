"""Weights of frozen networks: those that a file has, or that a hub has and this machine lacks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import huggingface_hub
from torch import Tensor
from torch.nn import Module

from ..checkpoints.contents import require_same, require_weight, shown
from ..errors import InputError, UnsupportedCheckpoint, first_line

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
    require_same(own, state, name, kind, "Is it such a network, whole? Choose the name that fits the file.")
    for key, wanted in own.items():
        if wanted.is_floating_point():
            require_weight(state[key], key, name)
        elif state[key].dtype.is_floating_point:
            raise UnsupportedCheckpoint(f"{name} has numbers where {kind} counts ({shown(key)}). Choose another file.")
    network.load_state_dict(state)


def begin_all(downloads: Sequence[Download], announce: Announce | None) -> None:
    """Say so of each. Raises InputError where downloads are switched off."""
    for download in downloads:
        download.begin(announce)


def otherwise(downloads: Sequence[Download]) -> str:
    """What a person can do where these downloads fail, in sentences."""
    return "".join(f" {d.what} comes from {d.address} and belongs into {d.folder}. {d.otherwise}" for d in downloads)
