"""The model folders in ComfyUI: which files are there, and where each name leads.

A workflow is somebody else's text: a path in it is never opened, as one to a network share tells who asks.
"""

from collections.abc import Sequence
from pathlib import Path

from ..qs_core import demo
from ..qs_core.checkpoints import SUFFIXES
from ..qs_core.checkpoints.known import by_file
from ..qs_core.errors import InputError
from ..qs_core.features.openclip import all_tags, is_tag, tags_of
from .host import hosted

FOLDER, CLIP_FOLDER, VGG_FOLDER = "qs_diffusion", "qs_clip", "qs_vgg"  # the names of the model folders
TORCHVISION = "torchvision"  # in place of a file's name: VGG's weights in torchvision's own cache


def register_folders() -> None:
    """Tell ComfyUI of the model folders; those that the user configured under their names stay, and stay first."""
    if not hosted():
        return
    import folder_paths

    for name in (FOLDER, CLIP_FOLDER, VGG_FOLDER):
        folder_paths.add_model_folder_path(name, str(Path(folder_paths.models_dir) / name))
        folders, suffixes = folder_paths.folder_names_and_paths[name]
        folder_paths.folder_names_and_paths[name] = (folders, {*suffixes, *SUFFIXES})


def model_names() -> list[str]:
    """The built-in model, then the checkpoints in the model folder."""
    if not hosted():
        return [demo.NAME]
    import folder_paths

    return [demo.NAME, *(name for name in folder_paths.get_filename_list(FOLDER) if name != demo.NAME)]


def model_path(name: str) -> str:
    """What `load_model` takes for one of `model_names()`. Raises InputError for a name that is not there."""
    if name == demo.NAME:
        return name
    if name not in model_names():
        raise InputError(f"There is no model {name!r}. {_where_to_get(name)} Then press R, or choose demo.")
    import folder_paths

    return folder_paths.get_full_path_or_raise(FOLDER, name)


def clip_files() -> list[str]:
    """The files in the CLIP folder."""
    if not hosted():
        return []
    import folder_paths

    return folder_paths.get_filename_list(CLIP_FOLDER)


def pretrained_names(offered: Sequence[str]) -> list[str]:
    """The tags of the CLIPs that are offered by name, the files in the CLIP folder, and the tags of all other CLIPs."""
    return list(dict.fromkeys([*(tag for name in offered for tag in tags_of(name)), *clip_files(), *all_tags()]))


def clip_weights(name: str, pretrained: str) -> str:
    """What `load_clip` takes for a tag, or for the name of a file in the CLIP folder. Raises InputError for neither."""
    if is_tag(name, pretrained):
        return pretrained
    if pretrained not in clip_files():
        tags = ", ".join(tags_of(name)) or "none"
        raise InputError(
            f"{name} has no weights {pretrained!r}: it is none of its tags ({tags}), and no file in "
            f"{_folder(CLIP_FOLDER)}. Choose a tag, or put the file there."
        )
    import folder_paths

    return folder_paths.get_full_path_or_raise(CLIP_FOLDER, pretrained)


def vgg_names() -> list[str]:
    """torchvision's cache, then the files in the VGG folder."""
    if not hosted():
        return [TORCHVISION]
    import folder_paths

    return [TORCHVISION, *folder_paths.get_filename_list(VGG_FOLDER)]


def vgg_path(name: str) -> Path | None:
    """The file of one of `vgg_names()`, None for torchvision's cache. Raises InputError for any other name."""
    if name == TORCHVISION:
        return None
    if name not in vgg_names():
        raise InputError(
            f"There is no VGG-19 file {name!r} in {_folder(VGG_FOLDER)}. Put one of torchvision's there and press R, "
            f"or choose {TORCHVISION}."
        )
    import folder_paths

    return Path(folder_paths.get_full_path_or_raise(VGG_FOLDER, name))


def _folder(kind: str) -> str:
    if not hosted():
        return f"ComfyUI's folder models/{kind}"
    import folder_paths

    return folder_paths.get_folder_paths(kind)[0]


def _where_to_get(name: str) -> str:
    """The folder that a model file belongs into and, for a published one, its address and SHA-256."""
    known, folder = by_file(name), _folder(FOLDER)
    return f"{known.advice} Put it into {folder}." if known else f"Put the file into {folder}."
