"""Native models inside of a real ComfyUI: tiny networks of its own classes, measured in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FAMILIES = {  # how many content maps each has
    "SD15": 5,
    "SD2": 5,
    "SDXL": 4,
    "SD3": 3,
    "Flux": 3,
    "Flux2": 3,
    "Chroma": 3,
    "ChromaRadiance": 3,
    "QwenImage": 2,
    "Lumina2": 2,
    "ZImage": 2,
    "HunyuanImage21": 3,
    "AuraFlow": 1,
    "HunyuanDiT": 3,
    "HiDream": 1,
    "OmniGen2": 2,
    "Wan21": 2,
    "Krea2": 2,
    "PixelDiT": 2,
    "PixArtSigma": 2,
}


class Worker:
    """The process inside of ComfyUI."""

    def __init__(self, comfyui: Path):
        python = os.environ.get("COMFYUI_PYTHON", sys.executable)
        command = [python, str(HERE / "native_worker.py"), str(comfyui), str(ROOT)]
        self.process = subprocess.Popen(
            command, cwd=comfyui, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def __call__(self, call: str, *args) -> dict:
        """The result of a call, which may also be an error inside."""
        self.process.stdin.write(json.dumps({"call": call, "args": args}) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("@"):
                answer = json.loads(line[1:])
                assert "error" not in answer, f"{answer['error']}\n{answer['trace']}"
                return answer["result"]
        raise RuntimeError("the process inside of ComfyUI has ended")


@pytest.fixture(scope="module")
def worker(harness):
    worker = Worker(harness.checkout())
    yield worker
    worker.process.stdin.close()
    worker.process.wait(30)


def slopes(pair, within=2e-3):
    """That autograd's slope is the numeric one."""
    assert pair[0] == pytest.approx(pair[1], rel=within) and abs(pair[0]) > 1e-3


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name == "PixArtSigma")) for name in FAMILIES]
)
def test_a_family(worker, name):
    """Its gradient through network, features and codec, its maps, its way back; and nothing stays behind."""
    report = worker("family", name)
    if report.get("missing"):
        pytest.skip("this ComfyUI does not have it")
    slopes(report["network"], 1e-3)
    slopes(report["features"], 1e-3)
    slopes(report["codec"])  # the small VAE's rectifiers bend within the step
    slopes(report["guided"])
    assert report["recomputed"] < 1e-5
    count, once, again = report["blocks"]
    assert again > 1.5 * once or not count  # it was computed twice
    assert len(report["maps"]) == FAMILIES[name]
    assert [one[-1] for one in report["maps"]] == report["sides"]
    coarse, fine = report["trip"]
    assert fine < 0.55 * coarse
    assert report["same"] and report["leftovers"] == []


@pytest.mark.parametrize("name", ["SD15", "Flux"])
def test_the_nodes_end_to_end(worker, name):
    report = worker("nodes", name)
    assert report["shape"] == [1, report["pixels"], report["pixels"], 3]
    assert report["again"] and report["strength_0"] and report["masked_same"]
    assert report["moved"] > 0.01 and report["unmasked_moved"] > 0.01 and report["guided_moves"] > 1e-4
    assert report["batch"][0] < 1e-4
    assert report["ddpm"] and report["cfg"]
    assert report["heat_maps"] == report["layers"]
    assert "Set contrastive to 0" in report["x0_content"] and report["x0_moved"] > 1e-4
    assert report["leftovers"] == []


@pytest.mark.parametrize("name", ["SD15", "Flux"])
def test_the_host_s_own_sampling_is_the_same_afterwards(worker, name):
    report = worker("host", name)
    assert report["patch_changes"] and report["patch_is_used"]
    assert report["after_walks"] and report["after_free"]
    assert report["after_error"] == ["Broken", 4, True]
    assert report["after_cancel"] == ["InterruptProcessingException", 4, True]
    assert report["within_step"] == ["InterruptProcessingException", 1]  # the second evaluation did not finish


def test_what_does_not_fit_is_refused(worker):
    report = worker("refusals")
    assert "The VAE has 16 channels, the model 4" in report["channels"]
    assert "choose pixel_space in Load VAE" in report["pixels"]
    assert "a text-to-image model is needed" in report["inpaint"]
    assert "ernie" not in report or "its rotary embedding has no gradient" in report["ernie"]
    assert "A patch on the model" in report["stopped"]
    assert "does not fit into memory as a whole" in report["lowvram"]
    assert "both sides divisible by 64" in report["size"]
    assert report["leftovers"] == []


def test_the_report_of_a_user_with_weights(worker):
    report = worker("report", "Flux")
    assert report["model"]["native"] == "Flux" and len(report["shown"]) == 5
    coarse, fine = report["ways"]
    assert fine["error_without_guidance"] < coarse["error_without_guidance"]
    for row in report["ways"]:
        assert len(row["guidance_ratio"]) == row["steps"] // 2 and min(row["guidance_ratio"]) > 0
        assert row["gain"][0] > 0 and row["change_by_guidance"] > 1e-4


def test_the_codec_is_the_host_s_vae(worker):
    report = worker("codec")
    assert report["encode"] == report["decode"] == 0 and report["left"] == []
    slopes(report["slopes"], 1e-3)
