"""The help pages and the translations: one for every node, and as the nodes are now."""

import json
import re

import pytest
from PIL import Image

from tools.templates import help, locales
from tools.templates import pack as loaded

PAGES = [(node, language) for node in loaded.classes() for language in help.LANGUAGES]
every_page = pytest.mark.parametrize("node, language", PAGES, ids=[f"{node}-{language}" for node, language in PAGES])


def text(node: str, language: str) -> str:
    return help.page(node, language).read_text(encoding="utf-8")


@every_page
def test_tables_are_as_the_node_is(node, language):
    """Every input with its default, range and effect; `python -m tools.templates` fills them."""
    assert help.filled(text(node, language), node, language) == text(node, language)


@every_page
def test_every_input_stands_in_the_table_with_its_default_and_range(pack, node, language):
    table = text(node, language).split("<!-- inputs -->")[1].split("<!-- /inputs -->")[0]
    for name, (kind, options) in pack.inputs(node).items():
        (row,) = [row for row in table.splitlines() if f"`{name}`**<br>" in row]
        if kind in ("INT", "FLOAT"):
            assert f"`{options['default']:g}`" in row, name
            assert help.short(options["min"]) in row and help.short(options["max"]) in row, name
        elif isinstance(kind, list):
            assert row.count(f"`{options['default']}`") >= 2, name


@every_page
def test_page_says_what_when_and_what_not(node, language):
    page = text(node, language)
    assert page.startswith(f"# {locales.read(language)[node]['display_name']}\n")
    assert page.count("\n## ") == 4
    assert all(len(part.strip()) > 20 for part in page.split("\n## ")[1:])
    assert "{" not in page


@every_page
def test_picture_is_there_where_comfyui_looks_for_it(node, language):
    """Relative addresses are those of the folder docs, in every language."""
    shown = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text(node, language))
    assert shown == ([help.picture_name(node)] if node in help.SHOWN else [])
    for name in shown:
        with Image.open(help.FOLDER / name) as picture:
            assert picture.format == "JPEG" and 200 < picture.width <= help.WIDEST


def test_there_are_pages_of_these_nodes_alone(pack):
    pages = {path for path in help.FOLDER.rglob("*.md")}
    assert pages == {help.page(node, language) for node in pack.classes for language in help.LANGUAGES}
    without = {"QSVGGLoss", "QSIdentityLoss", "UseNativeModel", "UseNativeModelX0"}  # whose weights nobody ships
    assert set(help.SHOWN) == set(pack.classes) - without
    assert {path.name for path in help.FOLDER.glob("*.jpg")} == {help.picture_name(node) for node in help.SHOWN}


def test_the_web_folder_is_small_and_holds_no_script():
    files = [path for path in help.FOLDER.parent.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 3 * 10**6
    assert {path.suffix for path in files} == {".md", ".jpg"}


def test_english_is_what_the_nodes_say():
    """`python -m tools.templates` writes it."""
    assert locales.path("en").read_text(encoding="utf-8") == locales.text(locales.english())


def test_chinese_has_every_text_and_no_other():
    english, chinese = locales.english(), json.loads(locales.path("zh").read_text(encoding="utf-8"))
    assert list(chinese) == list(english)
    for node, said in english.items():
        assert set(chinese[node]) == set(said)
        for part in ("inputs", "outputs"):
            assert list(chinese[node][part]) == list(said[part]), node
            assert all(set(entry) == {"name", "tooltip"} for entry in chinese[node][part].values()), node


def strings(value) -> list[str]:
    return [value] if isinstance(value, str) else [text for inner in value.values() for text in strings(inner)]


@pytest.mark.parametrize("language", help.LANGUAGES)
def test_no_text_holds_what_the_page_would_read_as_syntax(language):
    said = strings(locales.read(language))
    assert len(said) > 200
    assert [text for text in said if locales.SYNTAX & set(text)] == []
    assert all(text.strip() == text != "" for text in said)


def test_chinese_was_made_from_these_english_texts():
    """Where one changed: put its Chinese text right in locales/zh, then `python -m tools.templates --translated`."""
    noted = json.loads(locales.TRANSLATED.read_text(encoding="utf-8"))
    now = locales.digests()
    assert [place for place in {**noted, **now} if noted.get(place) != now.get(place)] == []


def test_chinese_is_chinese():
    for node, said in locales.read("zh").items():
        tooltips = [entry["tooltip"] for part in ("inputs", "outputs") for entry in said[part].values()]
        for sentence in (said["display_name"], said["description"], *tooltips):
            assert re.search("[\u4e00-\u9fff]", sentence), (node, sentence)


def test_numbers_of_the_english_tooltips_are_in_the_chinese_ones():
    """A default or bound that changes in a tooltip must change in both."""
    for node, said in locales.english().items():
        for name, entry in said["inputs"].items():
            if "tooltip" in entry:
                other = locales.read("zh")[node]["inputs"][name]["tooltip"]
                wanted = {
                    number for number in re.findall(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.]*[A-Za-z_])", entry["tooltip"])
                }
                assert wanted <= set(re.findall(r"\d+(?:\.\d+)?", other)), (node, name)


def test_categories_are_translated(pack):
    main = json.loads((locales.FOLDER / "zh" / "main.json").read_text(encoding="utf-8"))
    assert set(main["nodeCategories"]) == {cls.CATEGORY for cls in pack.classes.values()}
