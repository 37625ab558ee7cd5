"""The comparison grid and before and after: layouts where the answer is visible."""

import pytest
import torch


def flat(*values: float, height: int = 300, width: int = 260) -> torch.Tensor:
    """A batch of plain pictures."""
    return torch.stack([torch.full((height, width, 3), value) for value in values])


def grid(pack, images: list, labels: str = "", **options) -> torch.Tensor:
    listed = {name: value if isinstance(value, list) else [value] for name, value in options.items()}
    (image,) = pack("QSCompareGrid", images=images, labels=[labels], gap=[10], **listed)
    return image


def seen(image: torch.Tensor, values: list[float]) -> list[list[float]]:
    """Which of the values are met along the rows of cells' middles, from left to right."""
    found = []
    for row in image[..., 0]:
        line = [min(values, key=lambda v: abs(v - x)) for x in row.tolist() if min(abs(v - x) for v in values) < 1e-4]
        line = [value for k, value in enumerate(line) if k == 0 or value != line[k - 1]]
        if len(line) > 0 and (not found or found[-1] != line):
            found.append(line)
    return found


def test_single_pictures_stand_in_a_row(pack):
    image = grid(pack, [flat(0.2), flat(0.4), flat(0.6)])
    assert image.shape == (320, 3 * 260 + 4 * 10, 3)
    assert seen(image, [0.2, 0.4, 0.6]) == [[0.2, 0.4, 0.6]]


def test_batches_and_the_source_make_a_table(pack):
    image = grid(pack, [flat(0.2, 0.3), flat(0.4, 0.5)], source=[flat(0.6, 0.7)], source_label="")
    assert seen(image, [k / 10 for k in range(2, 8)]) == [[0.6, 0.2, 0.4], [0.7, 0.3, 0.5]]


def test_one_batch_beside_its_sources_makes_pairs(pack):
    assert seen(grid(pack, [flat(0.2, 0.3)], source=[flat(0.6, 0.7)], source_label=""), [0.2, 0.3, 0.6, 0.7]) == [
        [0.6, 0.2],
        [0.7, 0.3],
    ]


def test_columns_break_rows(pack):
    image = grid(pack, [flat(0.2, 0.3, 0.4)], columns=2)
    assert seen(image, [0.2, 0.3, 0.4]) == [[0.2, 0.3], [0.4]]
    assert image.shape == (2 * 300 + 30, 2 * 260 + 30, 3)


def test_nine_make_a_square(pack):
    image = grid(pack, [torch.cat([flat(0.2)] * 9)])
    assert image.shape == (3 * 300 + 40, 3 * 260 + 40, 3)


def test_pictures_keep_their_values_and_their_aspect(pack, photo):
    image = grid(pack, [photo], size=32)
    assert torch.equal(image[10:42, 10:42], photo[0])
    mixed = grid(pack, [flat(0.2, height=100, width=200), flat(0.4, height=512, width=256)], size=100)
    assert mixed.shape == (200 + 20, 200 + 100 + 30, 3)  # both with a short side of 100


def test_small_pictures_are_enlarged_for_the_labels(pack, photo):
    assert grid(pack, [photo]).shape == (256 + 20, 256 + 20, 3)


def test_labels_stand_above_their_columns(pack):
    bare, named = grid(pack, [flat(0.2), flat(0.4)]), grid(pack, [flat(0.2), flat(0.4)], "left\nright")
    strip = named.shape[0] - bare.shape[0]
    assert strip > 14
    assert torch.equal(named[strip + 10 :], bare[10:])  # below the gap of 10
    lit = (named[: strip + 10, :, 0] > 0.7).any(0)
    assert lit[10:270].any() and lit[280:540].any() and not lit[270:280].any()


def test_labels_of_a_list_come_one_by_one(pack):
    (listed,) = pack("QSCompareGrid", images=[flat(0.2), flat(0.4)], labels=["left", "right"], gap=[10])
    assert torch.equal(listed, grid(pack, [flat(0.2), flat(0.4)], "left\nright"))


def test_long_labels_are_broken_and_end_in_an_ellipsis(pack):
    lettering = pack.part("nodes.lettering")
    face = lettering.font(20)
    lines = lettering.wrap("one two three four five six seven eight nine ten", face, 100)
    assert len(lines) == 3 and lines[-1].endswith("…")
    assert all(face.getlength(line) <= 100 for line in lines)
    (first, second) = lettering.wrap("unbreakable" * 2, face, 150)
    assert first + second == "unbreakable" * 2
    assert lettering.wrap("  ", face, 100) == []


def test_a_wrong_number_of_labels_is_told_and_loses_no_picture(pack, caplog):
    """What was sampled for minutes is not refused for a label."""
    more, fitting = grid(pack, [flat(0.2), flat(0.4)], "a\nb\nc"), grid(pack, [flat(0.2), flat(0.4)], "a\nb")
    assert torch.equal(more, fitting)
    assert "3 labels for 2 pictures. The last ones are left out. Give one a line for each." in caplog.text
    one = grid(pack, [flat(0.2), flat(0.4)], "a")
    assert one.shape == fitting.shape and (one != fitting).any()
    half = fitting.shape[1] // 2
    assert torch.equal(one[:, :half], fitting[:, :half])
    assert "1 labels for 2 pictures. Those without stay blank." in caplog.text
    grid(pack, [flat(0.2, 0.3), flat(0.4, 0.5)], "a\nb\nc")
    assert "3 labels for 2 columns" in caplog.text


def test_large_pictures_shrink_to_a_grid_that_can_be_drawn(pack, monkeypatch):
    """Twelve photos of 3840x2160 at size 0, here planned alone."""
    figures = pack.part("nodes.figures")
    rows = [[figures.Cell(torch.empty(2160, 3840, 3))] * 4] * 3
    drawn = []
    monkeypatch.setattr(figures, "_band", lambda row, sizes, widths, look: drawn.append(sizes) or torch.zeros(1, 1, 3))
    monkeypatch.setattr(figures, "_fill", lambda *_: torch.zeros(1, 1, 3))
    figures.grid(rows, figures.Look())
    (height, width) = drawn[0][0]
    assert abs(width / height - 16 / 9) < 0.01
    area = (4 * width + 40) * (3 * height + 32)
    assert 0.9 * figures.LARGEST_AREA < area <= figures.LARGEST_AREA
    with pytest.raises(pack.part("qs_core.errors").InputError, match="would be 15400x6512"):
        figures.grid(rows, figures.Look(2160))


def test_a_grid_too_large_is_named(pack, input_error):
    with pytest.raises(input_error, match=r"would be 20\d\d\dx2020; at most 16384 pixels a side"):
        grid(pack, [torch.cat([flat(0.2, height=8, width=8)] * 10)], size=2000, columns=10)


def test_a_grid_too_large_is_named_before_anything_is_resized(pack, input_error, monkeypatch):
    monkeypatch.setattr(pack.part("nodes.figures"), "resize", lambda *_: pytest.fail("resized"))
    with pytest.raises(input_error, match="would be 20110x2020"):
        grid(pack, [torch.cat([flat(0.2, height=8, width=8)] * 10)], size=2000, columns=10)
    with pytest.raises(input_error, match="would be 10050x10050; .* and 64 million in all are drawn"):
        grid(pack, [torch.cat([flat(0.2, height=8, width=8)] * 16)], size=2500, columns=4)


def test_a_table_takes_no_other_number_of_sources(pack, input_error):
    pictures = [flat(0.2, 0.3, 0.4), flat(0.5, 0.6, 0.7)]
    with pytest.raises(input_error, match="2 sources for 3 rows. Give one for each row, one for all, or none"):
        grid(pack, pictures, source=[flat(0.8, 0.9)])
    shown = seen(grid(pack, pictures, source=[flat(0.8)], source_label=""), [k / 10 for k in range(2, 9)])
    assert shown == [[0.8, 0.2, 0.5], [0.8, 0.3, 0.6], [0.8, 0.4, 0.7]]


def test_a_table_takes_a_label_for_each_picture(pack):
    comparison = pack.part("nodes.comparison")
    batches = [list(flat(0.2, 0.3)), list(flat(0.4, 0.5))]
    rows = comparison.table(batches, list(flat(0.6)), ["a", "b", "c", "d"], "source")
    assert [[cell.label for cell in row] for row in rows] == [["source", "a", "c"], ["", "b", "d"]]


def test_accents_are_folded_for_the_font_has_none(pack):
    lettering = pack.part("nodes.lettering")
    assert lettering.folded("Café – Łódź — Größe “naïve” → ×2") == "Cafe - Lodz - Grosse “naive” -> x2"
    face = lettering.font(20)
    box = bytes(face.getmask("\u4e00"))
    assert all(bytes(face.getmask(letter)) != box for letter in lettering.folded("éàüñçøåšžőłßœ–—“”‘’…«»ÀÉ"))
    assert torch.equal(grid(pack, [flat(0.2)], "Café"), grid(pack, [flat(0.2)], "Cafe"))


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_backgrounds(pack, theme):
    corner = grid(pack, [flat(0.2)], background=theme)[0, 0]
    assert (corner.mean() > 0.5) == (theme == "light")


def compare(pack, before, after, **options) -> torch.Tensor:
    return pack("QSBeforeAfter", before=before, after=after, **options)


def test_split_shows_each_on_its_side(pack):
    image = compare(pack, flat(0.2), flat(0.4), layout="split", position=0.25, before_label="", after_label="")[0]
    assert image.shape == (300, 260, 3)
    line = image[10, :, 0]
    assert torch.equal(line[:60], torch.full((60,), 0.2)) and torch.equal(line[70:], torch.full((190,), 0.4))
    assert line[65] == 1  # the divider
    whole = compare(pack, flat(0.2), flat(0.4), layout="split", position=1.0, after_label="", before_label="")
    assert torch.equal(whole, flat(0.2))


@pytest.mark.parametrize(("layout", "shape"), [("side_by_side", (300, 522)), ("stacked", (602, 260))])
def test_both_are_shown_whole(pack, layout, shape):
    image = compare(pack, flat(0.2), flat(0.4), layout=layout, before_label="", after_label="")[0]
    assert image.shape == (*shape, 3)
    assert torch.equal(image[:300, :260], flat(0.2)[0])
    assert torch.equal(image[-300:, -260:], flat(0.4)[0])


def test_labels_are_written_in_the_corners(pack):
    image = compare(pack, flat(0.2), flat(0.4), layout="split", position=0.5)[0, ..., 0]
    changed = image != compare(pack, flat(0.2), flat(0.4), layout="split", before_label="", after_label="")[0, ..., 0]
    assert changed[:40, :90].any() and changed[:40, -90:].any() and not changed[60:].any()


def test_a_label_keeps_to_its_own_side_and_is_left_out_where_it_does_not_fit(pack):
    def changed(position: float, **labels) -> torch.Tensor:
        options = {"layout": "split", "position": position}
        bare = compare(pack, flat(0.2), flat(0.4), **options, before_label="", after_label="")[0, ..., 0]
        return compare(pack, flat(0.2), flat(0.4), **options, **labels)[0, ..., 0] != bare

    long = "a very long label that says all that was done to this picture"
    first, second = changed(0.5, before_label=long, after_label=""), changed(0.5, before_label="", after_label=long)
    assert first[:, :130].any() and not first[:, 130:].any()
    assert second[:, 130:].any() and not second[:, :130].any()
    assert not changed(0.1, before_label="before", after_label="").any()
    assert not changed(0.0, before_label="before", after_label="").any()
    one_line = pack.part("nodes.lettering").one_line
    face = pack.part("nodes.lettering").font(20)
    assert one_line(long, face, 120).endswith("…") and face.getlength(one_line(long, face, 120)) <= 120
    assert one_line("before", face, 3) == ""


@pytest.mark.parametrize("layout", ["side_by_side", "split", "stacked"])
@pytest.mark.parametrize(("height", "width"), [(8, 8), (16, 24), (24, 8), (200, 8), (8, 60)])
def test_small_pictures_are_compared_without_a_label(pack, layout, height, width):
    for position in (0.0, 0.01, 0.5, 1.0):
        both = flat(0.2, height=height, width=width), flat(0.4, height=height, width=width)
        image = compare(pack, *both, layout=layout, position=position)
        bare = compare(pack, *both, layout=layout, position=position, before_label="", after_label="")
        assert torch.equal(image, bare)


def test_the_smaller_is_enlarged_and_another_shape_cut(pack):
    agree = pack.part("nodes.figures").agree
    small, large = flat(0.2, height=100, width=100)[0], flat(0.4)[0]
    assert [p.shape[:2] for p in agree(large, small)] == [(260, 260)] * 2
    assert [p.shape[:2] for p in agree(small, flat(0.4, height=400, width=200)[0])] == [(400, 200)] * 2
    rounded = agree(flat(0.2, height=301, width=200)[0], flat(0.4, height=150, width=100)[0])
    assert [p.shape[:2] for p in rounded] == [(301, 200)] * 2  # a pixel of rounding is no other shape
    before = torch.linspace(0, 1, 300)[None, :, None].repeat(100, 1, 3)
    middle = agree(before, flat(0.4, height=100, width=100)[0])[0]
    assert torch.equal(middle, before[:, 100:200])


def test_batches_pair_up(pack, input_error):
    assert len(compare(pack, flat(0.2), flat(0.4, 0.6))) == 2
    assert len(compare(pack, flat(0.2, 0.3), flat(0.4, 0.6))) == 2
    with pytest.raises(input_error, match="2 pictures before and 3 after"):
        compare(pack, flat(0.2, 0.3), flat(0.4, 0.5, 0.6))


def test_other_scripts_are_drawn_with_a_font_of_the_system(pack):
    """Each letter by itself: boxes would all look alike."""
    lettering = pack.part("nodes.lettering")
    text, face = lettering.lettered("水彩画", 20)
    if not face.__dict__.get("path") or not str(face.path).endswith((".ttc", ".otf", ".ttf")):
        pytest.skip("no font with Chinese letters here: apt install fonts-noto-cjk")
    assert text == "水彩画" and len({bytes(face.getmask(letter)) for letter in text}) == 3
    assert torch.equal(grid(pack, [flat(0.2)], "café"), grid(pack, [flat(0.2)], "cafe"))


def test_where_no_font_has_the_letters_boxes_stand_for_them(pack, monkeypatch):
    lettering = pack.part("nodes.lettering")
    monkeypatch.setattr(lettering, "FILES", ("no such file.ttf",))
    lettering._installed.cache_clear()
    text, face = lettering.lettered("水", 20)
    lettering._installed.cache_clear()
    assert text == "水" and bytes(face.getmask(text)) == bytes(lettering.font(20).getmask(chr(0x10FFFF)))
