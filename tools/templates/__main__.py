"""`python -m tools.templates`: the workflows, the help pages' lists and the English texts, written anew.

With --thumbnails every workflow and every example of the help pages is run for its picture, which takes minutes.
"""

import argparse
import json
import time
from collections.abc import Mapping

from . import help, locales, pack
from .graph import Graph
from .thumbnails import QUALITY, image, needs, results, thumbnail
from .workflows import TEMPLATES

FOLDER = pack.ROOT / "workflows"


def text(workflow: Mapping) -> str:
    """The text of a workflow's file."""
    return json.dumps(workflow, indent=2, ensure_ascii=False) + "\n"


def draw_template(graph: Graph) -> None:
    """Run a template for its thumbnail, and for the help pages that show it."""
    workflow = graph.as_json()
    shown = [] if needs(workflow) else timed(graph)
    small = thumbnail(workflow, shown)
    small.save(FOLDER / f"{graph.name}.jpg", quality=QUALITY)
    if graph.name in help.SHOWN.values():
        help.save(image(shown[-1]) if len(shown) == 1 else small, graph.name)


def draw_example(graph: Graph) -> None:
    """Run an example of the help pages for its picture."""
    help.save(image(timed(graph)[-1]), graph.name)


def timed(graph: Graph) -> list:
    """What a graph shows; says how long that took."""
    begun = time.perf_counter()
    shown = results(graph.as_json())
    print(f"{graph.name}: {time.perf_counter() - begun:.0f} s", flush=True)
    return shown


def main() -> None:
    """Write what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tools.templates", description=__doc__)
    parser.add_argument("--thumbnails", action="store_true", help="run all of them, and draw their pictures")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="with --thumbnails: these pictures alone")
    parser.add_argument(
        "--translated", action="store_true", help="note that locales/zh fits the English texts as they are"
    )
    options = parser.parse_args()
    templates = [build() for build in TEMPLATES]
    for graph in templates:
        (FOLDER / f"{graph.name}.json").write_text(text(graph.as_json()), encoding="utf-8")
    locales.write_english()
    help.write_pages()
    if options.translated:
        locales.write_translated()
    if not options.thumbnails:
        return
    drawings = [(graph.name, draw_template, graph) for graph in templates]
    drawings += [
        (graph.name, draw_example, graph) for graph in (made() for made in help.SHOWN.values() if callable(made))
    ]
    for name, draw, graph in drawings:
        if not options.only or name in options.only:
            draw(graph)
    if not options.only or "photos" in options.only:
        help.save(help.photos(), "photos")


if __name__ == "__main__":
    main()
