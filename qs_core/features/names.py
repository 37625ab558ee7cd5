"""The names that open_clip takes for a CLIP: its own, OpenAI's with slashes, hf-hub: and local-dir:."""

from pathlib import Path

import huggingface_hub
import open_clip

from .. import demo
from ..errors import InputError
from ..paths import expanded
from .weights import Announce, Download, cached, from_hub

CONFIG = "open_clip_config.json"
HUB, FOLDER = "hf-hub:", "local-dir:"
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "spiece.model", "sentencepiece.bpe.model")
FETCHED = (CONFIG, *WEIGHTS[:1], *TOKENIZER_FILES, "vocab.json", "merges.txt", "special_tokens_map.json")


def is_folder(name: str) -> bool:
    """Whether that is a folder in open_clip's own format."""
    try:
        return (Path(name) / CONFIG).is_file()
    except (OSError, ValueError):
        return False


def resolved(name: str, announce: Announce | None = None) -> str:
    """One of open_clip's own names, or a folder in its format; a repository of Hugging Face is fetched into one.

    `announce` is given a sentence before that. Raises InputError for an unknown name, and where fetching fails.
    """
    name = str(demo.resolve(name, demo.CLIP))
    if name.startswith(HUB):
        return _snapshot(name) or hub_download(name).fetch(lambda: _fetched(name), announce)
    if name.startswith(FOLDER) or is_folder(str(expanded(name))):
        folder = str(expanded(name.removeprefix(FOLDER)))
        if not is_folder(folder):
            raise InputError(
                f"There is no CLIP in the folder {folder}: it has no {CONFIG}. Give one that open_clip saved."
            )
        return folder
    return own_name(name)


def own_name(name: str) -> str:
    """open_clip's own name of a model. Raises InputError for an unknown one."""
    models = open_clip.list_models()
    plain = name.replace("/", "-").replace("@336px", "-336")
    by_case = {model.casefold(): model for model in models}
    if plain in models:
        return plain
    if plain.casefold() in by_case:
        return by_case[plain.casefold()]
    if name.startswith((HUB, FOLDER)):
        raise InputError(f"{name} is a repository or a folder, and not taken here. Use a name such as ViT-B-16.")
    hint = (
        f" A repository of Hugging Face in open_clip's format is written {HUB}{name}." if name.count("/") == 1 else ""
    )
    raise InputError(f"open_clip has no model {name!r}. Use demo, or a name such as ViT-B-16.{hint}")


def hub_download(name: str) -> Download:
    """The download of a whole repository in open_clip's format."""
    repository = name.removeprefix(HUB)
    instead = f"Or run `hf download {repository}` elsewhere and give the folder in place of the name."
    return from_hub(f"CLIP {name}", repository, instead)


def _snapshot(name: str) -> str | None:
    repository = name.removeprefix(HUB)
    try:
        config, weights = cached(repository, CONFIG), cached(repository, *WEIGHTS)
    except ValueError as error:  # no name of a repository
        raise InputError(f"CLIP {name!r} is no repository of Hugging Face. Write {HUB}OWNER/NAME.") from error
    return str(Path(config).parent) if config and weights else None


def _fetched(name: str) -> str:
    """The folder of a repository that was downloaded, with its weights as safetensors if it has them so."""
    repository = name.removeprefix(HUB)
    folder = huggingface_hub.snapshot_download(repository, allow_patterns=list(FETCHED))
    if not (Path(folder) / WEIGHTS[0]).is_file():
        folder = huggingface_hub.snapshot_download(repository, allow_patterns=[*FETCHED, WEIGHTS[1]])
    if not is_folder(folder):
        raise InputError(f"it is no CLIP in open_clip's format, as it has no {CONFIG}")
    return folder
