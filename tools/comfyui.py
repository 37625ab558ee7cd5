"""`make comfyui`: a local ComfyUI with this pack linked in.

COMFYUI_PATH names a checkout, COMFYUI_PYTHON its interpreter (by default that of its .venv or venv, else this one).
Without COMFYUI_PATH comfy-cli installs a ComfyUI below .comfyui/, in a virtual environment of its own. Words after the
command go to ComfyUI; --cpu is added where torch finds no accelerator.
"""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
OWN = ROOT / ".comfyui"
PACK = "qs-style-transfer"  # the registry's name, and so the folder's
NEEDED = "import einops, numpy, open_clip, PIL, safetensors"
FINDS_ACCELERATOR = """
import sys, torch
kinds = (torch.cuda, torch.backends.mps, getattr(torch, "xpu", torch.cuda))
sys.exit(not any(kind.is_available() for kind in kinds))
"""


def main() -> None:
    named = os.environ.get("COMFYUI_PATH")
    checkout = Path(named).resolve() if named else installed()
    if not (checkout / "main.py").is_file():
        sys.exit(f"{checkout} has no main.py. Set COMFYUI_PATH to a ComfyUI checkout, or unset it for one of its own.")
    link(checkout / "custom_nodes" / PACK)
    python = interpreter(checkout)
    if not succeeds(python, NEEDED):
        subprocess.run([python, "-m", "pip", "install", "-r", str(ROOT / "requirements.txt")], check=True)
    device = [] if succeeds(python, FINDS_ACCELERATOR) else ["--cpu"]
    sys.exit(subprocess.run([python, "main.py", *device, *sys.argv[1:]], cwd=checkout).returncode)


def installed() -> Path:
    """The ComfyUI below .comfyui/, which comfy-cli installs there the first time."""
    checkout = OWN / "ComfyUI"
    if not (checkout / "main.py").is_file():
        command_line = OWN / "comfy-cli"
        subprocess.run([sys.executable, "-m", "venv", str(command_line)], check=True)
        subprocess.run([program(command_line, "python"), "-m", "pip", "install", "comfy-cli"], check=True)
        comfy = [program(command_line, "comfy"), "--skip-prompt", "--workspace", str(checkout)]
        # Its interpreter is then checkout/.venv, not the environment that make was called in.
        outside = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "CONDA_PREFIX")}
        environment = outside | {"DO_NOT_TRACK": "1"}
        subprocess.run([*comfy, "install", "--skip-manager", accelerator()], check=True, env=environment)
    return checkout


def accelerator() -> str:
    """comfy-cli's word for what torch is to be installed for."""
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return "--m-series"
    return "--nvidia" if shutil.which("nvidia-smi") else "--cpu"


def interpreter(checkout: Path) -> str:
    """The Python that runs the checkout."""
    if named := os.environ.get("COMFYUI_PYTHON"):
        return named
    beside = [program(checkout / name, "python") for name in (".venv", "venv")]
    return next((path for path in beside if Path(path).exists()), sys.executable)


def program(environment: Path, name: str) -> str:
    """A program of a virtual environment."""
    return str(environment / ("Scripts" if os.name == "nt" else "bin") / (f"{name}.exe" if os.name == "nt" else name))


def link(place: Path) -> None:
    """Make `place` this pack. Ends the program where something else is there."""
    if place.exists() and place.resolve() != ROOT.resolve():
        sys.exit(f"{place} is there already, and it is not this checkout. Move it away first.")
    if not place.exists():
        place.symlink_to(ROOT, target_is_directory=True)


def succeeds(python: str, code: str) -> bool:
    """Whether an interpreter runs the code without an error."""
    return subprocess.run([python, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


if __name__ == "__main__":
    main()
