"""Which content layers the contrastive loss compares, and which of them attend: named by resolution."""

from collections.abc import Sequence

from ..anchors import Anchors, Attention
from ..errors import InputError
from ..protocol import Model


def parse_layers(named: Sequence[int] | int | str | None, what: str = "attend") -> tuple[int, ...] | str | None:
    """Layers by resolution: None for nothing, "all", or resolutions from 32, (32, 16) or "32,16".

    Raises InputError for anything else.
    """
    named = named.strip().lower() if isinstance(named, str) else named
    if named in (None, "", "all"):
        return named or None
    try:
        parts = named.split(",") if isinstance(named, str) else [named] if isinstance(named, int) else named
        return tuple(int(part) for part in parts)
    except (TypeError, ValueError):
        raise InputError(f"{what} {named!r} is not understood; give resolutions such as 32,16, or all.") from None


def choose_layers(
    model: Model, height: int, width: int, layers: Sequence[int] | str | None, attend: Sequence[int] | str | None
) -> tuple[list[int], frozenset[int]]:
    """Which content layers are compared, all for None, and which of these attend, the two deepest for None.

    Layers are named by resolution, the short side of their map; both answers count, the second among the first. Where
    more than two layers have one size, as in transformers, the numbers 1, 2, … name them as well, shallow to deep.
    Raises InputError for a resolution that no layer has, or that attends and is not compared.
    """
    resolutions = [min(height, width) // layer.factor for layer in model.content_layers()]
    if len(resolutions) > 2 and len(set(resolutions)) == 1:
        layers, attend = (_by_depth(named, resolutions) for named in (layers, attend))
        resolutions = list(range(1, len(resolutions) + 1))
    compared = None if layers == "all" else layers
    named = () if attend in (None, "all") else attend
    _require(resolutions, compared or (), f"at {width}x{height}", ". Leave layers empty for all.")
    _require(resolutions, named, f"at {width}x{height}", ", or all.")
    chosen = [k for k, resolution in enumerate(resolutions) if not compared or resolution in compared]
    outside = [resolution for resolution in named if compared and resolution not in compared]
    if outside:
        left = ", ".join(str(resolution) for resolution in dict.fromkeys(compared))
        raise InputError(
            f"attend names resolution {outside[0]}, which layers leaves out; there are {left}. Choose among those, or "
            "leave attend empty for the two deepest of them."
        )
    attending = chosen if attend == "all" else [k for k in chosen if resolutions[k] in named] if named else chosen[-2:]
    return chosen, frozenset(chosen.index(k) for k in attending)


def _by_depth(named: Sequence[int] | str | None, resolutions: list[int]) -> Sequence[int] | str | None:
    """The layers' numbers, from 1, where they are named by their one resolution. Raises InputError for a number that
    no layer has."""
    if named in (None, "all"):
        return named
    one, count = resolutions[0], len(resolutions)
    unknown = [number for number in named if number != one and not 1 <= number <= count]
    if unknown:
        raise InputError(
            f"No layer has resolution or number {unknown[0]}. All {count} layers of this model have resolution {one}: "
            f"name them by number, 1 (shallow) to {count} (deep), or say all."
        )
    return "all" if one in named and one > count else named


def _require(resolutions: Sequence[int], named: Sequence[int], where: str, advice: str) -> None:
    missing = [resolution for resolution in named if resolution not in resolutions]
    if missing:
        known = ", ".join(str(resolution) for resolution in dict.fromkeys(resolutions))
        raise InputError(f"No layer has resolution {missing[0]}; {where} there are {known}{advice}")


def choose_anchors(
    model: Model,
    height: int,
    width: int,
    kind: str,
    number: int | None = None,
    attend: Sequence[int] | str | None = None,
    attention: Attention = Attention(),  # noqa: B008 - frozen
    layers: Sequence[int] | str | None = None,
) -> Anchors:
    """Anchors for pictures of one size; `attend` and `layers` as in `choose_layers`.

    Raises InputError as that does, and for more anchors than any layer has positions.
    """
    if number is not None and number > height * width:
        raise InputError(
            f"{number} anchors: the largest map of a {width}x{height} picture has {height * width} positions."
        )
    return Anchors(kind, number or 256, choose_layers(model, height, width, layers, attend)[1], attention)
