"""Every template in a real browser: it opens readable with no node missing, and Run shows its previews and pictures.

Needs `playwright` and a Chromium: Playwright's own, or one that CHROMIUM names or that is on the PATH. The screenshots
go to COMFYUI_SCREENSHOTS, or to a temporary folder.
"""

import json
import os
import shutil
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

WORKFLOWS = sorted((Path(__file__).parents[2] / "workflows").glob("*.json"))
GRAPHS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in WORKFLOWS}
RUNNABLE = [name for name, graph in GRAPHS.items() if not graph["extra"]["qs"]["needs"]]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
# Nothing but the graph in the picture: no greeting, release notes, map or frame counter.
SETTINGS = {
    "Comfy.VueNodes.Enabled": False,
    "Comfy.TutorialCompleted": True,
    "Comfy.Notification.ShowVersionUpdates": False,
    "Comfy.Minimap.Visible": False,
    "Comfy.Graph.CanvasInfo": False,
}
# Every version raises it once on a server without saved settings, with or without this pack.
OF_THE_PAGE = "Cannot read properties of undefined (reading 'id')"
READY = "() => window.app?.graph && window.app?.extensionManager && !document.querySelector('#splash-loader')"
LISTEN = """() => {
    window.ended = null;
    for (const end of ["execution_success", "execution_error", "execution_interrupted"])
        window.app.api.addEventListener(end, event => { window.ended = [end, event.detail] });
}"""
MISSING = "() => window.app.graph._nodes.filter(n => !(n.type in LiteGraph.registered_node_types)).map(n => n.type)"
# How many pictures a node shows: drawn on the canvas, or as elements in newer pages.
SHOWN = """id => {
    const whole = pictures => [...pictures].filter(picture => picture.complete && picture.naturalWidth).length;
    const node = window.app.graph.getNodeById(id);
    return Math.max(whole(node.imgs ?? []), whole(document.querySelectorAll(`[data-node-id="${id}"] img`)));
}"""


# Pairs of nodes that lie over one another, as the page draws them: titles included, of a folded one its title alone.
OVERLAPS = """() => {
    const boxes = window.app.graph._nodes.map(node => [node.type, node.pos[0], node.pos[1] - 30,
        node.pos[0] + node.size[0], node.pos[1] + (node.flags.collapsed ? 0 : node.size[1])]);
    const meet = ([, a, b, c, d], [, e, f, g, h]) => a < g && e < c && b < h && f < d;
    return boxes.flatMap((one, k) => boxes.slice(k + 1).filter(other => meet(one, other)).map(other =>
        `${one[0]} and ${other[0]}`));
}"""


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory) -> Path:
    named = os.environ.get("COMFYUI_SCREENSHOTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with playwright.sync_playwright() as running:
        if not (found or Path(running.chromium.executable_path).exists()):
            pytest.skip("no Chromium: playwright install chromium, or name one in CHROMIUM")
        browser = running.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, client):
    """ComfyUI's page in a large window, with classic nodes."""
    page = visit(browser, client, (2560, 1440))
    yield page
    page.close()


def visit(browser, client, window: tuple[int, int], **settings):
    """ComfyUI's page, which may speak to the server and nobody else; `page.errors` are its scripts' errors."""

    def only_loopback(route):
        here = urlsplit(route.request.url).hostname in ("127.0.0.1", "localhost", None)
        route.continue_() if here else route.abort()

    page = browser.new_page(viewport=dict(zip(("width", "height"), window, strict=True)))
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.route("**/*", only_loopback)
    page.request.post(f"http://{client.address}/settings", data=json.dumps(SETTINGS | settings))
    page.goto(f"http://{client.address}/", wait_until="domcontentloaded")
    page.wait_for_function(READY, timeout=120_000)
    page.wait_for_timeout(3000)  # only now does the page restore its last graph
    return page


def open_template(page, client, pack: str, name: str) -> None:
    """Opens a template as the page's own list of templates does, all of it in view."""
    graph = json.loads(client.get(f"/api/workflow_templates/{pack}/{name}.json"))
    load = "([graph, name]) => window.app.loadGraphData(graph, true, true, name, {openSource: 'template'})"
    page.evaluate(load, [graph, name])
    page.wait_for_timeout(2500)


# The scale; whether text is left out for it, in classic nodes; where the note's text is, and whether it is all there.
VIEW = """() => {
    const canvas = window.app.canvas;
    const note = document.querySelector(".widget-markdown .comfy-markdown-content, .comfy-markdown .tiptap");
    const {left, top, right, bottom, height} = note.getBoundingClientRect();
    return {scale: canvas.ds.scale, hidden: canvas.low_quality, words: note.innerText, height,
        inside: left > 0 && top > 0 && right < innerWidth && bottom < innerHeight,
        whole: note.scrollHeight <= note.clientHeight + 2};
}"""


@pytest.mark.parametrize("window", [(1366, 768), (1920, 1080)], ids=lambda window: "x".join(map(str, window)))
@pytest.mark.parametrize("style", ["classic", "nodes-2.0"])
def test_templates_open_readable(browser, client, harness, screenshots, style, window):
    if style != "classic" and client.version().startswith("0.3."):
        pytest.skip("Nodes 2.0 draws no notes and keeps no sizes in this version")
    page = visit(browser, client, window, **{"Comfy.VueNodes.Enabled": style != "classic"})
    seen = {}
    for name in GRAPHS:
        open_template(page, client, harness.PACK, name)
        seen[name] = page.evaluate(VIEW)
        page.screenshot(path=screenshots / f"{client.version()}-{style}-{window[0]}-{name}.png")
    page.close()
    for name, view in seen.items():
        assert view["scale"] >= 0.575 and not view["hidden"], (name, view)
        assert view["inside"] and view["whole"] and view["height"] > 50, (name, view)
        assert len(view["words"].split()) > 60, name


def press_run(page) -> None:
    newer, older = page.get_by_test_id("queue-button"), page.locator("button.p-splitbutton-button", has_text="Run")
    newer.or_(older).first.click()


@pytest.mark.parametrize("name", RUNNABLE)
def test_template_opens_and_runs(page, client, harness, counts, info, screenshots, name):
    version = client.version()
    open_template(page, client, harness.PACK, name)
    assert page.evaluate(MISSING) == []
    assert page.evaluate(OVERLAPS) == []
    page.screenshot(path=screenshots / f"{version}-{name}-1-open.png")
    graph = page.evaluate("async () => (await window.app.graphToPrompt()).output")
    assert inputs(graph) == inputs(harness.to_api(GRAPHS[name], info))

    client.free()  # what an earlier test computed
    page.evaluate(LISTEN)
    press_run(page)
    folded = {str(node["id"]) for node in GRAPHS[name]["nodes"] if node["flags"].get("collapsed")}  # these show none
    walks = [key for key, node in graph.items() if node["inputs"].get("preview_every") and key not in folded]
    for number, key in enumerate(walks):
        page.wait_for_function(f"() => window.ended || ({SHOWN})({key}) > 0", timeout=600_000)
        page.screenshot(path=screenshots / f"{version}-{name}-2-preview-{number}.png")
        assert page.evaluate(SHOWN, int(key)) > 0, page.evaluate("() => window.ended")
    page.wait_for_function("() => window.ended", timeout=1_200_000)
    end, detail = page.evaluate("() => window.ended")
    assert end == "execution_success", detail
    for key, number in counts.shown(graph).items():
        page.wait_for_function(f"() => ({SHOWN})({key}) == {number}", timeout=30_000)
    page.wait_for_timeout(1000)
    page.screenshot(path=screenshots / f"{version}-{name}-3-done.png")
    assert page.evaluate(OVERLAPS) == []  # now that nodes have grown by their previews
    assert [error for error in page.errors if error != OF_THE_PAGE] == []


# A Load Image node in the sample's place, as a user puts it, and words of one's own.
OWN = """([photo, words]) => {
    const graph = window.app.graph, [sample] = graph.findNodesByType("QSSampleImage");
    const [restyle] = graph.findNodesByType("QSRestyle"), loader = LiteGraph.createNode("LoadImage");
    loader.pos = [sample.pos[0], sample.pos[1]];
    const fed = [...sample.outputs[0].links].map(id => graph.links[id]).map(link => [link.target_id, link.target_slot]);
    graph.add(loader);
    graph.remove(sample);
    for (const [id, slot] of fed) loader.connect(0, graph.getNodeById(id), slot);
    loader.widgets.find(widget => widget.name === "image").value = photo;
    restyle.widgets.find(widget => widget.name === "phrase").value = words;
}"""


def test_the_first_path_a_user_takes(browser, client, harness, base, screenshots):
    """Open quick start, run it, then a photo and words of one's own. `-s` tells how long each took."""
    begun = time.perf_counter()
    page = visit(browser, client, (1366, 768))
    open_template(page, client, harness.PACK, "1_quick_start")
    told = [("the page and the template are open", time.perf_counter() - begun)]
    saved = []
    for what, change in (("the first picture", None), ("a photo and words of one's own", ["example.png", "a mosaic"])):
        if change:
            page.evaluate(OWN, change)
        begun = time.perf_counter()
        page.evaluate(LISTEN)
        press_run(page)
        if not change:  # later the preview of the run before is still there
            (walk,) = page.evaluate("() => window.app.graph.findNodesByType('QSRestyle').map(node => node.id)")
            page.wait_for_function(f"() => window.ended || ({SHOWN})({walk}) > 0", timeout=600_000)
            told.append((f"{what}: its preview", time.perf_counter() - begun))
        page.wait_for_function("() => window.ended", timeout=1_200_000)
        told.append((f"{what}: done", time.perf_counter() - begun))
        end, detail = page.evaluate("() => window.ended")
        assert end == "execution_success", detail
        page.wait_for_timeout(1000)
        page.screenshot(path=screenshots / f"{client.version()}-first-path-{len(saved)}.png")
        saved.append({path.name for path in (base / "output").glob("qs_style*.png")})
    assert len(saved[1] - saved[0]) == 1 <= len(saved[0])
    assert [error for error in page.errors if error != OF_THE_PAGE] == []
    page.close()
    print(*(f"{seconds:6.1f} s  {what}" for what, seconds in told), sep="\n")


def inputs(graph: dict) -> dict:
    """Kind and inputs of each node of an API graph, but for what the page adds for itself."""
    added = {("PreviewAny", "preview")}  # by the page of 0.3.64
    return {
        key: (
            kind := node["class_type"],
            {name: value for name, value in node["inputs"].items() if (kind, name) not in added},
        )
        for key, node in graph.items()
    }
