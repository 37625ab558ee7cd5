"""stylize: pictures by a phrase or by styles' files, a folder of them as a job, and what moves."""

from __future__ import annotations

import json
import sys
from dataclasses import fields
from functools import partial

from tqdm import tqdm

from .. import paths, pictures, pipeline, unguided
from ..errors import InputError
from ..jobs import restyling
from ..jobs.manifest import NAME as MANIFEST
from ..jobs.manifest import Manifest
from ..jobs.pools import pool
from ..presets import preset
from ..settings import Settings
from ..unguided import StyleSettings
from . import moving
from .shared import Order, output_paths, pictures_meant, require_writable, tell, walk_bar, weighed, write_report

WITH_STYLES = tuple(field.name for field in fields(StyleSettings))


def run(given: dict) -> int:
    """Restyle what is meant. Exit status 1 where a picture of a job, or one of several videos, failed."""
    order = Order.taken(given)
    by_styles = "style_files" in given
    kind, chosen = (StyleSettings, _of_styles(given, order)) if by_styles else (Settings, _of_phrases(given))
    videos = moving.videos_meant(order.images)
    if videos or chosen.get("steady"):
        return moving.run(order, videos, kind, chosen)
    s = kind(**chosen)
    found = pictures_meant(order.images)
    files = output_paths(found, order.output, s, found != order.images or bool(order.job))
    if order.job or (not by_styles and found != order.images and order.output not in files.values()):
        return _job(restyling.results(found, files, s, *order.masks), order, s)
    walk = unguided.run if by_styles else partial(pipeline.run, announce=tell)
    for path in {*files.values(), *([order.report] if order.report else [])}:
        require_writable(path)
    reports = []
    for result in walk(found, s, walk_bar(), order.masks):
        path = files[result.source, result.seed]
        path.parent.mkdir(parents=True, exist_ok=True)
        pictures.write(path, result.picture, {"qs_core": json.dumps(result.report["settings"])})
        reports.append({"image": found[result.source], "output": str(path), **result.report})
        print(path)
    if order.report:
        write_report(order.report, reports if len(files) > 1 else reports[0])
    return 0


def _of_phrases(given: dict) -> dict:
    """The fields of `Settings`, a preset's among them. Raises InputError where no style is given."""
    if "preset" in given:
        given = preset(given.pop("preset")) | given
    given |= weighed(given)
    given |= {"style_weights": _numbers(given["style_weights"])} if "style_weights" in given else {}
    if not {"prompts", "style_images"} & set(given):
        raise InputError('What shall it become? Give --prompt "a sketch with crayon", a --style-image, or a --preset.')
    return given


def _numbers(weights: list[str]) -> list[float]:
    try:
        return [float(weight) for weight in weights]
    except ValueError:
        raise InputError(f"--style-weight {' '.join(weights)}: of style pictures a number each is needed.") from None


def _of_styles(given: dict, order: Order) -> dict:
    """The fields of `StyleSettings`. Raises InputError for options that only guidance has."""
    others = [name for name in (*given, *order.job) if name not in WITH_STYLES]
    if others:
        raise InputError(
            f"--style-file walks without guidance, and {', '.join(others)} would do nothing. Leave it out; there are "
            f"{', '.join(WITH_STYLES)}."
        )
    return given | {name: tuple(given[name]) for name in ("style_files", "style_weights") if name in given}


def _job(wanted: list[restyling.Result], order: Order, settings: Settings) -> int:
    """A folder's job: make what is missing. Exit status 1 where a picture failed."""
    output, sharing = order.output, dict(order.job)
    if wanted[0].path == output:
        raise InputError(f"--output {output} names one file; --workers, --engine and --dry-run need a folder.")
    for path in (output / MANIFEST, *([order.report] if order.report else [])):
        require_writable(path)
    for result in wanted:
        paths.require_possible(result.path)
    if sharing.pop("dry_run", False):
        return _dry_run(wanted, Manifest(output).read())
    for mask in order.masks:
        pictures.size_of(mask)
    make = restyling.Restyle(settings, *(paths.expanded(mask).read_bytes() for mask in order.masks))
    with pool(make, device=settings.device, announce=tell, **sharing) as workers, Manifest(output) as manifest:
        tally = restyling.Tally(wanted, manifest)
        with tqdm(desc="pictures", unit="picture", total=len(wanted), initial=tally.there, smoothing=0.05) as bar:
            try:
                for entry in restyling.run(wanted, settings, manifest, workers, order.report is not None, tell):
                    tally.add(entry)
                    bar.set_postfix(failed=len(tally.failed), refresh=False)
                    bar.update()
                    if entry["state"] == "done":
                        tqdm.write(str(output / entry["output"]), file=sys.stdout)
            finally:
                bar.close()
                tell(tally.sentence())
        if order.report:
            noted = (manifest.entries[result.path.name] for result in wanted)
            done = [entry for entry in noted if entry["state"] == "done"]
            told = [{"image": e["source"], "output": str(output / e["output"]), **e.get("report", {})} for e in done]
            write_report(order.report, told)
    return 1 if tally.failed else 0


def _dry_run(wanted: list[restyling.Result], manifest: Manifest) -> int:
    """Print what the job would make. Exit status 1 where a picture's head cannot be read."""
    left, bad = [result for result in wanted if not restyling.is_there(result, manifest)], 0
    for source in dict.fromkeys(result.source for result in left):
        try:
            pictures.size_of(source)
        except InputError as error:
            bad += 1
            tell(error)
    for result in left:
        print(result.path)
    there = len(wanted) - len(left)
    tell(f"{len(wanted)} results: {len(left)} to make, {there} are there; {bad} sources cannot be read.")
    return 1 if bad else 0
