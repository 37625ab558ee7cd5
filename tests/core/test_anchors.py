"""Anchors against golden figures of QS-Attn, brute force, and hand-made maps where the answer is visible."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from einops import rearrange
from torch.nn.functional import normalize

from qs_core import anchors
from qs_core.anchors import (
    Anchors,
    Attention,
    entropy_global,
    lowest,
    route_at,
    select_global,
    select_local,
    select_local_global,
    select_random,
)
from qs_core.errors import InputError
from qs_core.losses.contrastive import patch_nce
from qs_core.randomness import seeded

GOLDEN = {"rtol": 1e-4, "atol": 1e-5}  # stated by golden/README.md
FLOAT32 = {"rtol": 1e-4, "atol": 1e-5}  # sums of a few hundred float32 terms against float64
RAW = Attention("raw", 1.0)
ATTENTIONS = (RAW, Attention("raw", 2.0), Attention("sqrt", 0.5), Attention("cosine", 0.07), Attention("cosine", 1.0))


def features(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def positions_map(height: int, width: int) -> torch.Tensor:
    """(1, HW, H, W) one-hot values: a route over it gives its own attention rows."""
    return torch.eye(height * width).view(1, height * width, height, width)


def brute_scores(x: torch.Tensor, attention: Attention) -> torch.Tensor:
    """(B, HW, HW) in float64, written out."""
    tokens = rearrange(x.double(), "b c h w -> b (h w) c")
    if attention.scale == "cosine":
        tokens = normalize(tokens, dim=-1)
    scores = torch.einsum("bic,bjc->bij", tokens, tokens) / attention.temperature
    return scores / math.sqrt(x.shape[1]) if attention.scale == "sqrt" else scores


def entropy_of(rows: torch.Tensor) -> torch.Tensor:
    return -torch.special.xlogy(rows, rows).sum(-1)


class TestGolden:
    """QS-Attn's global mode: raw dot products at temperature 1."""

    @pytest.mark.parametrize("layer", [3, 4])
    def test_selection(self, golden, layer):
        figures = golden("qsattn_global")
        source = figures[f"source/{layer}"]
        selection = select_global(source, figures["num_anchors"], RAW)
        torch.testing.assert_close(selection.entropy.flatten(1), figures[f"entropy/{layer}"], **GOLDEN)
        assert torch.equal(selection.positions, figures[f"selected/{layer}"])
        rows = selection.route(positions_map(*source.shape[-2:]))
        torch.testing.assert_close(rows, figures[f"attention/{layer}"], **GOLDEN)

    @pytest.mark.parametrize("layer", range(5))
    def test_pooled_loss_and_gradient(self, golden, layer):
        figures = golden("qsattn_global")
        source, target = figures[f"source/{layer}"], figures[f"target/{layer}"].clone().requires_grad_()
        attended = layer >= figures["attention_from_layer"]
        route = (
            select_global(source, figures["num_anchors"], RAW).route
            if attended
            else route_at(figures[f"anchors/{layer}"][None])
        )
        for values, key in ((source, "source_pooled"), (target, "target_pooled")):
            torch.testing.assert_close(normalize(route(values), dim=-1)[0], figures[f"{key}/{layer}"], **GOLDEN)
        loss = patch_nce(route(target), route(source), figures["tau"])
        assert loss.item() == pytest.approx(figures[f"loss/{layer}"], rel=1e-4, abs=1e-5)
        (gradient,) = torch.autograd.grad(loss.sum(), target)
        torch.testing.assert_close(gradient, figures[f"grad/{layer}"], **GOLDEN)


class TestGlobal:
    @pytest.mark.parametrize("attention", ATTENTIONS)
    def test_entropy_by_brute_force(self, attention):
        x = 0.7 * features(2, 24, 9, 13)
        expected = entropy_of(brute_scores(x, attention).softmax(-1)).float()
        torch.testing.assert_close(entropy_global(x, attention), expected, **FLOAT32)

    @pytest.mark.parametrize("block", [1, 117, 500, 117 * 117])
    def test_blocks_of_any_size_agree(self, monkeypatch, block):
        x, attention = features(2, 24, 9, 13), Attention()
        expected = entropy_global(x, attention)
        monkeypatch.setattr(anchors, "BLOCK", block)
        torch.testing.assert_close(entropy_global(x, attention), expected, **FLOAT32)

    def test_saturated_attention_has_entropy_zero_not_nan(self):
        x = 100 * features(1, 64, 8, 8)
        torch.testing.assert_close(entropy_global(x, RAW), torch.zeros(1, 64))

    def test_equal_features_have_the_largest_entropy(self):
        expected = torch.full((1, 48), math.log(48))
        torch.testing.assert_close(entropy_global(torch.ones(1, 8, 6, 8), Attention()), expected)

    def test_half_precision_features_are_attended_in_float32(self):
        x = (40 * features(1, 64, 6, 6)).half()  # squared norms around 100 000: past float16's 65 504
        entropy = entropy_global(x, Attention("raw", 1e5))
        expected = entropy_of(brute_scores(x, Attention("raw", 1e5)).softmax(-1)).float()
        assert entropy.dtype == torch.float32
        torch.testing.assert_close(entropy, expected, **FLOAT32)

    @pytest.mark.parametrize("attention", ATTENTIONS)
    def test_routes_are_the_sources_rows_whatever_the_values(self, attention):
        x, values = 0.7 * features(2, 24, 6, 10), features(2, 5, 6, 10, seed=1)
        selection = select_global(x, 12, attention)
        rows = brute_scores(x, attention).softmax(-1)
        chosen = torch.stack([row[index] for row, index in zip(rows, selection.positions, strict=True)])
        expected = chosen @ rearrange(values.double(), "b c h w -> b (h w) c")
        assert selection.route(values).shape == (2, 12, 5)
        torch.testing.assert_close(selection.route(values), expected.float(), **FLOAT32)
        shown = selection.route(positions_map(6, 10).expand(2, -1, -1, -1))
        torch.testing.assert_close(shown, chosen.float(), **FLOAT32)

    def test_positions_are_those_of_lowest_entropy(self):
        selection = select_global(features(2, 24, 6, 10), 12, Attention())
        flat = selection.entropy.flatten(1)
        chosen = flat.gather(1, selection.positions)
        rest = flat.scatter(1, selection.positions, math.inf)
        assert selection.entropy.shape == (2, 6, 10)
        assert (chosen.diff(dim=1) >= 0).all() and (chosen.amax(1) <= rest.amin(1)).all()

    def test_a_visible_answer(self):
        """Place (2, 2) looks like a faint copy of its neighbour (2, 3): its row is that neighbour. Others see all."""
        x = visible_map()
        selection = select_global(x, 2, RAW)
        assert selection.positions.tolist() == [[12, 13]]  # both entropies are exactly 0: ties by position
        torch.testing.assert_close(selection.entropy[0, 0, 0].item(), math.log(25))
        rows = selection.route(positions_map(5, 5))
        assert rows.argmax(-1).tolist() == [[13, 13]]
        torch.testing.assert_close(rows.amax(-1), torch.ones(1, 2))


def visible_map() -> torch.Tensor:
    x = torch.zeros(1, 2, 5, 5)
    x[0, 0, 2, 2], x[0, 0, 2, 3] = 1.0, 1000.0
    return x


def local_by_loop(x: torch.Tensor, attention: Attention, kernel: int) -> torch.Tensor:
    """(HW, HW) attention within each window, one place after the other; places outside repeat the border."""
    height, width = x.shape[-2:]
    tokens = x[0].double()
    tokens = normalize(tokens, dim=0) if attention.scale == "cosine" else tokens
    scale = attention.temperature * (math.sqrt(len(tokens)) if attention.scale == "sqrt" else 1)
    weights, entropies = torch.zeros(height * width, height * width, dtype=torch.float64), []
    for place in range(height * width):
        y, column = divmod(place, width)
        window = [
            (min(max(y + dy, 0), height - 1), min(max(column + dx, 0), width - 1))
            for dy in range(-(kernel // 2), kernel // 2 + 1)
            for dx in range(-(kernel // 2), kernel // 2 + 1)
        ]
        scores = torch.stack([tokens[:, y, column] @ tokens[:, v, u] / scale for v, u in window])
        share = scores.softmax(0)
        entropies.append(entropy_of(share))
        for (v, u), p in zip(window, share, strict=True):
            weights[place, v * width + u] += p
    return weights.float(), torch.stack(entropies).float()


class TestLocal:
    @pytest.mark.parametrize("attention", [RAW, Attention("sqrt", 0.5), Attention()])
    @pytest.mark.parametrize("kernel", [3, 7])
    def test_against_a_loop_over_windows(self, attention, kernel):
        x = 0.7 * features(1, 6, 7, 9)
        weights, entropies = local_by_loop(x, attention, kernel)
        selection = select_local(x, 63, attention, kernel)
        torch.testing.assert_close(selection.entropy, entropies.view(1, 7, 9), **FLOAT32)
        torch.testing.assert_close(selection.route(positions_map(7, 9))[0], weights[selection.positions[0]], **FLOAT32)

    def test_the_layout_by_one_neighbour(self):
        """(2, 2) attends to its right neighbour alone; a map of its own shows that this is what is routed."""
        selection = select_local(visible_map(), 2, RAW, kernel=3)
        assert selection.positions.tolist() == [[12, 13]]
        values = torch.arange(50.0).view(1, 2, 5, 5)
        torch.testing.assert_close(selection.route(values), torch.tensor([[[13.0, 38.0], [13.0, 38.0]]]))
        torch.testing.assert_close(selection.entropy[0, 0, 0].item(), math.log(9))

    def test_a_picture_does_not_depend_on_its_batch(self):
        batch = features(2, 6, 8, 8)
        for select in (select_global, select_local, select_local_global):
            together, alone = select(batch, 10, Attention()), select(batch[1:], 10, Attention())
            assert torch.equal(together.positions[1:], alone.positions)
            torch.testing.assert_close(together.route(batch)[1:], alone.route(batch[1:]), **FLOAT32)

    def test_local_global_has_local_positions_and_global_rows(self):
        x, attention = features(2, 6, 8, 8), Attention()
        both, local = select_local_global(x, 10, attention), select_local(x, 10, attention)
        assert torch.equal(both.positions, local.positions)
        torch.testing.assert_close(both.entropy, local.entropy)
        rows = brute_scores(x, attention).softmax(-1)
        chosen = torch.stack([row[index] for row, index in zip(rows, both.positions, strict=True)])
        torch.testing.assert_close(both.route(positions_map(8, 8).expand(2, -1, -1, -1)), chosen.float(), **FLOAT32)


def test_lowest_breaks_ties_by_position():
    entropy = torch.tensor([[2.0, 0.0, 1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0, 0.5]])
    assert lowest(entropy, 4).tolist() == [[1, 3, 4, 2], [4, 0, 1, 2]]


def test_lowest_breaks_many_ties_by_position():
    assert lowest(torch.zeros(1, 5000), 300).tolist() == [list(range(300))]


def test_route_at_reads_row_major_positions():
    values = torch.arange(24.0).view(1, 2, 3, 4)
    assert route_at(torch.tensor([[5, 0, 11]]))(values).tolist() == [[[5, 17], [0, 12], [11, 23]]]


class TestRandom:
    def positions(self, count, seeds, shape=(6, 7)):
        height, width = shape
        values = torch.arange(float(height * width)).view(1, 1, height, width).expand(len(seeds), -1, -1, -1)
        return select_random(values, count, seeded(seeds))(values)[..., 0].long()

    def test_positions_are_distinct_and_on_the_map(self):
        (drawn,) = self.positions(42, [3]).tolist()
        assert sorted(drawn) == list(range(42))

    def test_one_generator_per_picture(self):
        together, alone = self.positions(10, [1, 2]), self.positions(10, [2])
        assert torch.equal(together[1:], alone) and not torch.equal(together[0], together[1])

    def test_every_step_draws_anew(self):
        generators, x = seeded([1]), torch.arange(64.0).view(1, 1, 8, 8)
        first, second = (Anchors("random", 10).draw(x, generators)(x) for _ in range(2))
        assert not torch.equal(first, second)


class TestAnchors:
    @pytest.mark.parametrize("shape, count", [((32, 32), 256), ((16, 16), 64), ((8, 12), 24), ((1, 2), 1), ((1, 1), 1)])
    def test_at_most_a_quarter_of_the_map(self, shape, count):
        assert Anchors("global", 256).count(torch.zeros(1, 3, *shape)) == count

    def test_only_attended_layers_are_selected(self):
        maps = [features(1, 4, 16, 16), features(1, 4, 8, 8), features(1, 4, 4, 4)]
        selections = Anchors("local", 20, frozenset({1, 2})).select(maps)
        assert selections[0] is None
        assert [s.positions.shape for s in selections[1:]] == [(1, 16), (1, 4)]

    def test_random_anchors_select_nothing(self):
        assert Anchors("random", 20, frozenset({0})).select([features(1, 4, 8, 8)]) == [None]

    @pytest.mark.parametrize("kind, select", [("global", select_global), ("local_global", select_local_global)])
    def test_kinds_are_their_selectors(self, kind, select):
        x = features(1, 4, 8, 8)
        (chosen,) = Anchors(kind, 9, frozenset({0})).select([x])
        assert torch.equal(chosen.positions, select(x, 9, Attention()).positions)

    @pytest.mark.parametrize(
        "make, message",
        [
            (lambda: Anchors("nearest"), "Anchors 'nearest' are unknown; choose one of random, global, local"),
            (lambda: Anchors("global", 0), "0 anchors: at least 1 is needed"),
            (lambda: Attention("dot"), "scale 'dot' is unknown; choose one of raw, sqrt, cosine"),
            (lambda: Attention("raw", 0.0), "temperature 0.0 must be above 0"),
            (lambda: Attention("raw", float("nan")), "temperature nan must be above 0"),
        ],
    )
    def test_messages(self, make, message):
        with pytest.raises(InputError, match=message):
            make()


LARGE = """
import json, resource, time
import torch
from qs_core.anchors import Attention, select_global

peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
features = torch.randn(1, 256, 256, 256, generator=torch.Generator().manual_seed(0))
before, begun, cpu = peak(), time.perf_counter(), time.process_time()
routed = select_global(features, 256, Attention()).route(features)
seconds, used = time.perf_counter() - begun, time.process_time() - cpu
print(json.dumps({"shape": list(routed.shape), "bytes": peak() - before, "seconds": seconds, "cpu": used}))
"""


@pytest.mark.slow
def test_a_large_map_takes_under_a_minute_and_a_gigabyte():
    """Exact entropies of 65 536 positions, whose full attention would be 17 GB, and routing, on two idle cores."""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", LARGE], cwd=root, capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout)
    print(figures)
    assert figures["shape"] == [1, 256, 256]
    assert figures["bytes"] < 1e9
    # On a busy machine, half of the processor time is what two idle cores would have taken.
    assert min(figures["seconds"], figures["cpu"] / 2) < 60
