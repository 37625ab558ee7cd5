"""Loading a checkpoint holds one copy of the weights beside the mapped file."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from qs_core.unets.adm import ADMConfig, ADMUNet

ROOT = Path(__file__).parents[2]
SLACK = 24e6  # bytes: what reading and checking needs beside the weights


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """A network of 45 M parameters, 180 MB, in each format."""
    folder = tmp_path_factory.mktemp("weights")
    config = ADMConfig(128, (1, 2, 3), 1, (4,), 6, True, True, num_head_channels=64)
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in ADMUNet(config).state_dict().items()}
    state = {key: torch.full(shape, 0.01) for key, shape in shapes.items()}
    torch.save(state, folder / "m.pt")
    torch.save(state, folder / "old.pth", _use_new_zipfile_serialization=False)
    save_file(state, folder / "m.safetensors")
    assert (folder / "m.pt").stat().st_size > 100e6
    return {path.suffix: path for path in folder.iterdir()}


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors"])
def test_one_copy_in_memory(files, suffix, dtype):
    command = [sys.executable, "-m", "tools.loading", "--case", str(files[suffix]), dtype]
    told = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    assert told["weights"] > (50e6 if dtype == "float16" else 100e6)
    # The format before torch 1.6 cannot be mapped: the file's own copy is let go tensor by tensor as it is converted.
    most = 1.5 * files[suffix].stat().st_size if suffix == ".pth" else told["weights"] + SLACK
    assert 0.5 * told["weights"] < told["own"] < most
