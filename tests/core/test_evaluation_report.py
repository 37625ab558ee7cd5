"""The report of an evaluation: its tables, curves and contact sheets, written from made-up rows and read back."""

import csv
import sys

import numpy as np
import pytest
from PIL import Image

from qs_core.errors import InputError
from qs_evaluate import curves, report

GAP = {"selected": 0.1, "random": 0.0}  # content kept at equal style, over the baseline's
COLOUR = {"selected": (200, 0, 0), "random": (0, 200, 0), "plain": (0, 0, 200)}
PROMPTS = ("a mosaic", "a sketch")
PIXELS = 20  # a side; enlarged eight times


def make_rows(pictures=3, prompts=PROMPTS, shift=0.0) -> list[dict]:
    """Two swept methods of slope -1 and one of a single weight; `shift` moves the styles of "selected"."""
    points = {
        "selected": [(75.0, 0.3 + shift), (300.0, 0.1 + shift)],
        "random": [(75.0, 0.35), (300.0, 0.15)],
        "plain": [(0.0, 0.4)],
    }
    return [
        _row(method, weight, prompt, f"photo{k}", seed, style, 0.9 - style + GAP.get(method, 0.0) + 0.01 * k)
        for method, sweep in points.items()
        for weight, style in sweep
        for prompt in prompts
        for k in range(pictures)
        for seed in (4, 5)
    ]


def _row(method: str, weight: float, prompt: str, picture: str, seed: int, style: float, content: float) -> dict:
    file = f"{method}-{weight:g}-{prompt}-{picture}-{seed}.png".replace(" ", "_")
    key = {"method": method, "weight": weight, "prompt": prompt, "picture": picture, "seed": seed}
    kept = {"ssim": content, "gradient": content - 0.1, "structure": 1 - content, "lpips": ""}
    return (
        key | kept | {"directional": style, "clip_score": style / 2, "probability": 0.5, "seconds": 2.0, "file": file}
    )


@pytest.fixture
def folder(tmp_path):
    """An evaluation's folder: grey sources and one colour for each method, brighter with the weight 300."""
    for name in ("sources", "pictures"):
        (tmp_path / name).mkdir()
    for row in make_rows():
        Image.new("RGB", (PIXELS, PIXELS), (128, 128, 128)).save(tmp_path / "sources" / f"{row['picture']}.png")
        colour = tuple(value + 50 * (row["weight"] == 300 and value > 0) for value in COLOUR[row["method"]])
        Image.new("RGB", (PIXELS, PIXELS), colour).save(tmp_path / "pictures" / row["file"])
    return tmp_path


def read_csv(path) -> list[dict]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write(rows, folder, **options):
    return report.write(rows, folder, "random", resamples=100, **options)


class TestFiles:
    def test_all_are_written(self, folder):
        written = write(make_rows(), folder)
        tables = ["comparisons.csv", "summary.csv", "summary.md"]
        assert sorted(path.name for path in written) == [
            *tables[:1],
            "curves.png",
            "sheet-a-mosaic.png",
            "sheet-a-sketch.png",
            *tables[1:],
        ]
        assert all(path.parent == folder and path.stat().st_size > 0 for path in written)
        assert not list(folder.glob(".*"))

    def test_one_prompt_has_the_plain_name(self, folder):
        write(make_rows(prompts=PROMPTS[:1]), folder)
        assert (folder / "sheet.png").is_file() and not (folder / "sheet-a-mosaic.png").exists()

    def test_prompts_of_the_same_words_have_two_sheets(self):
        names = report._sheet_names(["a mosaic", "A mosaic!", "b"])
        assert list(names.values()) == ["a mosaic", "A mosaic!", "b"] and len(names) == 3

    def test_the_summary(self, folder):
        write(make_rows(), folder)
        lines = read_csv(folder / "summary.csv")
        assert [(line["method"], float(line["weight"])) for line in lines] == [
            ("selected", 75),
            ("selected", 300),
            ("random", 75),
            ("random", 300),
            ("plain", 0),
        ]
        first = lines[0]
        assert (first["n"], first["pictures"]) == ("12", "3") and "lpips" not in first
        assert float(first["ssim"]) == pytest.approx(0.71) and float(first["directional"]) == pytest.approx(0.3)
        assert 0.7 - 1e-9 <= float(first["ssim_low"]) < 0.71 < float(first["ssim_high"]) <= 0.72 + 1e-9
        assert float(first["seconds"]) == 2

    def test_the_comparisons(self, folder):
        write(make_rows(), folder)
        lines = read_csv(folder / "comparisons.csv")
        assert [(line["method"], line["baseline"], line["content"]) for line in lines] == [
            ("selected", "random", metric) for metric in ("ssim", "gradient", "structure")
        ]
        for line in lines:
            assert float(line["gain"]) == pytest.approx(0.1) and float(line["low"]) == pytest.approx(0.1)
            assert [line["pictures_better"], line["pictures"], line["lost"], line["note"]] == ["3", "3", "0", ""]
            assert (float(line["style_low"]), float(line["style_high"])) == pytest.approx((0.15, 0.3))
            assert (float(line["p"]), float(line["p_holm"])) == (0.25, 0.75)

    def test_holm_is_over_all_tests_of_the_table(self):
        rows = make_rows(pictures=8)
        found = report.comparisons(rows, "random", report.Options(resamples=999))
        for p in ("p", "p_flip"):
            assert [line[f"{p}_holm"] for line in found] == list(curves.holm([line[p] for line in found]))
        assert found[0]["p_holm"] == pytest.approx(3 * found[0]["p"])

    def test_the_primary_comparison_is_not_corrected_nor_counted(self, folder):
        write(make_rows(), folder, primary=("selected", "ssim"))
        lines = read_csv(folder / "comparisons.csv")
        assert [(line["p"], line["p_holm"], line["p_flip_holm"]) for line in lines] == [
            ("0.25", "", ""),
            ("0.25", "0.5", "0.5"),
            ("0.25", "0.5", "0.5"),
        ]
        text = (folder / "summary.md").read_text(encoding="utf-8")
        assert "| 0.25 | primary | 0.25 | primary |" in text and "2 tests of this table beside the primary" in text

    def test_an_unknown_primary_comparison(self, folder):
        with pytest.raises(InputError, match="primary comparison .'plain', 'ssim'. is none of this run's"):
            write(make_rows(), folder, primary=("plain", "ssim"))

    def test_methods_are_compared_on_the_seeds_that_both_have(self):
        """What the seed of one method alone holds changes nothing."""
        rows = make_rows()
        for row in rows:
            if row["seed"] == 5:
                row["ssim"] += 0.3 * (row["method"] == "random")
        some = [row for row in rows if row["method"] != "selected" or row["seed"] == 4]
        found = report.comparisons(some, "random", report.Options(resamples=50))[0]
        assert found["seeds"] == 1 and found["gain"] == pytest.approx(0.1)
        assert report.comparisons(rows, "random", report.Options(resamples=50))[0]["gain"] == pytest.approx(-0.05)

    def test_the_table_at_equal_style_takes_the_seeds_that_all_have(self):
        """Random's seed 5 alone is better by 0.5; the table is the same without it, and says so."""
        rows = [row | {"ssim": row["ssim"] + 0.5 * (row["seed"] == 5)} for row in make_rows()]
        some = [row for row in rows if row["method"] == "random" or row["seed"] == 4]
        only = [row for row in rows if row["seed"] == 4]
        options = report.Options(resamples=100)
        (text, table), (plain, expected) = (report._at_equal_style(r, options) for r in (some, only))
        assert table == expected and "On the 1 seed that all methods have" in text and "seed" not in plain
        apart = [row for row in rows if (row["method"] == "random") == (row["seed"] == 4)]
        assert "no seed in common" in report._at_equal_style(apart, options)[0]

    def test_no_seed_in_common(self):
        rows = [row for row in make_rows() if (row["method"] == "random") == (row["seed"] == 4)]
        with pytest.raises(InputError, match="'selected' and 'random' have no seed in common"):
            report.comparisons(rows, "random", report.Options(resamples=50))


class TestMarkdown:
    def text(self, rows, folder) -> str:
        write(rows, folder)
        return (folder / "summary.md").read_text(encoding="utf-8")

    def test_content_at_equal_style(self, folder):
        """The common range is 0.15 to 0.3: at 0.225, content is 0.775 + 0.01 for the baseline and 0.1 more."""
        text = self.text(make_rows(), folder)
        assert "CLIP directional similarity 0.225" in text and "(0.150 to 0.300)" in text
        section = text.split("## At equal style")[1].split("##")[0]
        cells = {
            line.split("|")[1].strip(): line.split("|")[2].split()[0] for line in section.splitlines() if "|" in line
        }
        assert cells["selected"] == "0.785" and cells["random"] == "0.685" and cells["plain \\*"] == "0.510"

    def test_the_table_of_comparisons(self, folder):
        text = self.text(make_rows(), folder)
        assert "## Against random" in text and "for the 3 tests of this table" in text
        figures = "+0.1000 | +0.1000 to +0.1000 | 0.25 | 0.75 | 0.25 | 0.75 | 3 of 3 | 0.150 to 0.300 | 2 | 0"
        assert f"| SSIM | selected | {figures} |" in text

    def test_tables_are_whole(self, folder):
        """Every line of a table has as many cells as its heading."""
        blocks = [block for block in self.text(make_rows(), folder).split("\n\n") if block.startswith("|")]
        assert len(blocks) == 3
        for block in blocks:
            assert len({line.replace("\\|", "").count("|") for line in block.splitlines()}) == 1

    def test_a_bar_in_a_name_does_not_break_the_table(self):
        assert report._table(["a|b"], [["c"]]) == "| a\\|b |\n| --- |\n| c |"

    def test_no_common_style_is_said(self, folder):
        text = self.text(make_rows(shift=1.0), folder)
        assert "The styles reached have no common range: 1.1 to 1.3, 0.15 to 0.35" in text
        assert "Not compared:" in text and "- ssim, selected: " in text
        lines = read_csv(folder / "comparisons.csv")
        assert all(
            line["gain"] == line["p"] == line["p_holm"] == "" and "no common range" in line["note"] for line in lines
        )

    def test_one_picture(self, folder):
        text = self.text(make_rows(pictures=1), folder)
        assert "one picture: no interval" in text and "| selected | 75 | 4 | 0.700 |" in text

    def test_nothing_swept(self, folder):
        rows = [row for row in make_rows() if row["method"] == "plain"]
        report.write(rows, folder, "plain", resamples=10)
        text = (folder / "summary.md").read_text(encoding="utf-8")
        assert "No method was swept" in text and "no other swept method" in text
        assert read_csv(folder / "comparisons.csv") == []


class TestCurvesPicture:
    def test_each_method_is_drawn(self, folder):
        write(make_rows(), folder)
        with Image.open(folder / "curves.png") as image:
            drawn = set(map(tuple, np.asarray(image.convert("RGB")).reshape(-1, 3).tolist()))
        for colour in report.COLOURS[:3]:
            assert tuple(bytes.fromhex(colour[1:])) in drawn
        assert tuple(bytes.fromhex(report.COLOURS[3][1:])) not in drawn

    def test_without_matplotlib(self, folder, monkeypatch):
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        with pytest.raises(InputError, match="pip install matplotlib"):
            write(make_rows(), folder)
        assert not (folder / "summary.csv").exists()  # nothing is written by halves


class TestContactSheet:
    def test_sources_and_methods_at_the_nearest_style(self, folder):
        """Target 0.225: "selected" is nearest at 0.3 or 0.1 (0.075, 0.125), "random" at 0.15 (0.075)."""
        write(make_rows(), folder)
        with Image.open(folder / "sheet-a-mosaic.png") as image:
            pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
        tiles = 3 * (8 * PIXELS) ** 2  # pixels of three pictures
        for colour in ((128, 128, 128), (200, 0, 0), (0, 250, 0), (0, 0, 200)):
            assert (pixels == colour).all(1).sum() == tiles
        assert not (pixels == (250, 0, 0)).all(1).any() and not (pixels == (0, 200, 0)).all(1).any()

    def test_headings_name_weight_and_style(self, folder, monkeypatch):
        seen = []
        draw = report._draw_sheet
        monkeypatch.setattr(report, "_draw_sheet", lambda *given: seen.append(given) or draw(*given))
        write(make_rows(), folder)
        title, names, columns = seen[0]
        assert title == "“a mosaic”, seed 4, CLIP directional similarity near 0.225"
        assert names == ("photo0", "photo1", "photo2")
        assert [column.heading for column in columns] == [
            ("source",),
            ("selected", "weight 75", "style 0.300"),
            ("random", "weight 300", "style 0.150"),
            ("plain", "weight 0", "style 0.400"),
        ]

    def test_chosen_pictures(self, folder):
        sheets = [report.contact_sheet(make_rows(), folder, PROMPTS[0], shown) for shown in (None, ["photo1"])]
        assert sheets[0].height - sheets[1].height == 2 * (8 * PIXELS + 8) and sheets[0].width == sheets[1].width

    def test_an_unknown_picture(self, folder):
        with pytest.raises(InputError, match="'moon' has no rows; choose of photo0, photo1, photo2"):
            write(make_rows(), folder, shown=["moon"])

    def test_a_picture_that_is_gone(self, folder):
        (folder / "sources" / "photo1.png").unlink()
        with pytest.raises(InputError, match="No picture at .*photo1.png"):
            write(make_rows(), folder)
        assert not (folder / "summary.csv").exists()

    @pytest.mark.parametrize("side, shown", [(20, 160), (64, 128), (100, 100), (256, 256)])
    def test_whole_factors(self, tmp_path, side, shown):
        Image.effect_noise((side, side), 50).convert("RGB").save(tmp_path / "p.png")
        tile = report._tile(tmp_path / "p.png")
        assert tile.size == (shown, shown)
        with Image.open(tmp_path / "p.png") as image:
            assert np.array_equal(np.asarray(tile)[:: shown // side, :: shown // side], np.asarray(image))


class TestErrors:
    def test_no_rows(self, tmp_path):
        with pytest.raises(InputError, match="no rows"):
            write([], tmp_path)

    def test_an_unknown_baseline(self, folder):
        with pytest.raises(InputError, match="'best' has no rows; choose one of selected, random, plain"):
            report.write(make_rows(), folder, "best")

    def test_a_baseline_without_a_curve(self, folder):
        with pytest.raises(InputError, match="'plain' has one weight"):
            report.write(make_rows(), folder, "plain", resamples=10)

    def test_an_unmeasured_style(self, folder):
        with pytest.raises(InputError, match="'hue' is not measured; choose one of directional, clip_score"):
            write(make_rows(), folder, style="hue")

    def test_unpaired_methods(self, folder):
        with pytest.raises(InputError, match="lacks 1 of"):
            write(make_rows()[1:], folder)

    def test_a_folder_that_is_none(self, folder):
        with pytest.raises(InputError, match="Cannot write"):
            report._write(folder / "missing" / "summary.csv", b"x")
