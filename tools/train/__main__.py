"""`python -m tools.train all --out qs_core/demo`: render the pool, then train both built-in models. Resumable."""

import argparse
import os
from functools import partial
from pathlib import Path

import torch

from . import clip, pool, unet

DEMO, JUDGE = Path("qs_core/demo"), Path("tools/evaluation")
POOL = 32_000
DEFAULTS = {
    "unet": {
        "lr": 4e-4,
        "batch": 16,
        "steps": 6500,
        "seed": 0,
        "out": DEMO,
        "epsilon": 0.0,
        "replays": 1,
        "pairs": POOL,
    },
    "clip": {
        "lr": 6e-4,
        "batch": 64,
        "steps": 6000,
        "seed": 0,
        "out": DEMO,
        "epsilon": 2.0,
        "replays": 3,
        "pairs": POOL,
    },
    "judge": {
        "lr": 8e-4,
        "batch": 128,
        "steps": 2600,
        "seed": 1_000_000,
        "out": JUDGE,
        "epsilon": 0.0,
        "replays": 1,
        "pairs": 12_000,
    },
}
TRAINERS = {"clip": clip.train, "judge": partial(clip.train, name="judge"), "unet": unet.train}


def _each(option: str) -> str:
    return ", ".join(f"{name} {values[option]}" for name, values in DEFAULTS.items())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.train", description=__doc__)
    parser.add_argument("what", choices=("pool", *DEFAULTS, "all"), help="all: the two built-in models")
    parser.add_argument("--out", type=Path, help=f"folder that receives the models; by default {_each('out')}")
    parser.add_argument("--work", type=Path, default=Path(".train"), help="folder of the pool and the training state")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--pairs", type=int, help=f"pictures of the pool, each with one rendering; by default {_each('pairs')}"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--steps", type=int, help=f"by default {_each('steps')}")
    parser.add_argument("--batch", type=int, help=f"by default {_each('batch')}")
    parser.add_argument("--lr", type=float, help=f"by default {_each('lr')}")
    parser.add_argument(
        "--minutes", type=float, default=1e9, help="end the whole schedule after this much training time"
    )
    parser.add_argument(
        "--stop-after", type=float, default=1e9, help="stop this run after so many minutes, to be resumed"
    )
    parser.add_argument("--seed", type=int, help=f"by default {_each('seed')}")
    parser.add_argument("--epsilon", type=float, help=f"L2 norm of the attacks on CLIP; by default {_each('epsilon')}")
    parser.add_argument("--replays", type=int, help=f"steps on each batch of a CLIP; by default {_each('replays')}")
    parser.add_argument(
        "--init",
        type=Path,
        help="folder of earlier models: the U-Net, or the CLIP's picture tower, that training begins with",
    )
    parser.add_argument("--report", type=int, default=100)
    parser.add_argument("--save", type=int, default=1000)
    parser.add_argument("--threads", type=int, help="CPU threads of torch")
    parser.add_argument("--compile", action="store_true", help="torch.compile the U-Net")
    return parser.parse_args()


def main() -> None:
    args = _arguments()
    if args.threads:
        torch.set_num_threads(args.threads)
    given = {key: value for key, value in vars(args).items() if value is not None}
    for name in {"pool": ("clip",), "all": ("clip", "unet")}.get(args.what, (args.what,)):
        chosen = argparse.Namespace(**{"init": None, **DEFAULTS[name], **given})
        held_out = name == "judge"  # it sees other settings of the renderers than the guide, and judges by other edges
        chosen.work = args.work / "held_out" if held_out else args.work
        pool.make_pool(chosen.work, chosen.pairs, chosen.workers, args.seed or 0, held_out)
        if args.what != "pool":
            chosen.out.mkdir(parents=True, exist_ok=True)
            TRAINERS[name](chosen)


if __name__ == "__main__":
    main()
