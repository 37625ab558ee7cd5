"""Description: all that command line, nodes and presets need to know of a loss. They are made from it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch

from .. import values
from ..errors import InputError
from ..features.clip import TextDirection
from ..features.weights import Announce
from ..protocol import Model
from .base import Loss, Term

KINDS = {"weight": float, "number": float, "whole": int}
REFERENCE_AREA = 256 * 256  # the picture size at which weights are quoted


@dataclass(frozen=True)
class Option:
    """One setting of a loss: a field of `Settings`, a flag of the command line, and a widget of the nodes.

    `kind` "range" is a pair of numbers, whose tooltip is a pair as well. A default of None stands as 0 or as empty text
    in a widget. One that came after its node was published is `appended`: its widget stands last, so that saved
    workflows keep their values. `parse` makes the stored value of a given one, and raises InputError. `advanced`
    widgets are folded away; without a tooltip there is none.
    """

    name: str
    kind: Literal["weight", "number", "whole", "choice", "text", "range"]
    default: Any
    help: str
    tooltip: str | tuple[str, str] = ""
    low: float = 0.0
    high: float = 1e6
    step: float = 10.0
    choices: tuple[str, ...] = ()
    metavar: str = "W"
    placeholder: str = ""  # what an empty text widget shows
    parse: Callable[[Any], Any] | None = None
    advanced: bool = False
    role: Literal["style", "content", ""] | None = None  # of a weight, where it is not its loss's
    appended: bool = False
    widget_default: Any = None  # another one than the library's

    def stored(self, value: Any) -> Any:
        """What `Settings` holds of a given value. Raises InputError for another kind of value."""
        if self.kind == "range":
            value = values.numbers(self.name, value)
        elif self.kind in KINDS:
            kind = KINDS[self.kind]
            value = values.plain(self.name, value, kind | None if self.default is None else kind)
        if self.kind == "whole" and value is not None and value < self.low:
            raise InputError(f"{self.name} {value}: at least {self.low:g} is needed.")
        return self.parse(value) if self.parse else value


class Setting(NamedTuple):
    """What a loss is made for: the model, the phrases, the picture's size, and the loss's own network if it has one."""

    model: Model
    text: TextDirection
    height: int
    width: int
    network: torch.nn.Module | None


@dataclass(frozen=True)
class Description:
    """One kind of loss.

    `kind` is the loss's name, `node`, `title`, `text` and `aliases` are its node's. `role` says which dial
    multiplies its weights. `make` gives the loss for settings; `check` refuses what no picture is needed to
    refuse; `load` gives its own network for settings on a device, and tells of a download;
    None where the guiding CLIP stands in. `takes_text`: its node has an input for a text of its
    own.
    """

    kind: str
    options: tuple[Option, ...]
    make: Callable[[Any, Setting], Loss]
    node: str
    title: str
    text: str
    aliases: tuple[str, ...]
    role: Literal["style", "content", ""] = ""
    check: Callable[[Any], object] = lambda settings: None
    load: Callable[[Any, torch.device, Announce | None], torch.nn.Module | None] | None = None
    takes_text: bool = False
    names: tuple[str, ...] = field(init=False)
    weights: tuple[str, ...] = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "names", tuple(option.name for option in self.options))
        object.__setattr__(self, "weights", tuple(o.name for o in self.options if o.kind == "weight"))

    @property
    def roles(self) -> dict[str, str]:
        """The dial that multiplies each weight."""
        weights = (option for option in self.options if option.kind == "weight")
        return {option.name: self.role if option.role is None else option.role for option in weights}

    def wished(self, settings: Any) -> bool:
        """Whether any weight is not zero."""
        return any(getattr(settings, name) for name in self.weights)

    def term(self, settings: Any, setting: Setting) -> Term:
        """The weighted loss for pictures of one size, times the dial of its role.

        A mean over pixels or crops pulls each pixel 256²/(H·W) times harder on a small picture; the weights are scaled
        back by H·W/256².
        """
        scale = setting.height * setting.width / REFERENCE_AREA
        dials = {name: getattr(settings, role) if role else 1.0 for name, role in self.roles.items()}
        weights: Mapping[str, float] = {name: scale * dials[name] * getattr(settings, name) for name in self.weights}
        return Term(weights if len(weights) > 1 else weights[self.kind], self.make(settings, setting))
