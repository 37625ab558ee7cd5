"""Evaluation runs: what is measured, resumed and refused. Small edits by the built-in models and the built-in judge."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from qs_core import InputError, NonFiniteError, Settings, demo, stylize, unguided
from qs_core.__main__ import main
from qs_core.losses.base import Term
from qs_core.losses.pixel import MSE
from qs_core.networks import choice, load
from qs_core.pictures import read
from qs_evaluate import Judge, Method, Plan, method_named, run
from qs_evaluate.runs import Bench, Cell, _phrase, resume

JUDGE = Path(__file__).parents[2] / "tools" / "evaluation" / "judge"
SMALL = {"size": 32, "steps": "4", "skip": 2, "crops": 2}


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> dict[str, str]:
    """Two square pictures and a wide one."""
    folder = tmp_path_factory.mktemp("sources")
    for name, size in (("cat", (48, 48)), ("coffee", (48, 48)), ("pagoda", (72, 48))):
        with Image.open(demo.PICTURES[name]) as picture:
            picture.resize(size).save(folder / f"{name}.png")
    return {path.stem: str(path) for path in sorted(folder.glob("*.png"))}


@pytest.fixture(scope="module")
def plan(sources) -> Plan:
    methods = (method_named("none"), method_named("random"))
    return Plan(sources, ("a sketch with crayon", "golden"), methods, (0.5, 2.0), (0,), Judge(str(JUDGE)), SMALL)


@pytest.fixture(scope="module")
def done(plan, tmp_path_factory) -> tuple[Path, list[dict]]:
    folder = tmp_path_factory.mktemp("run")
    return folder, run(plan, folder)


def keyed(rows: list[dict]) -> dict[tuple, dict]:
    return {(row["method"], row["weight"], row["prompt"], row["picture"], row["seed"]): row for row in rows}


def test_every_edit_has_a_row_a_picture_and_all_metrics(plan, done):
    folder, rows = done
    assert len(keyed(rows)) == len(rows) == 2 * 2 * 2 * 3
    for row in rows:
        assert -1 <= row["directional"] <= 1 and 0 <= row["probability"] <= 1 and row["structure"] > 0
        assert -1 < row["ssim"] < 1 and 0 <= row["clipped"] <= 1 and -1 <= row["glitter"] <= 1 and "lpips" not in row
    with (folder / "rows.csv").open(newline="", encoding="utf-8") as file:
        assert [row["file"] for row in csv.DictReader(file)] == [row["file"] for row in rows]
    edited = read(folder / "pictures" / rows[0]["file"])
    assert edited.shape == read(folder / "sources" / f"{rows[0]['picture']}.png").shape


def test_more_of_clip_changes_more(done):
    _, rows = done
    means = {w: sum(r["ssim"] for r in rows if r["weight"] == w) / len(rows) for w in (0.5, 2.0)}
    assert means[0.5] > means[2.0]


@pytest.mark.slow
def test_a_run_goes_on_where_it_was_cut_and_no_edit_is_made_twice(plan, done, tmp_path):
    _, rows = done
    first = run(replace(plan, prompts=plan.prompts), tmp_path)
    table = tmp_path / "rows.csv"
    text = table.read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    table.write_text("".join(lines[:5]) + lines[5][:20], encoding="utf-8")  # the sixth line was being written
    assert len(resume(plan, tmp_path)) == 4
    told = []
    again = run(plan, tmp_path, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (len(rows), len(rows)) and told[0][0] <= 4 + 4
    assert keyed(again).keys() == keyed(first).keys() == keyed(rows).keys()
    assert {k: r["ssim"] for k, r in keyed(again).items()} == pytest.approx(
        {k: r["ssim"] for k, r in keyed(rows).items()}, abs=2e-3
    )
    before = table.read_bytes()
    assert len(run(plan, tmp_path)) == len(rows) and table.read_bytes() == before


@pytest.mark.slow
def test_rows_do_not_depend_on_batch_or_workers(plan, done, tmp_path):
    alone = run(plan, tmp_path, workers=2, batch=1)
    for key, row in keyed(done[1]).items():
        other = keyed(alone)[key]
        assert other["ssim"] == pytest.approx(row["ssim"], abs=2e-3)
        assert other["directional"] == pytest.approx(row["directional"], abs=2e-2)


def test_another_plan_is_refused(plan, done):
    with pytest.raises(InputError, match="another plan"):
        run(replace(plan, weights=(0.5, 1.0)), done[0])


def test_another_picture_of_the_same_name_is_another_plan(plan, done, tmp_path):
    other = tmp_path / "cat.png"
    Image.new("RGB", (48, 48), "red").save(other)
    with pytest.raises(InputError, match="another plan"):
        resume(replace(plan, sources={**plan.sources, "cat": str(other)}), done[0])


def test_a_run_that_was_refused_does_not_bind_its_folder(plan, tmp_path):
    with pytest.raises(InputError, match="never saw the word"):
        run(replace(plan, prompts=("a sketsh",)), tmp_path)
    assert resume(plan, tmp_path) == []


def test_a_picture_that_there_is_not_is_told(plan, tmp_path):
    with pytest.raises(InputError, match="No picture at"):
        run(replace(plan, sources={"cat": str(tmp_path / "cat.png")}), tmp_path / "run")


@pytest.mark.slow
def test_whole_numbers_as_weights_are_not_computed_twice(plan, tmp_path):
    small = replace(plan, weights=(1, 2), prompts=plan.prompts[:1], sources=dict(list(plan.sources.items())[:1]))
    assert len(run(small, tmp_path)) == len(run(small, tmp_path)) == 4


def test_names_that_differ_little_have_files_of_their_own(plan):
    cells = [
        Cell(plan.methods[0], 1.0, prompt) for prompt in ("oil painting", "oil, painting", "oil painting " + "x" * 300)
    ]
    files = {cell.row(picture, 0)["file"] for cell in cells for picture in ("cat 1", "cat_1")}
    assert len(files) == 6 and all(len(name) < 120 for name in files)


@pytest.mark.slow
def test_what_diverges_is_named_and_the_others_are_kept(plan, tmp_path):
    wild = Method("wild", {"clip_global": 1e30})
    mixed = replace(plan, methods=(*plan.methods[:1], wild), prompts=plan.prompts[:1])
    with pytest.raises(NonFiniteError, match="6 of 12 edits diverged, the others are done. .* wild at 0.5"):
        run(mixed, tmp_path)
    assert {row["method"] for row in resume(mixed, tmp_path)} == {"none"}


def test_the_guide_under_another_name_does_not_judge(plan, tmp_path):
    with pytest.raises(InputError, match="has the weights of the CLIP that guides"):
        run(replace(plan, judge=Judge(str(demo.CLIP))), tmp_path)


def test_a_run_does_not_write_over_its_sources(plan, tmp_path):
    (tmp_path / "sources").mkdir()
    inside = tmp_path / "sources" / "cat.png"
    inside.write_bytes(Path(plan.sources["cat"]).read_bytes())
    with pytest.raises(InputError, match="writes its own copies"):
        run(replace(plan, sources={"cat": str(inside)}), tmp_path)


def test_clip_computes_in_the_wished_dtype_and_reads_phrases_in_float32(plan, tmp_path):
    networks = [load(Settings(prompts="golden", clip_dtype=name)) for name in ("float32", "bfloat16")]
    assert [n.text.clip.dtype for n in networks] == [torch.float32, torch.bfloat16]
    assert torch.equal(networks[0].text.targets, networks[1].text.targets)
    picture = read(plan.sources["cat"])[None]
    whole, half = (n.text.clip.encode_image(torch.nn.functional.interpolate(picture, (64, 64))) for n in networks)
    assert half.dtype == torch.float32 and not torch.equal(whole, half)
    assert torch.cosine_similarity(whole, half) > 0.999


def mse_instead(model, s, height: int, width: int) -> Term:
    return Term(s.contrastive, MSE())


@pytest.mark.slow
def test_a_method_may_bring_its_own_term_and_seeds(plan, tmp_path):
    method = Method("mse", {"mse": 0.0}, mse_instead, seeds=(3, 4))
    small = replace(plan, methods=(method,), prompts=plan.prompts[:1], sources=dict(list(plan.sources.items())[:1]))
    rows = run(small, tmp_path)
    assert sorted((row["weight"], row["seed"]) for row in rows) == [(0.5, 3), (0.5, 4), (2.0, 3), (2.0, 4)]


GOLDEN = str(demo.STYLES["golden"])


def test_a_trained_style_walks_unguided_and_is_swept_over_its_share(plan, tmp_path):
    trained = Method("trained", weights=(0.0, 0.5, 1.0), styles={"golden": GOLDEN})
    small = replace(plan, methods=(trained,), prompts=("golden",), sources={"cat": plan.sources["cat"]})
    rows = run(small, tmp_path)
    assert [row["weight"] for row in rows] == [0.0, 0.5, 1.0] and len({row["ssim"] for row in rows}) == 3
    (alone,) = unguided.run([plan.sources["cat"]], unguided.StyleSettings((GOLDEN,), size=32))
    assert torch.allclose(read(tmp_path / "pictures" / rows[2]["file"]), alone.picture.clamp(-1, 1), atol=0.01)


def test_what_is_inverted_may_be_taken_as_it_is(plan, tmp_path):
    trained = Method("trained", weights=(1.0,), styles={"golden": GOLDEN})
    methods = (replace(method_named("random"), weights=(1.0,)), trained)
    one = {"methods": methods, "prompts": ("golden",), "sources": {"cat": plan.sources["cat"]}}
    as_it_is = {**plan.settings, "dequantize": False}
    found = run(replace(plan, **one), tmp_path / "1"), run(replace(plan, **one, settings=as_it_is), tmp_path / "2")
    assert [row["method"] for row in found[0]] == ["random", "trained"]
    for row, other in zip(*found, strict=True):
        assert row["ssim"] != other["ssim"]
    with pytest.raises(InputError, match="another plan"):
        resume(replace(plan, **one), tmp_path / "2")


def test_a_style_decides_the_plan_by_its_content_and_older_plans_stay_as_they_are(tmp_path):
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(Path(GOLDEN).read_bytes())
    said = [Method("trained", styles={"golden": str(path)}).describe() for path in (GOLDEN, copy)]
    assert said[0] == said[1] and GOLDEN not in str(said)
    assert set(Method("plain").describe()) == {"name", "settings", "content", "seeds"}


def test_a_methods_own_phrase_settings_and_networks_are_taken(plan, tmp_path):
    own = Method("own", {"source_prompt": "a photo", "templates": True, "clip_target": 2000.0, "vit_structure": 100.0})
    bench = Bench(replace(plan, methods=(own, Method("plain"))), tmp_path)
    (spoken, kinds), (plain, none) = (
        (bench.texts[_phrase(s)], set(bench.of_losses[choice(s)]))
        for s in (Cell(method, 1.0, "golden").settings(plan) for method in bench.plan.methods)
    )
    assert not torch.equal(spoken.targets, plain.targets) and not torch.equal(spoken.source, plain.source)
    assert kinds == {"vit"} and none == set()


def test_the_contrastive_sweep_leaves_a_fixed_weight_alone(plan):
    swept = replace(plan, sweep="contrastive", weights=(75.0, 300.0))
    cells = [(cell.method.name, cell.settings(swept).contrastive) for cell in swept.cells()][:3]
    assert cells == [("none", 0.0), ("random", 75.0), ("random", 300.0)]
    clip = [(cell.settings(plan).contrastive, cell.settings(plan).clip_global) for cell in plan.cells()]
    assert clip[:4] == [(0.0, 20_000.0), (0.0, 80_000.0), (6000.0, 20_000.0), (6000.0, 80_000.0)]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"sources": {}}, "no sources"),
        ({"weights": ()}, "no weights"),
        ({"methods": (Method("a"), Method("a"))}, "'a' is twice among the methods"),
        ({"weights": (1, 1.0)}, "1.0 is twice among the weights"),
        ({"seeds": (0, 0)}, "0 is twice among the seeds"),
        ({"sweep": "steps"}, "Sweep 'steps' is unknown"),
        ({"judge": Judge("demo")}, "cannot judge"),
        ({"methods": (Method("a", styles={"golden": GOLDEN}),)}, "no style's file for 'a sketch with crayon'"),
        ({"prompts": ("golden",), "methods": (Method("a", styles={"golden": GOLDEN}),)}, "weight 2. .* is 0 to 1"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(plan, change, message):
    with pytest.raises(InputError, match=message):
        replace(plan, **change)


@pytest.mark.slow
def test_the_command_runs_reports_and_refuses(sources, tmp_path, capsys):
    small = [f"--{key}={value}" for key, value in SMALL.items()]
    arguments = ["evaluate", *sources.values(), "--prompt", "golden", "--output", str(tmp_path / "run"), *small]
    arguments += ["--judge", str(JUDGE), "--methods", "random", "global", "--weights", "0.5", "2"]
    assert main(arguments) == 0
    named = [Path(line).name for line in capsys.readouterr().out.splitlines()]
    assert {"summary.md", "summary.csv", "comparisons.csv", "curves.png"} <= set(named)
    assert all((tmp_path / "run" / name).stat().st_size for name in named)
    assert main([*arguments, "--baseline", "local"]) == 2
    assert "not among the methods" in capsys.readouterr().err


def test_an_edit_is_the_picture_that_stylize_gives(plan, done):
    """The same settings and seed, one walk: to the last of its 8 bits."""
    folder, rows = done
    for row in (row for row in rows if row["picture"] == "cat" and row["method"] == "random" and row["weight"] == 0.5):
        factors = {name: 0.5 * getattr(Settings("golden"), name) for name in ("clip_global", "clip_directional")}
        settings = {**plan.settings, **factors, "anchors": "random", "seed": row["seed"]}
        expected = stylize(plan.sources["cat"], row["prompt"], **settings).image
        with Image.open(folder / "pictures" / row["file"]) as found:
            # A batch of two sums in another order than a picture alone.
            difference = np.abs(np.asarray(found, int) - np.asarray(expected, int))
        assert difference.max() <= 1


def test_clip_guides_in_float32_unless_another_dtype_is_named(plan):
    assert plan.settings["clip_dtype"] == "float32"
    assert replace(plan, settings={**plan.settings, "clip_dtype": "auto"}).settings["clip_dtype"] == "float32"
    assert replace(plan, settings={**plan.settings, "clip_dtype": "bfloat16"}).settings["clip_dtype"] == "bfloat16"
