"""What a node's method is given: of each widget a value in its range, whether it was typed, linked or left out.

ComfyUI checks what is typed. Of what comes by a link it checks the type alone, and what an API call leaves out it does
not add.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from numbers import Integral, Real

from ..qs_core.errors import InputError

NUMBERS = {"INT": (Integral, "a whole number"), "FLOAT": (Real, "a number")}
OTHERS = {"STRING": (str, "a text"), "BOOLEAN": (bool, "true or false")}


def completed(cls: type, method: Callable[..., tuple]) -> Callable[..., tuple]:
    """The method of a node's class, given the default of each optional widget that is left out.

    Raises InputError, before the method runs, for a value that the widget would not take.
    """
    names = [name for name in inspect.signature(method).parameters if name != "self"]

    @wraps(method)
    def given(self, *args, **inputs):
        inputs = dict(zip(names, args, strict=False)) | inputs
        defaults = {}
        for name, value, widget in _widgets(cls, inputs):
            if name not in inputs:
                defaults[name] = value
                continue
            for each in inputs[name] if _takes_lists(cls) else [inputs[name]]:
                _check(name, each, *widget)
        return method(self, **defaults, **inputs)

    return given


def _widgets(cls: type, inputs: Mapping[str, object]) -> Iterator[tuple[str, object, tuple]]:
    """Name, default and declaration of each widget that has an input or may be left out."""
    declared, own = cls.INPUT_TYPES(), _checks_itself(cls)
    for section in ("required", "optional"):
        for name, (kind, options) in declared.get(section, {}).items():
            if "default" in options and (name in inputs or section == "optional"):
                default = [options["default"]] if _takes_lists(cls) else options["default"]
                yield name, default, (None if isinstance(kind, list) and name in own else kind, options)


def _takes_lists(cls: type) -> bool:
    return getattr(cls, "INPUT_IS_LIST", False)


def _checks_itself(cls: type) -> list[str]:
    """The inputs whose choice the node looks up by itself, such as a file's name."""
    check = getattr(cls, "VALIDATE_INPUTS", None)
    return inspect.getfullargspec(check).args if check else []


def _check(name: str, value: object, kind: object, options: Mapping) -> None:
    if isinstance(kind, list):
        if value not in kind:
            raise _refusal(name, value, f"one of {', '.join(map(str, kind))}")
    elif kind in NUMBERS:
        its, called = NUMBERS[kind]
        low, high = options["min"], options["max"]
        if not isinstance(value, its) or isinstance(value, bool) or not low <= value <= high:  # false for NaN as well
            raise _refusal(name, value, f"{called} from {low} to {high}")
    elif kind in OTHERS and not isinstance(value, OTHERS[kind][0]):
        raise _refusal(name, value, OTHERS[kind][1])


def _refusal(name: str, value: object, needed: str) -> InputError:
    return InputError(f"{name} is {value!r:.80} by a link; {needed} is needed. Change what is linked, or type a value.")
