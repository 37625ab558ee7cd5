"""The model folders in ComfyUI: which files are there, and where each name leads.

A workflow is somebody else's text: a path in it is never opened, as one to a network share tells who asks.
"""

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..qs_core import demo
from ..qs_core.checkpoints import SUFFIXES
from ..qs_core.checkpoints.known import by_file
from ..qs_core.errors import InputError
from ..qs_core.features.openclip import all_tags, is_tag, tags_of
from .host import hosted

FOLDER, CLIP_FOLDER, VGG_FOLDER = "qs_diffusion", "qs_clip", "qs_vgg"  # the names of the model folders
VIT_FOLDER, ARCFACE_FOLDER = "qs_vit", "qs_arcface"
GUIDE = "guiding CLIP"  # in place of a file's name: no weights but those of the CLIP that guides
MISSING = "model_ir_se50.pth"  # of ArcFace, which is named where none is there
STYLE_FOLDER = "qs_styles"
TORCHVISION = "torchvision"  # in place of a file's name: VGG's weights in torchvision's own cache


def register_folders() -> None:
    """Tell ComfyUI of the model folders; those that the user configured under their names stay, and stay first."""
    if not hosted():
        return
    import folder_paths

    for name in (FOLDER, CLIP_FOLDER, VGG_FOLDER, VIT_FOLDER, ARCFACE_FOLDER, STYLE_FOLDER):
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
    return [TORCHVISION, *_files(VGG_FOLDER)]


def vit_names() -> list[str]:
    """The guiding CLIP's own transformer, then the files in the ViT folder."""
    return [GUIDE, *_files(VIT_FOLDER)]


def arcface_names() -> list[str]:
    """The files in the ArcFace folder, or the name of the one that is wanted there."""
    return _files(ARCFACE_FOLDER) or [MISSING]


def _files(folder: str) -> list[str]:
    if not hosted():
        return []
    import folder_paths

    return folder_paths.get_filename_list(folder)


def vit_path(name: str) -> Path | None:
    """The file of one of `vit_names()`, None for the guiding CLIP's. Raises InputError for any other name."""
    if name == GUIDE:
        return None
    advice = f"Put the weights of timm's vit_base_patch8_224.dino there, or choose {GUIDE}."
    return _path(VIT_FOLDER, vit_names(), name, "ViT", advice)


def arcface_path(name: str) -> Path:
    """The file of a name in the ArcFace folder. Raises InputError where it is not there."""
    advice = f"Put {MISSING}, of TreB1eN's InsightFace_Pytorch, there."
    return _path(ARCFACE_FOLDER, _files(ARCFACE_FOLDER), name, "ArcFace", advice)


def _path(folder: str, names: list[str], name: str, what: str, advice: str) -> Path:
    if name not in names:
        raise InputError(f"There is no {what} file {name!r} in {_folder(folder)}. {advice} Then press R.")
    import folder_paths

    return Path(folder_paths.get_full_path_or_raise(folder, name))


def vgg_path(name: str) -> Path | None:
    """The file of one of `vgg_names()`, None for torchvision's cache. Raises InputError for any other name."""
    if name == TORCHVISION:
        return None
    return _path(VGG_FOLDER, vgg_names(), name, "VGG-19", f"Put one of torchvision's there, or choose {TORCHVISION}.")


def clip_instead() -> str:
    """What to do where a tag's weights cannot be downloaded."""
    return (
        f"Or fetch it from there by other means, put it into {_folder(CLIP_FOLDER)}, press R, and give its name in "
        "place of the tag."
    )


def vgg_instead() -> str:
    """Where else VGG's weights may be."""
    return f"or put it into {_folder(VGG_FOLDER)}, press R, and choose it"


def style_names() -> list[str]:
    """The built-in styles, then the files in the style folder; what trainings keep in folders of theirs is none."""
    if not hosted():
        return list(demo.STYLES)
    import folder_paths

    files = folder_paths.get_filename_list(STYLE_FOLDER)
    return [*demo.STYLES, *(name for name in files if Path(name).name == name)]


def style_path(name: str) -> Path:
    """The file of one of `style_names()`. Raises InputError for a name that is not there."""
    if name in demo.STYLES:
        return demo.STYLES[name]
    if name not in style_names():
        raise InputError(f"There is no style {name!r}. Put its file into {_folder(STYLE_FOLDER)} and press R.")
    import folder_paths

    return Path(folder_paths.get_full_path_or_raise(STYLE_FOLDER, name))


def new_style_path(name: str) -> Path:
    """Where a style of that name is saved. Raises InputError for a name that is more than a file's."""
    stem = name.strip().removesuffix(".safetensors")
    if not re.fullmatch(r"\w[\w .-]{0,99}", stem) or stem in demo.STYLES:
        raise InputError(
            f"The style's name {name[:40]!r} is no plain file name, or a built-in style's. Use letters, digits, blanks."
        )
    folder = Path(_folder(STYLE_FOLDER)) if hosted() else Path(tempfile.gettempdir()) / STYLE_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{stem}.safetensors"


def _folder(kind: str) -> str:
    if not hosted():
        return f"ComfyUI's folder models/{kind}"
    import folder_paths

    return folder_paths.get_folder_paths(kind)[0]


def _where_to_get(name: str) -> str:
    """The folder that a model file belongs into and, for a published one, its address and SHA-256."""
    known, folder = by_file(name), _folder(FOLDER)
    return f"{known.advice} Put it into {folder}." if known else f"Put the file into {folder}."
