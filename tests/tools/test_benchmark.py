"""The benchmark's own arithmetic, and one run of ourselves on a small case from end to end."""

import json
import time

import pytest
import torch

from qs_core.jobs.pools import each
from qs_core.unets.adm import ADMUNet
from tools.benchmark import __main__ as main
from tools.benchmark import cases, cost, many, measuring, options, report
from tools.benchmark.__main__ import case_of, changed, parser
from tools.benchmark.cases import Case


class TestCases:
    def test_the_small_one_is_the_issue_s(self):
        with torch.device("meta"):
            network = ADMUNet(cases.UNETS["small"][0])
        assert sum(p.numel() for p in network.parameters()) == 17_851_974

    @pytest.mark.parametrize("name, parameters", [("ffhq", 93_563_910), ("imagenet", 552_814_086)])
    def test_the_large_ones_are_the_published(self, name, parameters):
        with torch.device("meta"):
            network = ADMUNet(cases.UNETS[name][0])
        assert sum(p.numel() for p in network.parameters()) == parameters

    def test_a_field_takes_its_kind_and_anything_else_is_a_setting(self):
        case = changed(Case(), "size=128,dtype=bfloat16,gradient_checkpointing=true,final_crops=8,start=noised")
        assert (case.size, case.dtype) == (128, "bfloat16")
        assert case.settings == {"gradient_checkpointing": True, "final_crops": 8, "start": "noised"}
        assert Case().settings == {}

    def test_it_survives_the_way_to_another_process(self):
        case = changed(Case(crops=7), "recompute=true")
        assert Case.from_json(case.to_json()) == case

    def test_the_arguments_say_it(self):
        given = parser().parse_args("sweep --size 128 --clip ViT-B-16 --set recompute=true --steps 3".split())
        assert case_of(given) == Case(size=128, clip="ViT-B-16", settings={"recompute": True})

    def test_the_picture_is_of_whole_8_bit_values(self):
        picture = cases.picture(Case(size=32, batch=2))
        assert picture.shape == (2, 3, 32, 32) and picture.std() > 0.1
        values = (picture + 1) * 127.5
        torch.testing.assert_close(values, values.round(), rtol=0, atol=1e-4)


class TestClocks:
    def test_in_turn_counts_steps_alone_and_begins_again(self):
        begun, log = [], []

        def walk(name, length, pause):
            def begin():
                begun.append(name)
                for k in range(length):
                    time.sleep(pause)
                    log.append(name)
                    yield k

            return begin

        short, long = measuring.in_turn([walk("a", 2, 0.0), walk("b", 9, 0.02)], 4, "cpu")
        assert len(short) == len(long) == 4 and log.count("a") == log.count("b") == 5
        assert begun.count("a") == 3 and begun.count("b") == 1
        assert min(long) > 0.015 and short.median < long.median
        # After each round both have taken as many steps.
        assert all(log[: 2 * k].count("a") == k for k in range(1, 6))

    def test_a_walk_without_a_step(self):
        with pytest.raises(RuntimeError, match="no step at all"):
            measuring.in_turn([lambda: iter(())], 1, "cpu")

    def test_a_spread_says_middle_least_and_most(self):
        assert str(measuring.Spread([3.0, 1.0, 2.0])) == "2 (1 to 3)"

    @pytest.mark.skipif(measuring.resident() is None, reason="this system does not tell")
    def test_the_peak_sees_what_is_gone_and_can_be_forgotten(self):
        measuring.forget_peak()
        before = measuring.resident()
        torch.ones(30_000_000).sum()
        assert measuring.peak() - before > 100e6
        measuring.forget_peak()
        assert measuring.peak() - measuring.resident() < 20e6


class TestReports:
    def test_a_table(self):
        assert report.table(["a", "b"], [[1, "x"]]) == "| a | b |\n| --- | --- |\n| 1 | x |"

    def test_it_goes_between_its_markers_alone(self, tmp_path):
        page = tmp_path / "page.md"
        page.write_text("<!-- one -->\nold\n<!-- /one -->\n<!-- two -->\nkept\n<!-- /two -->\n", encoding="utf-8")
        report.insert(page, "one", "new")
        assert page.read_text(encoding="utf-8").startswith("<!-- one -->\nnew\n<!-- /one -->\n<!-- two -->\nkept\n")
        with pytest.raises(SystemExit, match="no markers <!-- three -->"):
            report.insert(page, "three", "new")

    def test_a_page_without_its_place_is_told_before_anything_is_measured(self, tmp_path, monkeypatch):
        (tmp_path / "page.md").write_text("nothing", encoding="utf-8")
        monkeypatch.setattr("sys.argv", ["benchmark", "cost", "--page", str(tmp_path / "page.md")])
        monkeypatch.setattr(main, "measured", lambda given: pytest.fail("measured"))
        with pytest.raises(SystemExit, match="no markers <!-- cost -->"):
            main.main()

    def test_a_plot_is_a_picture(self, tmp_path):
        pytest.importorskip("matplotlib")
        report.bars(["a", "b"], [[1.0, 2.0, 3.0], [2.0]], "seconds", tmp_path / "plot.png")
        assert (tmp_path / "plot.png").stat().st_size > 1000

    def test_the_footnote_says_case_machine_and_load(self):
        told = report.footnote(Case(settings={"recompute": True}), "1.0")
        for part in ("32 crops", "recompute True", torch.__version__, "load average before and after: 1.0", "(auto)"):
            assert part in told
        told = report.footnote(Case(settings={"clip_dtype": "float16"}), "1.0")
        assert "U-Net in float32, CLIP in float16 (float16)" in told

    def test_psnr(self):
        black = torch.full((1, 3, 4, 4), -1.0)
        assert options.psnr(black, black) == float("inf")
        assert options.psnr(black, black + 0.2) == pytest.approx(20.0, abs=1e-4)  # a tenth of the range

    def test_options_are_settings(self):
        from qs_core import Settings

        for its in options.OPTIONS.values():
            Settings("gold", **its)


class TestCost:
    def test_operations_and_bytes_of_a_product_and_a_convolution(self):
        a, b = torch.randn(4, 5), torch.randn(5, 6)
        with cost.Work() as spent:
            a @ b
        assert (spent.flops, spent.bytes) == ({torch.float32: 2 * 4 * 5 * 6}, 4 * (20 + 30 + 24))
        with cost.Work() as spent:
            for dtype in (torch.float32, torch.bfloat16):
                x, weight = torch.randn(1, 3, 8, 8, dtype=dtype), torch.randn(7, 3, 3, 3, dtype=dtype)
                torch.nn.functional.conv2d(x, weight, padding=1).view(-1)
        assert spent.flops == dict.fromkeys((torch.float32, torch.bfloat16), 2 * 7 * 3 * 9 * 64)

    def test_a_gradient_to_the_input_costs_as_much_again(self):
        layer = torch.nn.Conv2d(4, 8, 3, padding=1).requires_grad_(False)
        with cost.Work() as spent:
            cost.pulled(layer, torch.randn(1, 4, 8, 8))
        assert spent.flops == {torch.float32: 2 * (2 * 8 * 4 * 9 * 64)}


@pytest.mark.slow
def test_ourselves_alone_in_a_process():
    case = Case(size=64, crops=1)
    with measuring.weights_of(case) as weights:
        told = json.loads(measuring.child("alone", case, "--side", "ours", "--weights", str(weights), "--count", "2"))
    assert len(told["seconds"]) == 1 and told["seconds"][0] > 0
    # The networks: 18 M of U-Net, 88 M of ViT-B/32's picture tower, in float32.
    assert told["networks"] is None or 0.4e9 < told["networks"] < 1.5e9


class TestSizing:
    """The simulation of a cluster, by the library's own sharing, against what can be said by hand."""

    def test_workers_that_the_driver_serves_are_all_busy(self):
        pool = many.Simulated(8, seconds=10.0, served=0.01)
        assert sum(1 for _ in each(range(800), pool)) == 800
        assert 1000 + many.LOAD < pool.clock < 1000 + 2 * many.LOAD + 20

    def test_the_driver_bounds_the_rate(self):
        pool = many.Simulated(64, seconds=1.0, served=0.1)
        assert len(list(each(range(5000), pool))) == 5000
        assert pool.clock == pytest.approx(5000 * 0.1, rel=0.1)

    def test_an_edits_operations_grow_with_crops_and_steps(self):
        few, more, steps = (
            many.edit_flops(Case(crops=crops, skip=skip)) for crops, skip in ((1, 25), (33, 25), (1, 0))
        )
        assert steps == pytest.approx(2 * few)
        assert (more - few) / 25 / 2e9 == pytest.approx(265.5, rel=0.1)  # of 32 crops, as docs/performance.md counts
