"""Time and memory of loading checkpoints at full size, with random weights of the published shapes.

`python -m tools.loading` measures each case in a process of its own and writes the table into docs/checkpoints.md.
"""

import argparse
import json
import platform
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import torch
from safetensors.torch import save_file

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "checkpoints.md"
MANIFESTS = ROOT / "tests" / "golden" / "checkpoint_manifests.json"
NETWORKS = {"ffhq_p2_256": "FFHQ (P2)", "openai_imagenet_256_uncond": "OpenAI ImageNet 256"}
DTYPES = ("float32", "float16")
ALONE = 0.005  # seconds between two looks at the memory


def write_files(folder: Path, name: str) -> list[Path]:
    """A .pt and a .safetensors file with small random weights of the network's shapes."""
    shapes = json.loads(MANIFESTS.read_text(encoding="utf-8"))[name]["shapes"]
    state = {key: torch.randn(shape) * 0.02 for key, shape in shapes.items()}
    paths = [folder / f"{name}.pt", folder / f"{name}.safetensors"]
    torch.save(state, paths[0])
    save_file(state, paths[1])
    return paths


def measure(path: str, dtype: str) -> dict[str, float]:
    """Seconds to load, and the most memory that was held above the imports: of the process alone, and with the file."""
    from qs_core.model import load_model

    before, peak, done = resident(), [0, 0], threading.Event()

    def watch() -> None:
        while not done.wait(ALONE):
            now = resident()
            peak[:] = [max(most, value - base) for most, value, base in zip(peak, now, before, strict=True)]

    watcher = threading.Thread(target=watch)
    watcher.start()
    begun = time.perf_counter()
    model = load_model(path, dtype=dtype)
    seconds = time.perf_counter() - begun
    done.set()
    watcher.join()
    weights = sum(p.numel() * p.element_size() for p in model.network.parameters())
    return {"seconds": seconds, "own": peak[0], "mapped": peak[1], "weights": weights}


def resident() -> tuple[int, int]:
    """Bytes in memory: the process's own, and of mapped files. Linux."""
    status = Path("/proc/self/status").read_text()
    return tuple(1024 * int(re.search(rf"{name}:\s+(\d+)", status)[1]) for name in ("RssAnon", "RssFile"))


def table(rows: list[tuple[str, str, str, dict]]) -> str:
    """The measurements in Markdown."""
    lines = ["| network | file | dtype | seconds | own memory, GB | weights, GB |", "|---|---|---|---|---|---|"]
    for network, suffix, dtype, m in rows:
        own, weights = m["own"] / 1e9, m["weights"] / 1e9
        lines.append(f"| {network} | {suffix} | {dtype} | {m['seconds']:.1f} | {own:.2f} | {weights:.2f} |")
    machine = f"Python {platform.python_version()}, torch {torch.__version__}, {torch.get_num_threads()} threads"
    return "\n".join([*lines, "", f"Files just written, so partly in the system's cache. {machine}."])


def main() -> None:
    """Measure all cases, one process each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", nargs=2, metavar=("FILE", "DTYPE"), help=argparse.SUPPRESS)
    case = parser.parse_args().case
    if case:
        print(json.dumps(measure(*case)))
        return
    rows = []
    for name, network in NETWORKS.items():
        with tempfile.TemporaryDirectory() as folder:
            for path in write_files(Path(folder), name):
                for dtype in DTYPES:
                    command = [sys.executable, "-m", "tools.loading", "--case", str(path), dtype]
                    told = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
                    rows.append((network, path.suffix, dtype, json.loads(told)))
                    print(rows[-1], flush=True)
    page = PAGE.read_text(encoding="utf-8")
    begin, end = "<!-- timing -->", "<!-- /timing -->"
    head, rest = page.split(begin)
    PAGE.write_text(f"{head}{begin}\n{table(rows)}\n{end}{rest.split(end)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
