"""The reference: ZeCon's own code from a checkout that ZECON_DIR names, on our random weights.

Nothing of its code is here, and none is changed: it is imported, and given other files to load. Three things that it
would download are replaced: the checkpoint, OpenAI's CLIP and torchvision's VGG-19. It needs kornia 0.6.4, ftfy and
Python 3.11.
"""

import contextlib
import importlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import torch
import torchvision
from PIL import Image

from .cases import CROP_AREA, WEIGHTS, Case, config_of, picture, read_weights

SOURCE = "https://github.com/YSerin/ZeCon"


def checkout() -> Path:
    """Where the reference is. Exits where ZECON_DIR does not say."""
    folder = Path(os.environ.get("ZECON_DIR", ""))
    if not (folder / "optimization" / "image_editor_zecon.py").is_file():
        raise SystemExit(f"Set ZECON_DIR to a checkout of {SOURCE}, and install kornia==0.6.4 and ftfy beside torch.")
    return folder.resolve()


def load() -> ModuleType:
    """Its module, imported once; its packages have top-level names, so its folder goes on the path."""
    os.environ.setdefault("MPLBACKEND", "Agg")
    folder = str(checkout())
    if folder not in sys.path:
        sys.path.append(folder)
    return importlib.import_module("optimization.image_editor_zecon")


class Reference:
    """Its editor on a case; `begin` walks to where guided sampling starts and gives the guided steps, one at a time."""

    def __init__(self, case: Case, weights: Path, output: Path):
        if case.batch != 1 or case.dtype != "float32" or case.settings:
            raise SystemExit("The reference knows a batch of 1, float32 and none of our settings.")
        self.case, self.output = case, output
        module = load()
        module.model_and_diffusion_defaults = _defaults(module.model_and_diffusion_defaults, case)
        module.clip.load = lambda name, device, jit: (_clip(module, weights, device), None)
        module.models = SimpleNamespace(vgg19=lambda pretrained: _vgg(weights))
        source = output / "source.png"
        pixels = ((picture(case)[0] + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(source)
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            Path("ckpt").mkdir()
            os.symlink(weights / "unet.pt", "ckpt/256x256_diffusion_uncond.pt")
            self.editor = module.ImageEditor(_arguments(case, source, output))
        if str(self.editor.device).partition(":")[0] != torch.device(case.device).type:
            raise SystemExit(f"The reference chooses its device itself: {self.editor.device}, not {case.device}.")

    def begin(self) -> Iterator[object]:
        """Its `edit_image_by_prompt` up to its sampling loop, and that loop, as it would have run it."""
        diffusion, caught = self.editor.diffusion, {}
        loop = type(diffusion).p_sample_loop_progressive

        def catch(*arguments, **options) -> tuple:
            caught.update(arguments=arguments, options={**options, "progress": False})
            return ()

        diffusion.p_sample_loop_progressive = catch
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            self.editor.edit_image_by_prompt()
        del diffusion.p_sample_loop_progressive
        return loop(diffusion, *caught["arguments"], **caught["options"])


def _defaults(original, case: Case):
    """Its table of settings with the case's U-Net in place of OpenAI's."""
    config, side = config_of(case)

    def defaults(arguments) -> dict:
        return {
            **original(arguments),
            "image_size": case.size,
            "num_channels": config.num_channels,
            "channel_mult": ",".join(str(int(mult)) for mult in config.channel_mult),
            "num_res_blocks": config.num_res_blocks,
            "num_head_channels": config.num_head_channels,
            # Its resolutions are those of the pictures that it runs on.
            "attention_resolutions": ",".join(str(case.size // factor) for factor in config.attention_factors),
            "use_scale_shift_norm": config.use_scale_shift_norm,
            "resblock_updown": config.resblock_updown,
            "class_cond": False,
            # Its OpenAI network is in half precision; on the CPU, where that does not run, in single.
            "use_fp16": case.unet == "imagenet" and torch.device(case.device).type == "cuda",
        }

    return defaults


def _clip(module: ModuleType, weights: Path, device: torch.device):
    """Its own CLIP network with our weights, as its `clip.load` builds it."""
    build = importlib.import_module("CLIP.clip.model").build_model
    # What a state dict of OpenAI's has beside the weights is taken out of it by `build_model` where it is there.
    network = build(dict(read_weights(weights, "clip"))).to(device)
    return network.float() if str(device) == "cpu" else network


def _vgg(weights: Path):
    network = torchvision.models.vgg19(weights=None)
    network.features.load_state_dict(read_weights(weights, "vgg"))
    return network


def _arguments(case: Case, source: Path, output: Path) -> SimpleNamespace:
    """Its command line: the README's, one result, on the case's picture."""
    return SimpleNamespace(
        prompt_tgt="a sketch with crayon",
        prompt_src="photo",
        init_image=str(source),
        mask=None,
        timestep_respacing=case.steps,
        skip_timesteps=case.skip,
        data="imagenet",
        model_output_size=case.size,
        aug_prob=1,
        n_patch=case.crops,
        patch_min=CROP_AREA[0],
        patch_max=CROP_AREA[1],
        l_clip_global=0,
        l_clip_global_patch=WEIGHTS["clip_global"],
        l_clip_dir=0,
        l_clip_dir_patch=WEIGHTS["clip_directional"],
        range_lambda=WEIGHTS["range"],
        l_vgg=WEIGHTS["vgg"],
        l_mse=WEIGHTS["mse"],
        l_zecon=WEIGHTS["contrastive"],
        diffusion_type="ddim_ddpm",
        eta=0.0,
        seed=404,
        gpu_id=0,
        output_path=str(output),
        output_file="output.png",
        iterations_num=1,
        batch_size=1,
        save_video=False,
        export_assets=False,
    )
