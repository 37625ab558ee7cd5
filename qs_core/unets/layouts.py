"""Where the blocks of an ADM U-Net stand, told from the names in its state dict."""

import itertools
from collections.abc import Mapping, Sequence

from torch import Tensor


def decoder_levels(state: Mapping[str, Tensor]) -> tuple[list[int], bool]:
    """Decoder blocks per level, deepest first, and whether resampling is done by residual blocks.

    The encoder has as many on each level, since every decoder block takes one of its outputs.
    """
    numbers = {key.split(".")[1] for key in state if key.startswith("output_blocks.")}
    count = next(k for k in itertools.count() if str(k) not in numbers)
    levels, blocks, updown = [], 0, False
    for k in range(count):
        blocks += 1
        by_resblock = any(f"output_blocks.{k}.{m}.in_layers.0.weight" in state for m in (1, 2))
        by_conv = any(f"output_blocks.{k}.{m}.conv.weight" in state for m in (1, 2))
        if by_resblock or by_conv:
            updown = updown or by_resblock
            levels.append(blocks)
            blocks = 0
    return [*levels, blocks], updown


def encoder_levels(res: Sequence[int]) -> list[range]:
    """The residual input blocks' indices per level; the block between two levels down-samples."""
    starts = itertools.accumulate((blocks + 1 for blocks in res[:-1]), initial=1)
    return [range(start, start + blocks) for start, blocks in zip(starts, res, strict=True)]


def irregular_attention(
    state: Mapping[str, Tensor], res: Sequence[int], factors: Sequence[int]
) -> tuple[str, ...] | None:
    """The blocks with attention; None where they are all those at the down-sampling factors, and the middle one."""
    names = (key.split(".") for key in state if ".qkv." in key)
    attends = {".".join(parts[: 1 if parts[0] == "middle_block" else 2]) for parts in names}
    encoder = encoder_levels(res)
    ends = list(itertools.accumulate(blocks + 1 for blocks in reversed(res)))[::-1]  # of the decoder's levels
    decoder = [range(end - blocks - 1, end) for end, blocks in zip(ends, res, strict=True)]
    chosen = [level for level in range(len(res)) if 2**level in factors]
    regular = {"middle_block"}
    regular |= {f"input_blocks.{k}" for level in chosen for k in encoder[level]}
    regular |= {f"output_blocks.{k}" for level in chosen for k in decoder[level]}
    return None if attends == regular else tuple(sorted(attends))


def attention_widths(state: Mapping[str, Tensor]) -> set[int]:
    """Channels of the blocks with attention."""
    return {value.shape[1] for key, value in state.items() if key.endswith(".qkv.weight")}
