"""The evaluation's own variants do what their names say, and its command runs to the end."""

import itertools
import sys
from pathlib import Path

import pytest
import torch

from qs_core.anchors import select_global
from qs_core.demo import PICTURES, STYLES
from qs_core.losses.base import View
from qs_core.losses.contrastive import choose_anchors, content_term, patch_nce
from qs_core.model import load_model
from qs_core.pictures import read
from qs_core.randomness import seeded
from qs_core.settings import Settings
from qs_evaluate.report import _sheet_names
from qs_evaluate.runs import resume
from tools.data.scenes import HELD_OUT_KINDS
from tools.evaluation import pictures, protocol, systems
from tools.evaluation.__main__ import main
from tools.evaluation.variants import PICKS, RANKS, Content, Study, pick, rank


@pytest.fixture
def features() -> torch.Tensor:
    return torch.randn(2, 6, 8, 12, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name, redrawn", list(itertools.product(PICKS, (False, True))))
def test_picks_are_distinct_places_and_follow_each_pictures_generator(features, name, redrawn):
    value = rank("entropy", features, Study().attention)
    both = pick(name, value, (8, 12), 24, seeded([1, 2]) if redrawn else None, 1.0)
    assert 20 <= both.shape[1] <= 24
    for row in both.tolist():
        assert len(set(row)) == len(row) and 0 <= min(row) and max(row) < 96
    alone = pick(name, value[1:], (8, 12), 24, seeded([2]) if redrawn else None, 1.0)
    assert torch.equal(alone[0], both[1])


def test_one_of_each_cell_is_the_lowest_there():
    value = torch.arange(16.0)[None]
    assert pick("cells", value, (4, 4), 4, None, 1.0).tolist() == [[0, 2, 8, 10]]
    assert pick("cells", -value, (4, 4), 4, None, 1.0).tolist() == [[5, 7, 13, 15]]


def test_farthest_anchors_are_in_the_lower_half_and_apart():
    value = torch.zeros(1, 64)
    value[0, 32:] = 1
    chosen = pick("farthest", value, (8, 8), 4, None, 1.0)[0]
    assert chosen.max() < 32
    places = torch.stack([chosen // 8, chosen % 8], dim=1).float()
    assert torch.pdist(places).min() >= 3  # of four places on 4 x 8


def test_even_draws_reach_every_place_equally(features):
    value = rank("none", features, Study().attention)
    counts, generators = torch.zeros(96), seeded([5, 6])
    for _ in range(300):
        for row in pick("sampled", value, (8, 12), 24, generators, 1.0):
            counts[row] += 1
    assert counts.min() > 0.7 * 150 and counts.max() < 1.3 * 150  # 150 ± 11 expected


@pytest.mark.parametrize("name", RANKS)
def test_ranks_have_a_value_for_each_place(features, name):
    value = rank(name, features, Study().attention)
    assert value.shape == (2, 96) and torch.isfinite(value).all()
    assert torch.allclose(rank(name, features[1:], Study().attention), value[1:], atol=1e-5)


def test_the_plain_study_is_the_librarys_global_selection(features):
    theirs = select_global(features, 24, Study().attention)
    ours = Study(attend=frozenset({0})).select([features])[0]
    assert torch.equal(theirs.positions, ours.positions)
    assert torch.allclose(theirs.route(features), ours.route(features), atol=1e-6)


@pytest.mark.parametrize("content", [Content(), Content(alike=2.0), Content(Study(weighed=True, sharpness=0.0))])
def test_a_study_on_the_demo_network_has_a_loss_and_the_plain_one_the_librarys(content):
    model, s = load_model("demo"), Settings(prompts="golden")
    source, estimate = (read(PICTURES[name])[None, :, 60:124, 60:124] for name in ("cat", "coffee"))
    bound = content(model, s, 64, 64).loss.against(source, seeded([0]))
    value = bound(View(estimate, estimate, 500))["contrastive"]
    library = content_term(model, 300.0, choose_anchors(model, 64, 64, "global")).loss.against(source, seeded([0]))
    expected = library(View(estimate, estimate, 500))["contrastive"]
    assert value.shape == (1,) and torch.isfinite(value).all()
    if not content.study.weighed:
        assert torch.allclose(value, expected, rtol=1e-4)


def test_negatives_alike_are_left_out():
    """Of three anchors the first two are alike: to each of them the third alone is a negative."""
    loss = Content(alike=0.9)(load_model("demo"), Settings(prompts="golden"), 64, 64).loss
    source = torch.tensor([[[1.0, 0], [1, 0.01], [0, 1]]])
    estimate = torch.tensor([[[1.0, 0.2], [1, 0], [0.3, 1]]])
    e, s = (torch.nn.functional.normalize(x[0], dim=-1) for x in (estimate, source))
    logits = torch.stack([e[0] @ s[0], e[0] @ s[2]]) / 0.07
    assert torch.isclose(loss._each(estimate, source)[0, 0], -logits.log_softmax(0)[0], atol=1e-5)
    assert loss._each(estimate, source).mean() < patch_nce(estimate, source)[0]


def test_splits_share_no_picture_and_are_square(tmp_path):
    tuning, held_out = (pictures.write(split, tmp_path / split) for split in pictures.SPLITS)
    files = [*tuning.values(), *held_out.values()]
    assert len(held_out) == 12 and len({Path(path).read_bytes() for path in files}) == len(files)
    assert all(read(path).shape == (3, 128, 128) for path in files)
    assert not set(pictures.TUNING_SCENES) & set(HELD_OUT_KINDS) and not set(pictures.TUNING_PHOTOS) & set(held_out)


@pytest.mark.parametrize("methods", [protocol.SCREENED, protocol.SECOND, protocol.CONFIRMED])
def test_the_protocol_names_each_method_once_with_random_as_baseline(methods):
    names = [method.name for method in methods]
    assert len(set(names)) == len(names) and "random" in names


def test_the_page_has_a_place_for_all_that_is_measured():
    page = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    for name in (*protocol.PLANS, "systems", "sensitivity", "why", "judge"):
        assert page.count(f"<!-- {name} -->\n") == page.count(f"<!-- /{name} -->") == 1
    assert protocol.SHEET in _sheet_names(protocol.PROMPTS)
    assert protocol.FINALIST.name in {method.name for method in protocol.CONFIRMED}


def test_query_selection_differs_from_zecon_in_its_anchors_alone(tmp_path):
    style = str(STYLES["golden"])
    plan = protocol.systems(tmp_path, {"golden": style})
    every = {method.name: method.settings for method in plan.methods}
    assert list(every) == ["DiffusionCLIP", "DiffuseIT", "ZeCon", "query-selected", "now"]
    assert {*every["ZeCon"].items()} ^ {*every["query-selected"].items()} == {
        ("anchors", "random"),
        ("anchors", "global"),
    }
    assert every["ZeCon"]["trust_radius"] == every["DiffuseIT"]["trust_radius"] == 0 and not every["now"]
    assert len(list(plan.cells())) * len(plan.sources) == 15 * 8
    assert set(systems.SHOWN) <= set(plan.sources) and len(plan.sources) == 8
    short = protocol.quick(plan)
    assert {cell.settings(short).steps for cell in short.cells()} == {"8"}


def test_the_systems_table_says_where_no_style_is_common(tmp_path):
    """Beside the gain of what can be compared, and each system's seconds."""
    reached = {"DiffusionCLIP": (0.1, 0.2), "ZeCon": (0.3, 0.5), "now": (0.25, 0.5)}
    rows = [
        {"method": method, "weight": k, "prompt": "golden", "picture": name, "seed": 0, "directional": style + 0.01 * n}
        | dict.fromkeys(systems.CONTENT, 0.5 + 0.1 * (method == "now"))
        for method, styles in reached.items()
        for k, style in enumerate(styles, 1)
        for n, name in enumerate(("cat", "coffee", "owl"))
    ]
    for method in reached:
        systems.note(tmp_path, "edit", method, 2.5)
    systems.note(tmp_path, "training", "golden", 100.4)
    trained, zecon, now = systems.table(rows, tmp_path).splitlines()[2:5]
    assert trained.count("no style in common") == 3 and trained.endswith("| 2.5 | 100 | 30 min, training included |")
    assert "| -0.100 (-0.100 to -0.100) | " in zecon and "0.310 to 0.510" in zecon
    assert now == "| now | - | - | - | 0.260 to 0.510 | 2.5 | 0 | - |"


@pytest.mark.slow
def test_the_quick_form_of_the_systems_trains_and_runs_to_the_sheet(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["evaluation", "systems", "--quick", "--out", str(tmp_path), "--workers", "1"])
    main()
    assert "| DiffusionCLIP |" in capsys.readouterr().out
    folder = tmp_path / "systems-quick"
    before = (folder / "seconds.json").read_bytes()
    main()  # all is there
    assert (folder / "seconds.json").read_bytes() == before and (folder / "systems.jpg").stat().st_size


@pytest.mark.slow
def test_the_quick_form_runs_to_the_report(tmp_path, monkeypatch, capsys):
    arguments = ["evaluation", "confirm", "--quick", "--out", str(tmp_path), "--workers", "1"]
    monkeypatch.setattr(sys, "argv", arguments)
    main()
    folder = tmp_path / "confirm-quick"
    rows = resume(protocol.quick(protocol.confirm(folder)), folder)
    assert len(rows) == 2 * 2 * len(protocol.CONFIRMED)
    assert "random" in capsys.readouterr().out
    for name in ("summary.md", "comparisons.csv", "curves.png"):
        assert (folder / name).stat().st_size


@pytest.mark.parametrize("has", [True, False])
def test_networks_are_reduced_where_the_device_computes_so_and_it_is_said_where_not(monkeypatch, recwarn, has):
    monkeypatch.setattr(protocol, "computes", lambda name, device: has)
    dtype = "bfloat16" if has else "float32"
    assert protocol.reduced({"eta": 0.0}) == {"eta": 0.0, "dtype": dtype, "clip_dtype": dtype}
    assert [str(said.message).endswith("more exact.") for said in recwarn] == [True] * (not has)
