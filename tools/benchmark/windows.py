"""Large pictures with the built-in models: seconds a step and peak memory by size."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time

from PIL import Image

from qs_core import demo, pictures
from qs_core.blend import BlendMap
from qs_core.networks import load
from qs_core.settings import Settings, make_terms
from qs_core.stylizer import Stylizer, complete
from qs_core.tiles import Tiled

from . import report
from .cases import Case
from .measuring import load_average

SIZES = (256, 512, 1024, 2048)
WALK = {"steps": "4", "skip": 3}  # one step there and one back
STEPS = 25  # of each, by the defaults


def alone(size: int) -> dict:
    """Seconds of an inverted step and of a guided one, and bytes of the process's peak beside the imports."""
    at_rest = _peak()
    s = Settings("water painting", size=size, **WALK)
    networks = load(s).without_text()
    stylizer = Stylizer(networks.model, inversions=0)
    with Image.open(demo.PICTURES["cat"]) as photo:
        square = photo.convert("RGB").resize((size, size))
    source = stylizer.prepare(pictures.take(square)[None], size, s.fit).source
    begun = time.perf_counter()
    inversion = complete(stylizer.invert(source, s.steps, s.skip, s.start, [0]))
    inverted = time.perf_counter()
    terms = make_terms(s, inversion.model, networks.text, size, size, networks.of_losses)
    complete(stylizer.guide(inversion, terms, s, [0], BlendMap(1.0, 1.0)))
    guided = time.perf_counter()
    windows = len(inversion.model.windows(size, size)) if isinstance(inversion.model, Tiled) else 1
    return {"inverted": inverted - begun, "guided": guided - inverted, "bytes": _peak() - at_rest, "windows": windows}


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def run(case: Case) -> str:
    """A row for each size, in a process of its own."""
    before, rows = load_average(), []
    for size in SIZES:
        command = [sys.executable, "-c", f"from tools.benchmark import windows as w; print('@' + w.told({size}))"]
        done = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found = json.loads(done.rpartition("@")[2])
        whole = STEPS * (found["inverted"] + found["guided"]) / 60
        rows.append([size, found["windows"], f"{found['inverted']:.1f}", f"{found['guided']:.1f}", f"{whole:.0f}"])
        rows[-1].append(report.gigabytes(found["bytes"]))
        print(rows[-1], flush=True)
    heads = ["pixels a side", "windows", "seconds an inverted step", "seconds a guided step", "minutes for 25 of each"]
    note = f"One step of each was measured; the minutes are these times {STEPS}. Memory is beside the imports."
    return f"{report.table([*heads, 'peak, GB'], rows)}\n\n{note} {report.surroundings(case.device, before)}"


def told(size: int) -> str:
    """What `alone` measured, as JSON."""
    return json.dumps(alone(size))
