"""What a native model does with real weights, as a report to attach: run it with ComfyUI's own interpreter.

`python tools/native_report.py COMFYUI CHECKPOINT PHOTO --describes "a photo of a cat" --style "watercolor painting"`
writes report.json and the pictures into ./native_report.
"""

import argparse
import importlib.util
import json
import logging
import platform
import sys
import time
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]
STEPS = (10, 20, 40)  # of which half are skipped: the way back's error must fall with them


def load_pack():
    """The pack, as ComfyUI loads it."""
    spec = importlib.util.spec_from_file_location("qs_native_report", ROOT / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def node(pack, name: str, **given):
    """A node's first output, with defaults for what is not given."""
    cls = pack.NODE_CLASS_MAPPINGS[name]
    declared = cls.INPUT_TYPES()
    specs = {**declared["required"], **declared.get("optional", {})}
    defaults = {key: spec[1]["default"] for key, spec in specs.items() if "default" in spec[1]}
    return getattr(cls(), cls.FUNCTION)(**defaults | given)[0]


class Ratios(logging.Handler):
    """Keeps what the sampler logs of the guidance ratio."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        """Keep the line."""
        if "guidance beside the predicted noise" in record.getMessage():
            self.lines.append([float(value) for value in record.getMessage().rpartition(": ")[2].split()])


def measure(pack, model, vae, positive, image: torch.Tensor, style: str, size: int, steps=STEPS, **options) -> tuple:
    """The report, and pictures (1, H, W, 3) by name. `size` 0 is the model's own; `options` are the sampler's."""
    native = node(pack, "UseNativeModel", model=model, vae=vae, positive=positive)
    guide = node(pack, "CLIPTextDirection", clip=node(pack, "LoadOpenCLIP"), prompt=style)
    report, shown, seen = {"model": native.core.describe(), "ways": []}, {"photo": image}, Ratios()
    logging.getLogger().addHandler(seen)
    for count in steps:
        begun = time.perf_counter()
        walk = {"steps": count, "skip": count // 2, "size": size, "preview_every": 0}
        inversion = node(pack, "EncodeInvertDDIM", model=native, image=image, **walk)
        inverted, seen.lines = time.perf_counter(), []
        common = {"inversion": inversion, "text": guide, "seed": 0, "preview_every": 0, "sampler": "ddim", **options}
        plain = node(pack, "QSAttnGuidedSampler", **common | {"style": 0.0, "content": 0.0, "range": 0.0})
        back = time.perf_counter()
        guided = node(pack, "QSAttnGuidedSampler", **common)
        row = {
            "steps": count,
            "size": list(inversion.size),
            "gain": [float(value) for value in inversion.inversion.gain.flatten()],
            "error_without_guidance": float((plain - image).square().mean().sqrt()),
            "change_by_guidance": float((guided - plain).square().mean().sqrt()),
            "guidance_ratio": seen.lines[-1] if seen.lines else None,
            "seconds": [inverted - begun, back - inverted, time.perf_counter() - back],
        }
        if torch.cuda.is_available():
            row["peak_bytes"] = torch.cuda.max_memory_allocated()
            row["estimated_bytes"] = native.core.graph_bytes(1, *inversion.size)
        report["ways"].append(row)
        shown |= {f"unguided_{count}": plain, f"guided_{count}": guided}
    logging.getLogger().removeHandler(seen)
    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    report["versions"] = {"torch": torch.__version__, "platform": platform.platform(), "gpu": cuda}
    return report, shown


def main() -> None:
    """Write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("comfyui", type=Path, help="ComfyUI's folder")
    parser.add_argument("checkpoint", type=Path, help="a checkpoint with network, text encoder and VAE")
    parser.add_argument("photo", type=Path)
    parser.add_argument("--describes", default="", help="what is on the photo")
    parser.add_argument("--style", default="watercolor painting", help="one that the built-in guide knows")
    parser.add_argument("--size", type=int, default=0, help="short side; 0: the model's own")
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("native_report"))
    options = parser.parse_args()
    sys.argv = [sys.argv[0], *(["--cpu"] if options.cpu else [])]
    sys.path.insert(0, str(options.comfyui))
    import comfy.options

    comfy.options.enable_args_parsing()
    import comfy.sd
    import numpy as np
    from PIL import Image

    logging.getLogger().setLevel(logging.INFO)
    pack = load_pack()
    photo = torch.from_numpy(np.array(Image.open(options.photo).convert("RGB"))).float()[None] / 255
    with torch.inference_mode():
        model, clip, vae, *_ = comfy.sd.load_checkpoint_guess_config(str(options.checkpoint), output_vae=True)
        positive = clip.encode_from_tokens_scheduled(clip.tokenize(options.describes))
        report, shown = measure(pack, model, vae, positive, photo.clone(), options.style, options.size)
    report |= {"checkpoint": options.checkpoint.name, "describes": options.describes, "style": options.style}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "report.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    for name, picture in shown.items():
        Image.fromarray((picture[0].clamp(0, 1) * 255).round().byte().cpu().numpy()).save(options.out / f"{name}.png")
    print(f"Look at the pictures, and attach {options.out}.")


if __name__ == "__main__":
    main()
