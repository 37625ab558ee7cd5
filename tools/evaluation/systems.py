"""The systems of the paper's table 1 on equal networks: DiffusionCLIP's styles trained, seconds taken, the table drawn.

All of a run is in its folder: the styles in `styles`, the seconds in `seconds.json`. What is there is not made again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from qs_core.paths import write_whole
from qs_core.stylizer import Stylizer
from qs_evaluate import Plan, curves
from qs_evaluate.report import contact_sheet
from qs_evaluate.runs import Bench, Cell

from ..train.styles import STYLES, training
from . import protocol

NOW, PAPERS = protocol.NOW.name, protocol.QUERY_SELECTED.name
# What the paper's table 1 says of an edit; of ZeCon it gives no time, and ours is not in it.
TOLD = {"DiffusionCLIP": "30 min, training included", "DiffuseIT": "48 s", "ZeCon": "not given", PAPERS: "30 s"}
CONTENT = ("ssim", "gradient", "structure")
SHOWN, FIGURE = ("astronaut", "cat", "pagoda"), "evaluation_systems.jpg"
_, OPTIONS = STYLES["golden"]  # of the training of the style that comes with the pack


def plan(folder: Path, quick: bool = False) -> Plan:
    """The plan of the run; styles that it lacks are trained, in the quick form for one round of the photos."""
    options = OPTIONS | ({"epochs": 1} if quick else {})
    styles = {
        prompt: str(train(prompt, folder, **options)) for prompt in protocol.STABILITY_PROMPTS[: 1 if quick else None]
    }
    whole = protocol.systems(folder, styles)
    return protocol.quick(whole) if quick else whole


def train(prompt: str, folder: Path, **options) -> Path:
    """The file of a phrase's style. A training that was cut goes on; its seconds are those of all its parts."""
    place = folder / "styles" / prompt.replace(" ", "_")
    style = place.with_suffix(".safetensors")
    if style.is_file():
        return style
    fine = training(prompt, place, **options)
    begun, spent = time.perf_counter(), seconds(folder, "training").get(prompt, 0.0)
    for done in fine.train(fine.latents()):
        note(folder, "training", prompt, spent + time.perf_counter() - begun)
        print(f"{prompt}: trained {done.number} of {done.total}", flush=True)
    fine.write(style)
    return style


def seconds(folder: Path, kind: str) -> dict[str, float]:
    """The seconds that the folder holds of a kind: "training" by phrase, "edit" by system."""
    path = folder / "seconds.json"
    return json.loads(path.read_text(encoding="utf-8")).get(kind, {}) if path.is_file() else {}


def note(folder: Path, kind: str, name: str, value: float) -> None:
    """Put seconds into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    held = {each: seconds(folder, each) for each in ("training", "edit")}
    held[kind][name] = round(value, 1)
    write_whole(folder / "seconds.json", json.dumps(held, indent=1).encode())


def take_time(plan: Plan, folder: Path) -> None:
    """Note the seconds of one edit of each system at weight 1: a picture alone, its inversion included."""
    missing = [method for method in plan.methods if method.name not in seconds(folder, "edit")]
    if not missing:
        return
    bench = Bench(plan, folder)
    bench.stylizer = Stylizer(bench.model, inversions=0)
    source = next(iter(bench.sources.values()))
    for method in (missing[0], *missing):  # the first one twice, as what a process does once is not an edit's
        begun = time.perf_counter()
        bench.walk(Cell(method, 1.0, plan.prompts[0]), source, [0])
        note(folder, "edit", method.name, time.perf_counter() - begun)


def table(rows: curves.Rows, folder: Path) -> str:
    """Markdown: how much less or more content than `now` each system keeps at equal style, and its seconds."""
    measures = ["SSIM", "gradient correlation", "structure distance"]
    header = ["system", *(f"{name} against {NOW}" for name in measures), "style reached"]
    header += ["seconds of an edit", "seconds of training", "the paper's"]
    lines = [f"| {' | '.join(header)} |", "|" + " --- |" * len(header)]
    trained, edits = seconds(folder, "training"), seconds(folder, "edit")
    for method in curves.methods(rows):
        style = curves.curve(rows, method).style
        cells = [gained(rows, method, content) for content in CONTENT]
        cells += [f"{style[0]:.3f} to {style[-1]:.3f}", f"{edits[method]:.1f}"]
        cells += [" + ".join(f"{value:.0f}" for value in trained.values()) if method == "DiffusionCLIP" else "0"]
        lines.append(f"| {method} | {' | '.join(cells)} | {TOLD.get(method, '-')} |")
    said = (
        f"Against {NOW}: how much less (-) or more (+) content a system keeps at equal style, with the 95 % interval "
        "over pictures; of the distance the sign is turned. Seconds: one picture of 64 px alone with its inversion; "
        "training once a phrase, in the order of the phrases. The paper's are of hardware that it does not name."
    )
    return "\n".join([*lines, "", said, "", f"![Each system as it comes, at weight 1]({FIGURE})"])


def gained(rows: curves.Rows, method: str, content: str) -> str:
    """The gain of a system over `now` with its interval, or that they have no style in common."""
    if method == NOW:
        return "-"
    try:
        found = curves.compare(rows, method, NOW, content)
    except curves.NoOverlap:
        return "no style in common"
    return f"{found.gain:+.3f} ({found.low:+.3f} to {found.high:+.3f})"


def sheet(rows: curves.Rows, folder: Path) -> Path:
    """The paper's figure 5: pictures by systems, each at the weight nearest to 1, a part for each phrase."""
    own = {method: min(curves.weights(rows, method), key=lambda w: abs(w - 1)) for method in curves.methods(rows)}
    kept = [row for row in rows if row["weight"] == own[row["method"]]]
    there = {row["picture"] for row in rows}
    shown = [name for name in SHOWN if name in there]
    parts = [contact_sheet(kept, folder, prompt, shown) for prompt in dict.fromkeys(row["prompt"] for row in rows)]
    path = folder / "systems.jpg"
    stacked(parts).save(path, quality=92)
    return path


def stacked(parts: Sequence[Image.Image]) -> Image.Image:
    """Pictures above one another."""
    whole = Image.new("RGB", (max(part.width for part in parts), sum(part.height for part in parts)), "white")
    y = 0
    for part in parts:
        whole.paste(part, (0, y))
        y += part.height
    return whole
