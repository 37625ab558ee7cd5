"""Command line, Python, graph and evaluation give one picture for the same settings and seed."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from qs_core import demo, stylize
from qs_core.__main__ import main
from qs_evaluate import Judge, Method, Plan, run

JUDGE = Path(__file__).parents[2] / "tools" / "evaluation" / "judge"
PROMPT = "a sketch with crayon"
WALK = {"size": 32, "steps": "6", "skip": 3, "crops": 4, "clip_dtype": "float32"}


def test_four_ways_one_picture(pack, tmp_path):
    source, output = tmp_path / "cat.png", tmp_path / "out.png"
    with Image.open(demo.PICTURES["cat"]) as picture:
        picture.resize((32, 32)).save(source)
    python = stylize(source, PROMPT, seed=7, **WALK)
    expected = np.asarray(python.image)

    options = [part for name, value in WALK.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    command = ["stylize", str(source), "--prompt", PROMPT, "--seed", "7", "--output", str(output), *options]
    assert main(command) == 0
    assert np.array_equal(np.asarray(Image.open(output)), expected)

    judge = Judge(str(JUDGE), structure="none")
    plan = Plan({"cat": str(source)}, (PROMPT,), (Method("default"),), (1.0,), (7,), judge, WALK)
    (row,) = run(plan, tmp_path / "run")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "run" / "pictures" / row["file"])), expected)

    with Image.open(source) as opened:
        image = torch.from_numpy(np.asarray(opened, np.float32) / 255)[None]  # as Load Image does
    text = pack("CLIPTextDirection", clip=pack("LoadOpenCLIP", dtype="float32"), prompt=PROMPT)
    inversion = pack("EncodeInvertDDIM", model=pack("LoadDiffusionModel"), image=image, size=32, steps=6, skip=3)
    graph = pack("QSAttnGuidedSampler", inversion=inversion, text=text, seed=7, crops=4)
    assert torch.equal(graph[0].movedim(-1, 0), ((python.picture + 1) / 2).clamp(0, 1))
