"""Ho et al.'s networks in the names of Hugging Face's library diffusers: google/ddpm-* and those trained like them.

The numbers are the same, the names are others, and attention has matrices where this family has 1x1 convolutions. What
names cannot tell stands in a config.json beside the file; of a file alone it is taken to be as Ho et al. have it.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ..errors import UnsupportedCheckpoint

CONFIG, SCHEDULER = "config.json", "scheduler_config.json"
FILES = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
MARKS = ("time_embedding.linear_1.weight", "down_blocks.0.resnets.0.conv1.weight", "mid_block.resnets.0.conv1.weight")
UNLIKE = ("transformer_blocks.", "add_embedding.", "class_embedding.", ".motion_modules.")  # of its other networks
WHOLE = (  # of a name, in this order
    (r"^time_embedding\.linear_1\.", "temb.dense.0."),
    (r"^time_embedding\.linear_2\.", "temb.dense.1."),
    (r"^conv_norm_out\.", "norm_out."),
    (r"^mid_block\.resnets\.0\.", "mid.block_1."),
    (r"^mid_block\.resnets\.1\.", "mid.block_2."),
    (r"^mid_block\.attentions\.0\.", "mid.attn_1."),
    (r"^down_blocks\.(\d+)\.resnets\.", r"down.\1.block."),
    (r"^down_blocks\.(\d+)\.attentions\.", r"down.\1.attn."),
    (r"^down_blocks\.(\d+)\.downsamplers\.0\.", r"down.\1.downsample."),
    (r"\.time_emb_proj\.", ".temb_proj."),
    (r"\.conv_shortcut\.", ".nin_shortcut."),
    # Attention's names, the library's own and those that it had before 2023.
    (r"\.group_norm\.", ".norm."),
    (r"\.(to_q|query)\.", ".q."),
    (r"\.(to_k|key)\.", ".k."),
    (r"\.(to_v|value)\.", ".v."),
    (r"\.(to_out\.0|proj_attn)\.", ".proj_out."),
)
UPWARDS = {"resnets": "block", "attentions": "attn", "upsamplers.0": "upsample"}
ATTENTION = re.compile(r"(\.attn\.\d+|\.attn_1)\.(q|k|v|proj_out)\.weight$")
# What Ho et al.'s networks have of that which names do not tell; a key that is missing has the library's default.
REQUIRED = {
    "freq_shift": (1, 0, "another timestep embedding"),
    "flip_sin_to_cos": (False, True, "another timestep embedding"),
    "downsample_padding": (0, 1, "another way to halve the map"),
    "norm_eps": (1e-6, 1e-5, "another epsilon"),
    "norm_num_groups": (32, 32, "other groups of channels"),
    "attention_head_dim": (None, 8, "several attention heads"),
    "act_fn": ("silu", "silu", "another activation"),
    "center_input_sample": (False, False, "another range of pictures"),
    "mid_block_scale_factor": (1, 1, "scaled residues"),
    "resnet_time_scale_shift": ("default", "default", "another use of the timestep"),
    "time_embedding_type": ("positional", "positional", "another timestep embedding"),
}
SCHEDULES = {("linear", 0.0001, 0.02): "linear", ("squaredcos_cap_v2",): "cosine"}
VARIANCES = {"fixed_small": "fixed_small", "fixed_large": "fixed_large", "fixed_small_log": "fixed_small"}


def detect(state: Mapping[str, Tensor]) -> bool:
    """Whether the keys are those of such a network; its relatives with attention to a text are none."""
    return all(mark in state for mark in MARKS) and not any(part in key for key in state for part in UNLIKE)


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict under this library's names of the DDPM family."""
    levels = 1 + max(int(key.split(".")[1]) for key in state if key.startswith("down_blocks."))
    return {name: _flat(tensor, name) for key, tensor in state.items() for name in [_name(key, levels)]}


def _name(key: str, levels: int) -> str:
    for pattern, name in WHOLE:
        key = re.sub(pattern, name, key)
    upwards = re.match(r"^up_blocks\.(\d+)\.(resnets|attentions|upsamplers\.0)\.", key)
    if upwards:  # counted from the deepest level on, here from the first
        key = f"up.{levels - 1 - int(upwards[1])}.{UPWARDS[upwards[2]]}.{key[upwards.end() :]}"
    return key


def _flat(tensor: Tensor, name: str) -> Tensor:
    return tensor[:, :, None, None] if tensor.ndim == 2 and ATTENTION.search(name) else tensor


def file_in(folder: Path) -> Path | None:
    """The file of weights in a folder that the library saved, of a network or of a whole pipeline; None for another."""
    for place in (folder, folder / "unet"):
        if (place / CONFIG).is_file():
            return next((place / file for file in FILES if (place / file).is_file()), None)
    return None


def stated(file: Path) -> dict[str, object] | None:
    """What config.json and the scheduler's beside a file say, as this library's options; None without the first.

    Raises UnsupportedCheckpoint for a network or a noise schedule that is not like Ho et al.'s.
    """
    config = _read(file.with_name(CONFIG))
    if config is None or "down_block_types" not in config:
        return None if config is None else {}
    for key, (needed, default, what) in REQUIRED.items():
        if config.get(key, default) != needed:
            raise UnsupportedCheckpoint(
                f"{file} has {what} than Ho et al.'s networks ({key} {config.get(key, default)!r} in {CONFIG}, not "
                f"{needed!r}), and is not read. Use google/ddpm-*, or a network in the original names."
            )
    size = config.get("sample_size")
    said = {"image_size": size} if isinstance(size, int) and not isinstance(size, bool) else {}
    return said | _schedule(file)


def _schedule(file: Path) -> dict[str, object]:
    places = (file.with_name(SCHEDULER), file.parent.parent / "scheduler" / SCHEDULER)
    config = next((found for place in places if (found := _read(place)) is not None), None)
    if config is None:
        return {}
    kind = config.get("beta_schedule", "linear")
    ends = (config.get("beta_start", 0.0001), config.get("beta_end", 0.02)) if kind == "linear" else ()
    noise = SCHEDULES.get((kind, *ends))
    steps, predicts = config.get("num_train_timesteps", 1000), config.get("prediction_type", "epsilon")
    if noise is None or steps != 1000 or predicts != "epsilon":
        raise UnsupportedCheckpoint(
            f"{file} was trained to predict {predicts} over {steps} steps of the schedule {kind} {ends}; epsilon over "
            "1000 steps, linear from 0.0001 to 0.02 or cosine, is needed. Use another network."
        )
    variance = VARIANCES.get(config.get("variance_type", "fixed_small"))
    return {"noise_schedule": noise} | ({"variance": variance} if variance else {})


def _read(path: Path) -> dict | None:
    """A JSON file's object, None where there is none. Raises UnsupportedCheckpoint for a broken one."""
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UnsupportedCheckpoint(f"{path} is broken ({type(error).__name__}). Fetch it again.") from error
    return content if isinstance(content, dict) else None
