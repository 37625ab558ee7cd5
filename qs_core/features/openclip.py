"""open_clip's models → CLIP, from a tag, a file or a folder.

ViT-B-16 with the tag openai is what the papers use, and the choice for real work. Nothing is downloaded but what a
chosen tag needs and this machine lacks; `load_clip` announces it.
"""

import importlib.util
import json
import logging
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from pickle import UnpicklingError

import open_clip
import torch
from open_clip.model import convert_to_custom_text_state_dict
from safetensors import SafetensorError
from torch import Tensor
from torch.nn import Module

from .. import checkpoints
from ..errors import InputError, UnsupportedCheckpoint, first_line
from ..modes import loading
from ..paths import expanded, is_file
from .clip import CLIP, Vocabulary
from .names import (
    CONFIG,
    HUB,
    TOKENIZER_FILES,
    WEIGHTS,
    is_folder,
    own_name,
    resolved,
)
from .weights import Announce, Download, begin_all, cached, from_hub, load_exactly, otherwise

# What OpenAI's archives keep beside the weights. Whoever saves their state dict saves these with it.
OPENAI_FIELDS = {"input_resolution", "context_length", "vocab_size"}
INSTEAD = "Or fetch it from there by other means and give the path of that file in place of the tag."


@loading()
def load_clip(
    name: str,
    pretrained: str | Path | None = None,
    *,
    device: str | torch.device = "cpu",
    announce: Announce | None = None,
    instead: str = INSTEAD,
) -> CLIP:
    """An open_clip model in float32, frozen: a name with `pretrained`, or a folder in open_clip's own format.

    Names are open_clip's own, OpenAI's (ViT-B/16), hf-hub:OWNER/NAME, local-dir:FOLDER or the folder by itself, and
    "demo" for the built-in one; the last four have their weights with them, and `pretrained` is not used.
    `pretrained` is one of open_clip's tags for that name, or a file with the state dict of the whole model. A tag whose
    weights are on this machine is loaded from there, without asking the network. `announce` is given one sentence
    before each download begins, and one where a file cannot say what it needs. `instead` is what an error says to do
    where a tag's weights cannot be downloaded.

    No file of weights says its activation. A tag knows it; a file is run as the name says: ViT-B-16 has GELU,
    ViT-B-16-quickgelu QuickGELU, which the weights of OpenAI, DFN and MetaCLIP need. Only a file with the fields of
    OpenAI's archives is known to need QuickGELU, and gets it. `CLIP.activation` tells which one runs. Nor does a file
    say how its pictures are normalised: as for most of the name's tags.

    Raises InputError for an unknown name or tag and for a download that fails, UnsupportedCheckpoint for a file of
    something else.
    """
    given, name = name, resolved(name, announce)
    folder = Path(name)
    if is_folder(name):
        downloads = _check_text_network(name)
        begin_all(downloads, announce)
        network = _create(name, folder, device, downloads, require_pretrained=True)
    else:
        file = _local_file(name, pretrained)
        downloads = _check_text_network(name)
        load = partial(_from_tag, instead) if file is None else _from_file
        network = load(name, pretrained if file is None else file, device, downloads, announce)
    visual = network.visual
    return CLIP(
        network.float().eval().requires_grad_(False),
        _tokenizer(name, downloads),
        visual.image_size[0] if isinstance(visual.image_size, tuple) else visual.image_size,
        tuple(visual.preprocess_cfg["mean"]),
        tuple(visual.preprocess_cfg["std"]),
        folder.name if is_folder(name) and not given.startswith(HUB) else given,
        _vocabulary(folder),
    )


def is_tag(name: str, pretrained: str) -> bool:
    """Whether `pretrained` is one of open_clip's tags for that name. Raises InputError for an unknown name."""
    return bool(open_clip.get_pretrained_cfg(own_name(name), pretrained))


def tags_of(name: str) -> list[str]:
    """open_clip's tags for that name."""
    return open_clip.list_pretrained_tags_by_model(own_name(name))


def all_tags() -> list[str]:
    """open_clip's tags for any name, each once."""
    return list(dict.fromkeys(tag for _, tag in open_clip.list_pretrained()))


def _identifier(name: str) -> str:
    return f"local-dir:{Path(name).resolve()}" if is_folder(name) else name


def _local_file(name: str, pretrained: str | Path | None) -> Path | None:
    """The file that `pretrained` names, None for a tag. Raises InputError for an unknown name, and for neither."""
    tags = ", ".join(tags_of(name)) or "none"
    if not pretrained:
        raise InputError(f"{name} needs weights: give a pretrained tag ({tags}) or a file.")
    if open_clip.get_pretrained_cfg(name, str(pretrained)):
        return None
    file = expanded(pretrained)
    if not is_file(file):
        raise InputError(f"{name} has no weights {str(pretrained)!r}: it is none of its tags ({tags}), and no file.")
    return file


def _from_tag(
    instead: str,
    name: str,
    tag: str,
    device: str | torch.device,
    downloads: Sequence[Download],
    announce: Announce | None,
) -> Module:
    """The network with a tag's weights: from the cache where they are there, else downloaded."""
    cfg = open_clip.get_pretrained_cfg(name, tag)
    path, download = _tagged_weights(name, tag, instead)
    path = path or download.fetch(lambda: open_clip.download_pretrained(cfg), announce)
    begin_all(downloads, announce)
    # Where the named configuration has another activation than the tag, open_clip only warns and is wrong.
    quick, normalisation = bool(cfg.get("quick_gelu")), {"mean": cfg["mean"], "std": cfg["std"]}
    return _create(
        name, path, device, downloads, pretrained=path, force_quick_gelu=quick, force_preprocess_cfg=normalisation
    )


def _from_file(
    name: str, path: Path, device: str | torch.device, downloads: Sequence[Download], announce: Announce | None
) -> Module:
    """The network with a file's weights, all of them and nothing else."""
    state, _ = checkpoints.read(path)
    quick = state.keys() >= OPENAI_FIELDS
    state = {key: tensor for key, tensor in state.items() if key not in OPENAI_FIELDS}
    _check_layout(state, path)
    if announce and not quick:
        for sentence in _unsaid(name, path):
            announce(sentence)
    begin_all(downloads, announce)
    with _no_false_alarm():
        network = _create(
            name,
            path,
            device,
            downloads,
            pretrained_text=False,
            force_quick_gelu=quick,
            force_preprocess_cfg=_usual_normalisation(name),
        )
    load_exactly(network, _as_named_by(network, state), f"{path}", f"CLIP {name}")
    return network


def _check_layout(state: Mapping[str, Tensor], path: Path) -> None:
    """Raises UnsupportedCheckpoint for transformers' layout, and for one tower of the two."""
    picture = any(key.startswith("visual.") for key in state)
    foreign = next((key for key in state if re.search(r"(^|\.)(vision_model|text_model)\.", key)), None)
    if foreign:
        towers = {part for key in state for part in ("vision_model", "text_model") if f"{part}." in key}
        what = {("vision_model",): "a CLIP-vision file, as ComfyUI's Load CLIP Vision takes: the picture tower alone"}
        what[("text_model",)] = "a text encoder, as ComfyUI's Load CLIP takes: the text tower alone"
        told = what.get(tuple(towers), "a CLIP in the layout of Hugging Face's transformers")
    elif not picture or all(key.startswith("visual.") for key in state):
        told = f"{'the picture tower of a CLIP alone' if picture else 'no CLIP with a picture tower'}"
        foreign = next(iter(state))
    else:
        return
    raise UnsupportedCheckpoint(
        f"{path} is {told} (it has {foreign[:60]}). Both towers in open_clip's layout are needed (visual.…, and "
        "transformer.… or text.…). Choose a pretrained tag such as openai, or a file that open_clip saved."
    )


def _unsaid(name: str, path: Path) -> Iterator[str]:
    """What the file at `path` cannot say and the tags of `name` disagree in, each with the choice made."""
    tags = {tag: open_clip.get_pretrained_cfg(name, tag) for tag in open_clip.list_pretrained_tags_by_model(name)}
    quick = [tag for tag, cfg in tags.items() if cfg.get("quick_gelu")]
    if quick and f"{name}-quickgelu" in open_clip.list_models():
        yield (
            f"{path} does not say its activation; {name} runs it with GELU. If it holds the weights {', '.join(quick)} "
            f"or was trained from them, choose {name}-quickgelu."
        )
    usual = _usual_normalisation(name)
    other = [tag for tag, cfg in tags.items() if tuple(cfg["mean"]) != tuple(usual.get("mean", cfg["mean"]))]
    if other:
        yield (
            f"{path} does not say how its pictures are normalised; the mean {usual['mean']} is taken. If it holds the "
            f"weights {', '.join(other)}, choose that tag."
        )


def _usual_normalisation(name: str) -> dict[str, tuple[float, ...]]:
    """Mean and deviation of most of the name's tags; {} (open_clip's default, OpenAI's) where it has none."""
    tags = (open_clip.get_pretrained_cfg(name, tag) for tag in open_clip.list_pretrained_tags_by_model(name))
    most = Counter((tuple(cfg["mean"]), tuple(cfg["std"])) for cfg in tags).most_common(1)
    return dict(zip(("mean", "std"), most[0][0], strict=True)) if most else {}


def _as_named_by(network: Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dict under the names of `network`: open_clip once kept the text tower without its prefix `text.`,
    and the logit scale, which embeddings do not use, comes as a number or as a list of one."""
    if "positional_embedding" in state and not hasattr(network, "positional_embedding"):
        state = convert_to_custom_text_state_dict(state)
    own = network.state_dict()
    scales = {key: state[key] for key in ("logit_scale", "logit_bias") if key in state and key in own}
    return state | {key: value.reshape(own[key].shape) for key, value in scales.items() if value.numel() == 1}


def _create(
    name: str, source: str | Path, device: str | torch.device, downloads: Sequence[Download], **options
) -> Module:
    """open_clip's model. Raises InputError that names the source of its weights."""
    what = f"CLIP {name} ({source})"
    try:
        return open_clip.create_model(_identifier(name), device=device, **options)
    except (SafetensorError, UnpicklingError) as error:
        raise InputError(
            f"{what} cannot be loaded: its weights are broken, or more than tensors. Delete them and fetch them again."
        ) from error
    except (RuntimeError, OSError, ValueError) as error:
        raise InputError(f"{what} cannot be loaded: {first_line(error)}{otherwise(downloads)}") from error


@contextmanager
def _no_false_alarm() -> Iterator[None]:
    """Holds back open_clip's warning of a random network: the weights are loaded right after it was built."""

    def speak(record: logging.LogRecord) -> bool:
        return "initialized randomly" not in record.getMessage()

    root = logging.getLogger()  # where open_clip logs
    root.addFilter(speak)
    try:
        yield
    finally:
        root.removeFilter(speak)


def _tokenizer(name: str, downloads: Sequence[Download]) -> object:
    """open_clip's tokenizer. One of Hugging Face that is on this machine is read from there alone."""
    tokenizer, merges = _text_config(name).get("hf_tokenizer_name"), Path(name) / "merges.txt.gz"
    options = {"bpe_path": str(merges)} if is_folder(name) and merges.is_file() else {}
    if tokenizer and (is_folder(name) or cached(tokenizer, *TOKENIZER_FILES)):
        options["local_files_only"] = True
    try:
        return open_clip.get_tokenizer(_identifier(name), **options)
    except (RuntimeError, OSError, ValueError, ImportError) as error:
        raise InputError(
            f"The tokenizer of CLIP {name} cannot be loaded: {first_line(error)}{otherwise(downloads)}"
        ) from error


def _text_config(name: str) -> dict:
    try:
        return (open_clip.get_model_config(_identifier(name)) or {}).get("text_cfg", {})
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"CLIP {name} cannot be loaded: {CONFIG} is broken ({first_line(error)}).") from error


def _check_text_network(name: str) -> list[Download]:
    """What a Hugging Face text network lacks here. Raises InputError where the package for it is not installed."""
    text, found = _text_config(name), []
    network, tokenizer = text.get("hf_model_name"), text.get("hf_tokenizer_name")
    if (network or tokenizer) and not importlib.util.find_spec("transformers"):
        raise InputError(
            f"CLIP {name} reads text with Hugging Face's package transformers, which is not installed. Install it "
            "(pip install transformers), or choose a model without it, such as ViT-B-16."
        )
    if network and not cached(network, "config.json"):
        found.append(_from_hub(f"The text network's configuration of CLIP {name}", network))
    if tokenizer and not is_folder(name) and not cached(tokenizer, *TOKENIZER_FILES):
        found.append(_from_hub(f"The tokenizer of CLIP {name}", tokenizer))
    return found


def _from_hub(what: str, repository: str) -> Download:
    return from_hub(what, repository, f"Or run `hf download {repository}` elsewhere and copy its folder there.")


def _tagged_weights(name: str, tag: str, instead: str = INSTEAD) -> tuple[str | None, Download]:
    """Where a tag's weights are on this machine, or None, and their download; found as open_clip finds them."""
    what, cfg = f"The weights of CLIP {name} ({tag})", open_clip.get_pretrained_cfg(name, tag)
    if cfg.get("hf_hub"):
        repository, file = os.path.split(cfg["hf_hub"])
        files = WEIGHTS
        if file:
            files = (f"{os.path.splitext(file)[0]}.safetensors", file)
        return cached(repository, *files), from_hub(what, repository, instead)
    folder = Path("~/.cache/clip").expanduser()
    path = folder / os.path.basename(cfg["url"])
    return str(path) if path.is_file() else None, Download(what, cfg["url"], str(folder), instead)


def _vocabulary(folder: Path) -> Vocabulary | None:
    path = folder / "vocabulary.json"
    if not path.is_file():
        return None
    known = json.loads(path.read_text(encoding="utf-8"))
    return Vocabulary(frozenset(known["words"]), frozenset(known["fillers"]), known["styles"])
