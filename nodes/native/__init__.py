"""The host's own models as a QS_MODEL: UseNativeModel, UseNativeModelX0.

`adapters` are the nodes; `model` is the library's Model on a host's MODEL and VAE; `session` runs a walk inside of the
host's sampling. `families` is the list of networks that are known to have a gradient.
"""

from .adapters import UseNativeModel, UseNativeModelX0

__all__ = ["UseNativeModel", "UseNativeModelX0"]
