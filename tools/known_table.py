"""`python -m tools.known_table`: write the table of published checkpoints into docs/checkpoints.md."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import torch

from qs_core.checkpoints.known import ARCHITECTURES, GROUPS, Known, Signature, by_signature
from qs_core.unets.adm import ADMConfig, ADMUNet
from qs_core.unets.ddpm import DDPMConfig, DDPMUNet

PAGE = Path(__file__).parents[1] / "docs" / "checkpoints.md"
BYTES_PER_WEIGHT = 4  # the published files are float32


def on_meta(signature: Signature, **heads) -> ADMUNet | DDPMUNet:
    """The network of that architecture without memory for its weights."""
    shared = ("num_channels", "channel_mult", "num_res_blocks", "attention_factors", "out_channels")
    config = {name: getattr(signature, name) for name in shared}
    with torch.device("meta"):
        if signature.family == "ddpm":
            return DDPMUNet(DDPMConfig(**config))
        config |= {
            name: getattr(signature, name) for name in ("use_scale_shift_norm", "resblock_updown", "num_classes")
        }
        by_count = {"num_head_channels": 0} if heads.get("num_heads") else {}
        return ADMUNet(ADMConfig(**config, **by_count, **heads))


@cache
def parameters(signature: Signature) -> int:
    """How many weights that architecture has."""
    return sum(weight.numel() for weight in on_meta(signature).parameters())


def table() -> str:
    """The architectures and, group by group, the files."""
    return "\n\n".join([_architectures(), *(_files(heading, group) for heading, group in GROUPS.items())])


def with_table(page: str) -> str:
    """The page with the current table between its markers."""
    pattern = r"(<!-- table -->\n).*(<!-- /table -->)"
    new, count = re.subn(pattern, lambda m: f"{m[1]}{table()}\n{m[2]}", page, flags=re.DOTALL)
    if count != 1:
        raise SystemExit(f"{PAGE.name} has no markers <!-- table --> … <!-- /table -->.")
    return new


def _architectures() -> str:
    head = ["### Architectures", "", "| read from the shapes | family | channels | per level | blocks a level |"]
    head[2] += " attention at 1/… | classes | million weights | looked up |"
    rows = [_architecture(name, signature) for name, signature in ARCHITECTURES.items()]
    return "\n".join([*head, "|---" * 9 + "|", *rows])


def _architecture(name: str, signature: Signature) -> str:
    cells = (
        f"**{name}**",
        {"adm": "ADM", "ddpm": "DDPM"}[signature.family],
        signature.num_channels,
        _numbers(signature.channel_mult),
        signature.num_res_blocks,
        _numbers(signature.attention_factors),
        signature.num_classes or "none",
        f"{parameters(signature) / 1e6:.1f}",
        "; ".join(sorted({_settings(known) for known in by_signature(signature)})),
    )
    return _row(cells)


def _files(heading: str, group: tuple[Known, ...]) -> str:
    head = _row(("file", "what it draws", "px", "MB", "licence", "read", "looked up", "SHA-256", "remarks"))
    return "\n".join([f"### {heading}", "", head, "|---" * 9 + "|", *map(_file, group)])


def _file(known: Known) -> str:
    link = f"`{known.file}`, [dead link]({known.address})" if known.dead else f"[`{known.file}`]({known.address})"
    mirror = f", [mirror]({known.mirror})" if known.mirror else ", no mirror" if known.dead else ""
    refused = f"**does not work**: {known.refused}" if known.refused else ""
    cells = (
        link + mirror,
        known.name,
        dict(known.settings)["image_size"],
        _megabytes(known),
        known.licence,
        next(name for name, signature in ARCHITECTURES.items() if signature == known.signature),
        _settings(known),
        f"`{known.sha256}`" if known.sha256 else "not published",
        "; ".join(filter(None, (refused, known.note))),
    )
    return _row(cells)


def _megabytes(known: Known) -> str:
    if known.size:
        return f"{known.size / 1e6:.0f}"
    return f"≈ {BYTES_PER_WEIGHT * parameters(known.signature) / 1e6:.0f}"


def _settings(known: Known) -> str:
    """What is looked up, in words, but for the image size, which has a column of its own."""
    settings = dict(known.settings)
    heads = f"{settings['num_heads']} head{'s' * (settings['num_heads'] > 1)}" if "num_heads" in settings else ""
    if "num_head_channels" in settings:
        heads = f"{settings['num_head_channels']} channels a head"
    order = "new attention order" if settings.get("use_new_attention_order") else ""
    # A learned variance is read: the network has twice the output channels.
    variance = "" if settings["variance"] == "learned" else f"{settings['variance']} variance"
    return ", ".join(filter(None, (heads, order, settings["noise_schedule"], variance)))


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:g}" for value in values)


def _row(cells: tuple) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def main() -> None:
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
