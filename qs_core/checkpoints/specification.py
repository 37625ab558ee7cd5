"""What a checkpoint is: each value of its configuration, and where that value comes from.

Shapes tell most of it. Head count, attention order, noise schedule, kind of variance and image size they cannot tell:
these are given by the caller, stated in the file's own header, looked up among the published files of the same
architecture, or guessed by rule, in this order.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

from torch import Tensor

from .. import checkpoints, demo, unets
from ..errors import InputError, UnsupportedCheckpoint
from ..paths import exists, expanded, require_possible
from ..schedule import NOISE
from ..unets import diffusers
from .contents import require_weight
from .known import Known, Signature, by_file, by_sha256, by_signature

LOOKED_UP, BY_SHAPES = "looked up", "looked up by shapes"  # as this very file's; as that of others with these shapes
VARIANCES = ("learned", "fixed_small", "fixed_large")
OPTIONS = (*unets.HEADS, "image_size", "noise_schedule", "variance")  # guided-diffusion's flags, but for the last
READ_FLAGS = {  # those of guided-diffusion's flags that shapes tell: given, they must agree
    "learn_sigma": lambda config: config.out_channels == 6,
    "class_cond": lambda config: getattr(config, "num_classes", 0) > 0,
    "num_channels": lambda config: config.num_channels,
    "num_res_blocks": lambda config: config.num_res_blocks,
    "resblock_updown": lambda config: getattr(config, "resblock_updown", False),
    "use_scale_shift_norm": lambda config: getattr(config, "use_scale_shift_norm", False),
}
LARGEST_IMAGE = 8192
IMAGE_SIZES = {  # guided-diffusion's own table of multipliers
    (0.5, 1, 1, 2, 2, 4, 4): 512,
    (1, 1, 2, 2, 4, 4): 256,
    (1, 1, 2, 3, 4): 128,
    (1, 2, 3, 4): 64,
}


@dataclass(frozen=True)
class Specification:
    """A checkpoint's whole configuration; `origins` says where each value, by name, comes from."""

    name: str
    config: unets.Config
    image_size: int
    noise_schedule: str
    variance: str
    parameters: int
    origins: Mapping[str, str]
    known: tuple[Known, ...]  # the published files of this architecture
    notes: tuple[str, ...] = ()  # what was chosen in the file, a clause each

    @property
    def family(self) -> str:
        """adm or ddpm."""
        return unets.family_of(self.config).name

    @property
    def guessed(self) -> tuple[str, ...]:
        """The values that were guessed by rule."""
        return tuple(name for name, origin in self.origins.items() if origin == "guessed")

    @property
    def options(self) -> dict[str, object]:
        """What shapes cannot tell, as `load_model` takes it and a converted file's header states it."""
        return {**_heads(self.config), **{name: getattr(self, name) for name in OPTIONS if name not in unets.HEADS}}

    def rows(self) -> list[tuple[str, object, str]]:
        """(name, value, origin) of every value of the configuration."""
        shapes = {f.name: getattr(self.config, f.name) for f in fields(self.config) if f.name not in unets.HEADS}
        shapes = {name: value for name, value in shapes.items() if value is not None}
        read = {"family": self.family, "parameters": self.parameters, **shapes}
        return [
            *((name, value, "read") for name, value in read.items()),
            *((name, value, self.origins[name]) for name, value in self.options.items()),
            *(("note", note, "") for note in self.notes),
        ]


def inspect(path: str | Path = demo.NAME, **given) -> Specification:
    """The specification of a checkpoint file, or of the built-in model ("demo"); `given` are values of OPTIONS.

    Raises InputError for a value that does not fit, UnsupportedCheckpoint for a file that is no such model.
    """
    return read(path, **given)[0]


def read(path: str | Path = demo.NAME, **given) -> tuple[Specification, dict[str, Tensor]]:
    """The specification of a file, or of a folder that diffusers saved, and its state dict."""
    path = located(path)
    known = by_file(path.name)
    if known and not exists(path):
        there = " Put it there." if known.source else f" {known.note}."
        raise InputError(f"No model file at {path}. {known.advice}{there}")
    found, header = checkpoints.find(path)
    header.pop(checkpoints.STYLE, None)  # a style of full weights is a network as any other
    notes, state = [found.choice] if found.choice else [], found.state
    if diffusers.detect(state):
        stated = diffusers.stated(path)
        if stated is None:
            notes.append(f"taken as one of Ho et al.'s networks, as no {diffusers.CONFIG} is beside it")
        state, header = diffusers.renamed(state), {**(stated or {}), **header}
    specification = specify(state, header, path.name, lambda: checkpoints.sha256(path), **given)
    return replace(specification, notes=tuple(notes)), state


def located(path: str | Path) -> Path:
    """The file that is meant: the built-in model's for "demo", a folder's own for one that diffusers saved."""
    path = expanded(demo.resolve(path, demo.UNET))
    return (diffusers.file_in(path) if exists(path) and path.is_dir() else None) or path


def convert(source: str | Path, target: str | Path, **given) -> Specification:
    """Write a safetensors file of the same weights with its configuration in the header, so that nothing is guessed.

    Weights keep their type. Raises InputError for a target that is there, or has another suffix.
    """
    target = expanded(target)
    require_possible(target)
    if target.suffix.lower() not in (".safetensors", ".sft"):
        raise InputError(f"{target}: the converted file is a safetensors file; give a name ending in .safetensors.")
    if target.exists():
        raise InputError(f"{target} is there already. Give another name, or move it away.")
    if not target.parent.is_dir():
        raise InputError(f"There is no folder {target.parent} for the converted file. Make it first.")
    specification, state = read(source, **given)
    for key, tensor in state.items():
        require_weight(tensor, key, specification.name)
    checkpoints.write(target, {key: tensor.contiguous() for key, tensor in state.items()}, specification.options)
    return specification


def specify(
    state: Mapping[str, Tensor],
    header: Mapping,
    name: str = "checkpoint",
    digest: Callable[[], str] | None = None,
    **given,
) -> Specification:
    """The specification of a state dict with what its file's header states.

    `digest` gives the file's SHA-256; it is asked only where published files of one architecture differ.
    """
    given = {key: value for key, value in given.items() if value is not None}
    flags = {key: given.pop(key) for key in READ_FLAGS if key in given}
    given = _checked(given, InputError, "is given")
    stated = _checked(header, UnsupportedCheckpoint, f"stands in the header of {name}")
    read_only = unets.read_config(state, name)
    known = by_signature(signature(read_only))
    if known and all(entry.refused for entry in known) and "noise_schedule" not in {**stated, **given}:
        raise UnsupportedCheckpoint(
            f"{name} has the shapes of {known[0].name}: {known[0].refused}. Use another network; if it is your own and "
            "has 1000 steps, give its noise_schedule."
        )
    sources = (("given", given), ("stated", stated), _looked_up(known, name, digest))
    heads, origins = _choose_heads(sources)
    config = unets.read_config(state, name, **heads)
    _check_network(config, state, name, origins)
    _check_flags(flags, config, name)
    values = {"image_size": _image_size(config), "noise_schedule": "linear", "variance": _variance(config)}
    for option in values:
        origins[option] = "guessed"
        for origin, source in reversed(sources):
            if option in source:
                values[option], origins[option] = source[option], origin
    if config.out_channels == 6 and origins["variance"] in ("guessed", LOOKED_UP, BY_SHAPES):
        values["variance"], origins["variance"] = "learned", "read"
    _check_variance(values["variance"], config, name, origins["variance"])
    origins = {option: origins[option] for option in (*_heads(config), *values)}
    parameters = sum(tensor.numel() for tensor in state.values())
    return Specification(name, config, **values, parameters=parameters, origins=origins, known=known)


def _heads(config: unets.Config) -> dict[str, object]:
    """What shapes cannot tell of a network's attention."""
    if unets.family_of(config).name == "ddpm":
        return {}
    by_channels = config.num_head_channels > 0
    count = "num_head_channels" if by_channels else "num_heads"
    return {count: getattr(config, count), "use_new_attention_order": config.use_new_attention_order}


def signature(config: unets.Config) -> Signature:
    """What shapes tell of a network, by which the published files are found."""
    return Signature(
        family=unets.family_of(config).name,
        num_channels=config.num_channels,
        channel_mult=tuple(float(mult) for mult in config.channel_mult),
        num_res_blocks=config.num_res_blocks,
        attention_factors=tuple(config.attention_factors),
        out_channels=config.out_channels,
        use_scale_shift_norm=getattr(config, "use_scale_shift_norm", False),
        resblock_updown=getattr(config, "resblock_updown", False),
        num_classes=getattr(config, "num_classes", 0),
    )


def _check_flags(flags: Mapping, config: unets.Config, name: str) -> None:
    """Raises InputError where one of guided-diffusion's flags says otherwise than the shapes."""
    for flag, value in flags.items():
        read = READ_FLAGS[flag](config)
        if value != read:
            raise InputError(f"{flag}={value!r} is given, but the shapes of {name} say {read!r}. Leave it out.")


def _checked(options: Mapping, error: type[InputError], where: str) -> dict:
    """The options, each of a known name and possible value."""
    for key, value in options.items():
        if key not in OPTIONS:
            raise error(
                f"Model option {str(key)[:40]!r} {where}, and is unknown. Use {', '.join(OPTIONS)}; the rest is read."
            )
        if not _possible(key, value):
            raise error(f"{key}={str(value)[:40]!r} {where}, and is impossible. Use {_ALLOWED[key]}.")
    return dict(options)


_ALLOWED = {
    "num_heads": "a whole number of attention heads, e.g. 4",
    "num_head_channels": "a whole number of channels, e.g. 64",
    "use_new_attention_order": "true or false",
    "image_size": f"pixels from 8 to {LARGEST_IMAGE}",
    "noise_schedule": f"one of {', '.join(NOISE)}",
    "variance": f"one of {', '.join(VARIANCES)}",
}


def _possible(key: str, value: object) -> bool:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return {
        "num_heads": whole and -1 <= value <= 10_000,  # 0 and -1: unused, as in guided-diffusion
        "num_head_channels": whole and -1 <= value <= 10_000,
        "use_new_attention_order": isinstance(value, bool),
        "image_size": whole and 8 <= value <= LARGEST_IMAGE,
        "noise_schedule": isinstance(value, str) and value in NOISE,
        "variance": isinstance(value, str) and value in VARIANCES,
    }[key]


def _looked_up(known: tuple[Known, ...], name: str, digest: Callable[[], str] | None) -> tuple[str, dict]:
    """The settings of this very file, known by its name or its hash; else what all files of these shapes share."""
    settings = [dict(entry.settings) for entry in known]
    if not settings:
        return BY_SHAPES, {}
    common = {key: value for key, value in settings[0].items() if all(s.get(key, ...) == value for s in settings)}
    this = by_file(name)
    if this is None or this not in known:
        this = by_sha256(digest()) if digest and any(s != common for s in settings) else None
    return (LOOKED_UP, dict(this.settings)) if this else (BY_SHAPES, common)


def _choose_heads(sources: tuple[tuple[str, Mapping], ...]) -> tuple[dict, dict[str, str]]:
    """The overrides for `read_config`, and where each is from. num_heads and num_head_channels exclude each other."""
    heads, origins = {}, dict.fromkeys(unets.HEADS, "guessed")
    counts = ("num_heads", "num_head_channels")
    for origin, source in reversed(sources):
        if any(source.get(count, 0) > 0 for count in counts):
            heads = {count: source[count] for count in counts if count in source}
            if "num_heads" in heads and heads.get("num_head_channels", 0) <= 0:
                heads["num_head_channels"] = 0
            origins |= {count: origin for count in counts}
        if "use_new_attention_order" in source:
            heads["use_new_attention_order"] = source["use_new_attention_order"]
            origins["use_new_attention_order"] = origin
    return heads, origins


def _image_size(config: unets.Config) -> int:
    """By rule: guided-diffusion's table of multipliers; else attention at 16 pixels, or 256."""
    mult = tuple(config.channel_mult)
    if mult in IMAGE_SIZES:
        return IMAGE_SIZES[mult]
    return 16 * max(config.attention_factors) if config.attention_factors else 256


def _variance(config: unets.Config) -> str:
    return "learned" if config.out_channels == 6 else unets.family_of(config).network.default_variance


def _check_network(config: unets.Config, state: Mapping[str, Tensor], name: str, origins: Mapping[str, str]) -> None:
    """Raises InputError for attention heads that do not fit, and says where their number is from."""
    try:
        unets.check(config, state, name)
    except UnsupportedCheckpoint:
        raise
    except InputError as error:
        count = next(iter(_heads(config)))
        if origins[count] == "given":
            raise
        raise InputError(f"{error} It was {origins[count]}, not given: set num_heads or num_head_channels.") from error


def _check_variance(variance: str, config: unets.Config, name: str, origin: str) -> None:
    learned = config.out_channels == 6
    if (variance == "learned") != learned:
        told = "" if origin == "given" else f" ({origin}, not given)"
        raise InputError(
            f"variance={variance!r}{told} does not fit {name}, whose network "
            f"{'learned its variance. Leave it out' if learned else 'has a fixed one. Use fixed_small or fixed_large'}."
        )
