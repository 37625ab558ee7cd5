"""The workflows, each a function that builds its graph: values that differ from the defaults are meant to."""

from collections.abc import Callable
from functools import partial

from qs_core.checkpoints.known import by_file

from .graph import GREEN, PURPLE, YELLOW, Graph, Node
from .native import NATIVE

FIVE = "crayon = a sketch with crayon\ngolden\nwatercolor = water painting\nwooden\nred bricks"
README = "a sketch with crayon (ZeCon README)"  # the preset of ZeCon's own command line
DIFFUSEIT = "Black Leopard (DiffuseIT)"  # that of DiffuseIT's
# Widths and heights that show every widget.
SIZE = {
    "QSSampleImage": (300, 85),
    "LoadDiffusionModel": (320, 255),
    "LoadOpenCLIP": (320, 130),
    "CLIPTextDirection": (320, 180),
    "EncodeInvertDDIM": (320, 250),
    "QSAttnGuidedSampler": (320, 720),
    "QSRestyle": (320, 310),
    "QSStylePreset": (320, 230),
    "QSContrastiveLoss": (320, 280),
    "QSCLIPLoss": (320, 230),
    "QSMSELoss": (320, 130),
    "QSRangeLoss": (320, 110),
    "QSVGGLoss": (320, 180),
    "QSPromptList": (320, 200),
    "QSAttnHeatmap": (320, 190),
    "QSLoadStyle": (320, 140),
    "QSApplyStyle": (320, 260),
    "QSCompareGrid": (320, 230),
    "QSBeforeAfter": (320, 180),
    "QSStylePicture": (320, 150),
    "ImageBatch": (220, 60),
    "ImageToMask": (260, 60),
    "ThresholdMask": (260, 60),
    "MaskToImage": (260, 40),
    "PreviewAny": (320, 160),
}
PICTURE = (400, 400)
BYPASSED = 4  # ComfyUI's mode of a node whose input goes straight through


def place(graph: Graph, kind: str, x: int, y: int, **given) -> Node:
    """A node at its usual size. A sampler has the photo linked as well, which goes on where it is bypassed."""
    if kind == "QSAttnGuidedSampler":
        given["image"] = graph.linked(given["inversion"].node, "image")
    return graph.add(kind, (x, y), given.pop("area", None) or SIZE[kind], **given)


def quick_start() -> Graph:
    """One node."""
    graph = Graph("1_quick_start", "Quick start", subject=("QSRestyle",))
    put = partial(place, graph)
    graph.note((40, 80), (340, 560), "How it works")
    photo = put("QSSampleImage", 500, 80, picture="pagoda", area=(260, 85))
    before = graph.add("PreviewImage", (500, 220), (260, 280), title="Before", images=photo[0])
    restyled = put("QSRestyle", 860, 80, image=photo[0])
    after = graph.add(
        "SaveImage", (1220, 80), (360, 400), title="After", images=restyled[0], filename_prefix="qs_style"
    )
    graph.group("1 Photo", photo, before, color=GREEN)
    graph.group("2 Style", restyled, color=PURPLE)
    graph.group("3 Result", after, color=YELLOW)
    return graph


def step_by_step() -> Graph:
    """The same, a node for each step."""
    subject = ("CLIPTextDirection", "QSAttnGuidedSampler")
    graph = Graph("2_step_by_step", "Step by step", subject=subject)
    put = partial(place, graph)
    graph.note(
        (40, 80),
        (360, 560),
        "How it works",
    )
    photo = put("QSSampleImage", 500, 80, picture="pagoda", area=(260, 85))
    before = graph.add("PreviewImage", (500, 220), (320, 250), title="Before", images=photo[0])
    model = put("LoadDiffusionModel", 860, 220)
    clip = put("LoadOpenCLIP", 860, 660)
    inversion = put("EncodeInvertDDIM", 1220, 80, model=model[0], image=photo[0])
    text = put("CLIPTextDirection", 1220, 660, clip=clip[0], prompt="a sketch with crayon")
    sampler = put("QSAttnGuidedSampler", 1600, 80, inversion=inversion[0], text=text[0])
    after = graph.add("SaveImage", (2000, 80), PICTURE, title="After", images=sampler[0], filename_prefix="qs_style")
    graph.group("1 Photo", photo, before, color=GREEN)
    graph.group("2 To noise", model, inversion)
    graph.group("3 What it shall become", clip, text, color=PURPLE)
    graph.group("4 Back, in the new style", sampler, after, color=YELLOW)
    return graph


def five_styles() -> Graph:
    """One photo, five prompts, one grid."""
    graph = Graph("five_styles_side_by_side", "Five styles side by side", subject=("QSPromptList",))
    put = partial(place, graph)
    graph.note(
        (40, 80),
        (360, 460),
        "How it works",
    )
    prompts = put("QSPromptList", 500, 80, lines=FIVE)
    photo = put("QSSampleImage", 500, 420, picture="coffee")
    model = put("LoadDiffusionModel", 860, 220)
    clip = put("LoadOpenCLIP", 860, 660)
    inversion = put("EncodeInvertDDIM", 1220, 80, model=model[0], image=photo[0], steps=30, skip=15)
    text = put("CLIPTextDirection", 1220, 660, clip=clip[0], prompt=prompts["prompts"])
    sampler = put("QSAttnGuidedSampler", 1600, 80, inversion=inversion[0], text=text[0])
    grid = put(
        "QSCompareGrid",
        2000,
        80,
        images=sampler[0],
        labels=prompts["labels"],
        columns=3,
        source=photo[0],
        source_label="photo",
    )
    shown = graph.add(
        "SaveImage", (2000, 420), (440, 400), title="All of them", images=grid[0], filename_prefix="qs_five_styles"
    )
    graph.group("1 Styles, one a line", prompts, color=PURPLE)
    graph.group("2 Photo", photo, color=GREEN)
    graph.group("3 To noise, once", model, inversion)
    graph.group("4 Phrase by phrase", clip, text, color=PURPLE)
    graph.group("5 Back, once a phrase", sampler, color=YELLOW)
    graph.group("6 Compared", grid, shown, color=GREEN)
    return graph


def anchors_heatmap() -> Graph:
    """Where the contrastive loss looks."""
    graph = Graph("anchors_heatmap", "Anchors heat map", subject=("QSAttnHeatmap",))
    put = partial(place, graph)
    graph.note(
        (40, 80),
        (360, 520),
        "How it works",
    )
    photo = put("QSSampleImage", 500, 80, picture="cat")
    model = put("LoadDiffusionModel", 500, 240)
    inversion = put(
        "EncodeInvertDDIM", 880, 80, model=model[0], image=photo[0], steps=10, skip=9, start="noised", preview_every=0
    )
    whole = put("QSAttnHeatmap", 1260, 80, title="Global anchors", inversion=inversion[0])
    window = put("QSAttnHeatmap", 1260, 400, title="Local anchors", inversion=inversion[0], anchors="local")
    both = put("ImageBatch", 1660, 80, title="Both", image1=whole[0], image2=window[0])
    labels = "global, first layer\nglobal, second layer\nlocal, first layer\nlocal, second layer"
    grid = put("QSCompareGrid", 1660, 220, images=both[0], labels=labels, columns=2, size=384)
    shown = graph.add(
        "SaveImage", (2040, 80), (440, 560), title="Heat maps", images=grid[0], filename_prefix="qs_anchors"
    )
    graph.group("1 Photo and network", photo, model, inversion)
    graph.group("2 The same photo, two ways to choose", whole, window, color=PURPLE)
    graph.group("3 Compared", both, grid, shown, color=GREEN)
    return graph


def zecon() -> Graph:
    """ZeCon's random anchors against query selection, all else equal."""
    graph = Graph("zecon_against_query_selection", "ZeCon against query selection", subject=("QSContrastiveLoss",))
    put = partial(place, graph)
    graph.note(
        (40, 80),
        (360, 620),
        "What is compared",
    )
    photo = put("QSSampleImage", 40, 800, picture="pagoda")
    model = put("LoadDiffusionModel", 40, 940)
    clip = put("LoadOpenCLIP", 40, 1290)
    preset = put("QSStylePreset", 540, 80, title="ZeCon's settings", style_name=README, style=0.5, content=0.0)
    told = put("PreviewAny", 540, 420, title="What the preset says", area=(320, 200), source=preset["summary"])
    held = {"weight": 2000.0, "losses": preset["losses"]}
    random = put("QSContrastiveLoss", 940, 80, title="Random anchors", anchors="random", **held)
    chosen = put("QSContrastiveLoss", 940, 460, title="Query-selected anchors", **held)
    inversion = put("EncodeInvertDDIM", 1340, 80, model=model[0], image=photo[0], start="zecon")
    phrases = {"prompt": preset["prompt"], "source_prompt": preset["source_prompt"]}
    text = put("CLIPTextDirection", 1340, 660, clip=clip[0], **phrases)
    shared = {"inversion": inversion[0], "text": text[0], "sampler": "ddpm"}
    a = put("QSAttnGuidedSampler", 1740, 80, title="ZeCon", losses=random[0], **shared)
    b = put("QSAttnGuidedSampler", 2120, 80, title="Query selection", losses=chosen[0], **shared)
    both = put("ImageBatch", 2540, 80, title="Both", image1=a[0], image2=b[0])
    labels = "random anchors (ZeCon)\nquery-selected (QS-Attn)"
    grid = put("QSCompareGrid", 2540, 220, images=both[0], labels=labels, source=photo[0], source_label="photo")
    shown = graph.add(
        "SaveImage", (2540, 560), (440, 300), title="Compared", images=grid[0], filename_prefix="qs_zecon"
    )
    graph.group("1 Photo and networks", photo, model, clip, color=GREEN)
    graph.group("2 ZeCon's settings", preset, told)
    graph.group("3 The one difference", random, chosen, color=PURPLE)
    graph.group("4 To noise, and the phrase", inversion, text)
    graph.group("5 Back, twice", a, b, color=YELLOW)
    graph.group("6 Compared", both, grid, shown, color=GREEN)
    return graph


def systems() -> Graph:
    """The systems of the paper's table on one photo and one phrase, each in its own way."""
    graph = Graph("compare_systems", "Five systems side by side", subject=("QSAttnGuidedSampler",))
    put = partial(place, graph)
    graph.note((40, 80), (400, 700), "What is compared")
    photo = put("QSSampleImage", 500, 80, picture="cat")
    model = put("LoadDiffusionModel", 500, 240)
    clip = put("LoadOpenCLIP", 500, 560)
    text = put("CLIPTextDirection", 500, 760, title="The phrase", clip=clip[0], prompt="golden")
    averaged = put(
        "CLIPTextDirection", 500, 1000, title="The phrase, for DiffuseIT", clip=clip[0], prompt="golden", templates=True
    )
    style = put("QSLoadStyle", 880, 80, title="DiffusionCLIP's style", model=model[0])
    editing = put("QSStylePreset", 880, 260, title="DiffuseIT's settings", style_name=DIFFUSEIT)
    random = put("QSStylePreset", 880, 540, title="ZeCon's settings", style_name=README)
    chosen = put("QSContrastiveLoss", 880, 820, title="Query-selected anchors", losses=random["losses"], weight=500.0)
    shared = {"model": model[0], "image": photo[0], "size": 128}
    of_style = put("EncodeInvertDDIM", 1260, 80, title="To noise, for a style", spacing="500:10", skip=1, **shared)
    noised = put(
        "EncodeInvertDDIM", 1260, 400, title="Plain noise, DiffuseIT", steps=100, skip=41, start="noised", **shared
    )
    twice = put("EncodeInvertDDIM", 1260, 720, title="To noise, ZeCon's way", start="zecon", **shared)
    inverted = put("EncodeInvertDDIM", 1260, 1040, title="To noise", **shared)
    free = {"sampler": "ddpm", "trust_radius": 0.0, "soft_clip": 0.0}
    as_zecon = {"inversion": twice[0], "text": text[0], **free}
    results = [
        put("QSApplyStyle", 1640, 80, title="DiffusionCLIP", inversion=of_style[0], styles=style[0]),
        put(
            "QSAttnGuidedSampler",
            1640,
            400,
            title="DiffuseIT",
            inversion=noised[0],
            text=averaged[0],
            losses=editing["losses"],
            first_step_repeats=10,
            **free,
        ),
        put("QSAttnGuidedSampler", 1640, 1200, title="ZeCon", losses=random["losses"], **as_zecon),
        put("QSAttnGuidedSampler", 1640, 2000, title="Query-selected, the paper's", losses=chosen[0], **as_zecon),
        put("QSAttnGuidedSampler", 1640, 2800, title="This pack's defaults", inversion=inverted[0], text=text[0]),
    ]
    batches = [results[0]]
    for k, result in enumerate(results[1:]):
        joined = {"image1": batches[-1][0], "image2": result[0]}
        batches.append(put("ImageBatch", 2040, 80 + 120 * k, title=f"The first {k + 2}", **joined))
    labels = "DiffusionCLIP\nDiffuseIT\nZeCon\nquery-selected (paper)\nthis pack"
    look = {"labels": labels, "columns": 3, "source": photo[0], "source_label": "photo"}
    grid = put("QSCompareGrid", 2040, 600, images=batches[-1][0], **look)
    shown = graph.add(
        "SaveImage", (2040, 900), (480, 340), title="Compared", images=grid[0], filename_prefix="qs_systems"
    )
    graph.group("1 Photo, networks, phrase", photo, model, clip, text, averaged, color=GREEN)
    graph.group("2 What each system brings", style, editing, random, chosen, color=PURPLE)
    graph.group("3 To noise, each in its way", of_style, noised, twice, inverted)
    graph.group("4 Back, each in its way", *results, color=YELLOW)
    graph.group("5 Compared", *batches[1:], grid, shown, color=GREEN)
    return graph


def mask() -> Graph:
    """Only the flower is restyled; the mask comes from the photo's own colours."""
    graph = Graph("mask", "Mask: restyle only a part")
    put = partial(place, graph)
    graph.note(
        (40, 80),
        (360, 440),
        "How it works",
    )
    photo = put("QSSampleImage", 500, 80, picture="flower")
    red = put("ImageToMask", 500, 240, image=photo[0], channel="red")
    white = put("ThresholdMask", 500, 400, mask=red[0], value=0.4)
    seen = put("MaskToImage", 500, 560, mask=white[0])
    model = put("LoadDiffusionModel", 880, 220)
    clip = put("LoadOpenCLIP", 880, 660)
    inversion = put("EncodeInvertDDIM", 1240, 80, model=model[0], image=photo[0], steps=30, skip=15)
    text = put("CLIPTextDirection", 1240, 660, clip=clip[0], prompt="golden")
    shared = {"inversion": inversion[0], "text": text[0]}
    without = put("QSAttnGuidedSampler", 1620, 80, title="Without a mask", **shared)
    inside = put("QSAttnGuidedSampler", 2000, 80, title="Inside the mask", mask=white[0], feather=6, **shared)
    two = put("ImageBatch", 2400, 80, title="Mask, without", image1=seen[0], image2=without[0])
    three = put("ImageBatch", 2400, 200, title="Mask, without, inside", image1=two[0], image2=inside[0])
    labels = "mask\nwithout the mask\nonly the flower"
    grid = put(
        "QSCompareGrid", 2400, 340, images=three[0], labels=labels, columns=2, source=photo[0], source_label="photo"
    )
    shown = graph.add("SaveImage", (2760, 80), (440, 520), title="Compared", images=grid[0], filename_prefix="qs_mask")
    graph.group("1 Photo, and a mask from it", photo, red, white, seen, color=GREEN)
    graph.group("2 To noise", model, inversion)
    graph.group("3 What it shall become", clip, text, color=PURPLE)
    graph.group("4 Back, without and with the mask", without, inside, color=YELLOW)
    graph.group("5 Compared", two, three, grid, shown, color=GREEN)
    return graph


def style_preset() -> Graph:
    """One style at three settings of its dials."""
    graph = Graph("style_preset_dials", "Style preset with dials", subject=("QSStylePreset",))
    put = partial(place, graph)
    graph.note(
        (40, 80),
        (360, 500),
        "How it works",
    )
    photo = put("QSSampleImage", 40, 680, picture="cat")
    model = put("LoadDiffusionModel", 40, 820)
    clip = put("LoadOpenCLIP", 40, 1170)
    dials = [(0.25, 1.0), (1.0, 1.0), (4.0, 1.0)]
    presets = [
        put("QSStylePreset", 540, 80 + 320 * k, style_name="golden", style=style, content=content)
        for k, (style, content) in enumerate(dials)
    ]
    told = put("PreviewAny", 540, 1060, title="What the preset says", area=(320, 200), source=presets[1]["summary"])
    inversion = put("EncodeInvertDDIM", 940, 80, model=model[0], image=photo[0], steps=30, skip=15)
    text = put(
        "CLIPTextDirection",
        940,
        640,
        clip=clip[0],
        prompt=presets[1]["prompt"],
        source_prompt=presets[1]["source_prompt"],
    )
    results = [
        put(
            "QSAttnGuidedSampler",
            1320 + 380 * k,
            80,
            title=f"Style {style:g}",
            inversion=inversion[0],
            text=text[0],
            losses=preset["losses"],
        )
        for k, ((style, _), preset) in enumerate(zip(dials, presets, strict=True))
    ]
    two = put("ImageBatch", 2480, 80, title="Two", image1=results[0][0], image2=results[1][0])
    all_three = put("ImageBatch", 2480, 220, title="All three", image1=two[0], image2=results[2][0])
    labels = "\n".join(f"style {style:g}" for style, _ in dials)
    grid = put(
        "QSCompareGrid", 2480, 360, images=all_three[0], labels=labels, columns=2, source=photo[0], source_label="photo"
    )
    shown = graph.add(
        "SaveImage", (2840, 80), (440, 480), title="Compared", images=grid[0], filename_prefix="qs_preset"
    )
    graph.group("1 Photo and networks", photo, model, clip, color=GREEN)
    graph.group("2 One style, three dials", *presets, told, color=PURPLE)
    graph.group("3 To noise, and the phrase", inversion, text)
    graph.group("4 Back, once a dial", *results, color=YELLOW)
    graph.group("5 Compared", two, all_three, grid, shown, color=GREEN)
    return graph


def at_strengths(
    graph: Graph, x: int, photo: Node, results: list, strengths: tuple[float, ...], prefix: str, area: tuple[int, int]
) -> list:
    """The nodes from `x` on that show the photo and its results in a labelled table of two columns."""
    put = partial(place, graph)
    batches = [results[0]]
    for k, result in enumerate(results[1:]):
        joined = {"image1": batches[-1][0], "image2": result[0]}
        batches.append(put("ImageBatch", x, 80 + 120 * k, title=f"The first {k + 2}", **joined))
    labels = "\n".join(f"strength {strength:g}" for strength in strengths)
    shown = {"images": batches[-1][0], "labels": labels, "columns": 2, "source": photo[0], "source_label": "photo"}
    grid = put("QSCompareGrid", x, 340, **shown)
    saved = graph.add("SaveImage", (x + 360, 80), area, title="Compared", images=grid[0], filename_prefix=prefix)
    return [*batches[1:], grid, saved]


def strength_sweep() -> Graph:
    """The dial from the photo itself to the full style."""
    graph = Graph("strength_sweep", "Strength sweep")
    put = partial(place, graph)
    strengths = (0.3, 0.6, 1.0)
    graph.note(
        (40, 80),
        (360, 300),
        "How it works",
    )
    photo = put("QSSampleImage", 500, 80, picture="flower")
    model = put("LoadDiffusionModel", 500, 240)
    clip = put("LoadOpenCLIP", 500, 660)
    inversion = put("EncodeInvertDDIM", 880, 80, model=model[0], image=photo[0], steps=20, skip=10)
    text = put("CLIPTextDirection", 880, 660, clip=clip[0], prompt="wooden")
    results = [
        put(
            "QSAttnGuidedSampler",
            1280 + 380 * k,
            80,
            title=f"Strength {strength:g}",
            inversion=inversion[0],
            text=text[0],
            strength=strength,
        )
        for k, strength in enumerate(strengths)
    ]
    compared = at_strengths(graph, 2440, photo, results, strengths, "qs_strength", (440, 500))
    graph.group("1 Photo and networks", photo, model, clip, color=GREEN)
    graph.group("2 To noise, and the phrase", inversion, text, color=PURPLE)
    graph.group("3 Back, at three strengths", *results, color=YELLOW)
    graph.group("4 Compared", *compared, color=GREEN)
    return graph


def trained_style() -> Graph:
    """A style that was trained before, without CLIP, at three strengths."""
    graph = Graph("trained_style", "A trained style")
    put = partial(place, graph)
    strengths = (0.5, 0.75, 1.0)
    graph.note(
        (40, 80),
        (400, 420),
        "How it works",
    )
    photo = put("QSSampleImage", 500, 80, picture="cat")
    model = put("LoadDiffusionModel", 500, 240)
    style = put("QSLoadStyle", 500, 620, model=model[0])
    inversion = put("EncodeInvertDDIM", 880, 80, model=model[0], image=photo[0], size=128, spacing="500:10", skip=1)
    results = [
        put(
            "QSApplyStyle",
            1260,
            80 + 340 * k,
            title=f"Strength {strength:g}",
            inversion=inversion[0],
            styles=style[0],
            strength=strength,
        )
        for k, strength in enumerate(strengths)
    ]
    compared = at_strengths(graph, 1660, photo, results, strengths, "qs_trained_style", (560, 680))
    graph.group("1 Photo, network and style", photo, model, style, color=GREEN)
    graph.group("2 To noise", inversion)
    graph.group("3 Back by the style, unguided", *results, color=YELLOW)
    graph.group("4 Compared", *compared, color=GREEN)
    return graph


def each_loss() -> Graph:
    """Every loss as a node of its own, in a chain."""
    graph = Graph(
        "losses_one_by_one",
        "Losses one by one",
        subject=("QSCLIPLoss", "QSContrastiveLoss", "QSMSELoss", "QSRangeLoss"),
    )
    put = partial(place, graph)
    graph.note((40, 80), (360, 560), "How it works")
    photo = put("QSSampleImage", 500, 80, picture="coffee")
    model = put("LoadDiffusionModel", 500, 240)
    clip = put("LoadOpenCLIP", 500, 660)
    inversion = put("EncodeInvertDDIM", 880, 80, model=model[0], image=photo[0])
    text = put("CLIPTextDirection", 880, 660, clip=clip[0], prompt="golden")
    style = put("QSCLIPLoss", 1280, 80, title="Style: CLIP")
    content = put("QSContrastiveLoss", 1280, 420, title="Content: contrastive", losses=style[0])
    pixels = put("QSMSELoss", 1280, 810, title="Content: pixels", losses=content[0])
    colours = put("QSRangeLoss", 1280, 1050, title="Colours in range", losses=pixels[0])
    sampler = put("QSAttnGuidedSampler", 1700, 80, inversion=inversion[0], text=text[0], losses=colours[0])
    both = put("QSBeforeAfter", 2100, 80, before=photo[0], after=sampler[0])
    shown = graph.add(
        "SaveImage", (2100, 340), (440, 300), title="Before and after", images=both[0], filename_prefix="qs_losses"
    )
    graph.group("1 Photo and networks", photo, model, clip, color=GREEN)
    graph.group("2 To noise, and the phrase", inversion, text)
    graph.group("3 What pulls, and what holds", style, content, pixels, colours, color=PURPLE)
    graph.group("4 Back, guided by them", sampler, both, shown, color=YELLOW)
    return graph


def real_model() -> Graph:
    """OpenAI's 256 pixel network and CLIP, with the paper's own weights."""
    known = by_file("256x256_diffusion_uncond.pt")
    graph = Graph(
        "real_model_256px_download",
        "256 px (real model, needs a download)",
        needs=(known.file,),
        subject=("QSStylePreset",),
    )
    put = partial(place, graph)
    words = {
        "file": known.file,
        "size": f"{known.size / 1e9:.1f}",
        "address": known.mirror,
        "digest": known.sha256[:16],
    }
    graph.note((40, 80), (400, 640), "What to download, and how it works", **words)
    photo = put("QSSampleImage", 540, 80, picture="cat")
    before = graph.add("PreviewImage", (540, 220), (320, 300), title="Before", images=photo[0])
    source = {"name": known.file, "url": known.mirror, "directory": "qs_diffusion"}
    digest = {"hash": known.sha256, "hash_type": "SHA256"}
    model = put(
        "LoadDiffusionModel",
        540,
        640,
        title="Diffusion model (download first)",
        model_name=known.file,
        models=[{**source, **digest}],
    )
    clip = put("LoadOpenCLIP", 540, 990, title="OpenCLIP (downloads)", clip_name="ViT-B-16")
    preset = put("QSStylePreset", 920, 80, style_name="watercolor art (ImageNet)")
    content = put("QSContrastiveLoss", 920, 420, title="Query-selected anchors", losses=preset["losses"])
    vgg = put("QSVGGLoss", 920, 800, title="VGG: wake it up once its weights are there", losses=content[0])
    graph.nodes[-1]["mode"] = BYPASSED
    told = put("PreviewAny", 920, 1060, title="What the preset says", area=(320, 200), source=preset["summary"])
    inversion = put("EncodeInvertDDIM", 1320, 80, model=model[0], image=photo[0], start="zecon")
    text = put(
        "CLIPTextDirection", 1320, 660, clip=clip[0], prompt=preset["prompt"], source_prompt=preset["source_prompt"]
    )
    sampler = put(
        "QSAttnGuidedSampler",
        1700,
        80,
        inversion=inversion[0],
        text=text[0],
        losses=vgg[0],
        sampler="ddpm",
    )
    after = graph.add("SaveImage", (2100, 80), PICTURE, title="After", images=sampler[0], filename_prefix="qs_256px")
    graph.group("1 Photo", photo, before, color=GREEN)
    graph.group("2 Networks: download these", model, clip, color=YELLOW)
    graph.group("3 Style", content, preset, vgg, told, color=PURPLE)
    graph.group("4 To noise, and the phrase", inversion, text)
    graph.group("5 Back, in the new style", sampler, after, color=YELLOW)
    return graph


def style_picture() -> Graph:
    """A painting's style on a face."""
    graph = Graph("style_from_picture", "Style from a picture", subject=("QSStylePicture", "QSAttnGuidedSampler"))
    put = partial(place, graph)
    graph.note((40, 80), (360, 520), "How it works")
    photo = put("QSSampleImage", 500, 80, title="Photo", picture="astronaut")
    painting = put("QSSampleImage", 500, 240, title="Painting", picture="swirls")
    model = put("LoadDiffusionModel", 860, 80)
    inversion = put("EncodeInvertDDIM", 860, 400, model=model[0], image=photo[0], steps=40, skip=20)
    clip = put("LoadOpenCLIP", 1220, 80)
    style = put("QSStylePicture", 1220, 400, clip=clip[0], image=painting[0])
    sampler = put("QSAttnGuidedSampler", 1600, 80, inversion=inversion[0], text=style[0])
    after = graph.add(
        "SaveImage", (2000, 80), PICTURE, title="Restyled", images=sampler[0], filename_prefix="qs_style_picture"
    )
    graph.group("1 Photo and painting", photo, painting, color=GREEN)
    graph.group("2 To noise", model, inversion)
    graph.group("3 The painting's style", clip, style, color=PURPLE)
    graph.group("4 Back, in that style", sampler, after, color=YELLOW)
    return graph


def restyle_video() -> Graph:
    """A video's frames, each held to the one before, with its sound."""
    graph = Graph(
        "restyle_a_video", "Restyle a video that holds still", needs=("clip.mp4",), subject=("QSAttnGuidedSampler",)
    )
    put = partial(place, graph)
    graph.note((40, 80), (400, 460), "Your video")
    film = graph.add("LoadVideo", (500, 80), (320, 80), title="Your video", file="clip.mp4")
    parts = graph.add("GetVideoComponents", (500, 240), (320, 100), video=film[0])
    model = put("LoadDiffusionModel", 860, 80)
    inversion = put("EncodeInvertDDIM", 860, 400, model=model[0], image=parts[0], size=128, skip=25)
    clip = put("LoadOpenCLIP", 1220, 80)
    text = put("CLIPTextDirection", 1220, 300, clip=clip[0], prompt="water painting")
    sampler = put("QSAttnGuidedSampler", 1600, 80, inversion=inversion[0], text=text[0], steady=0.95)
    made = graph.add("CreateVideo", (2000, 80), (320, 100), images=sampler[0], fps=parts[2], audio=parts[1])
    saved = graph.add(
        "SaveVideo", (2000, 260), PICTURE, title="Restyled", video=made[0], filename_prefix="video/qs_restyled"
    )
    graph.group("1 Video: choose yours", film, parts, color=YELLOW)
    graph.group("2 To noise", model, inversion)
    graph.group("3 The style", clip, text, color=PURPLE)
    graph.group("4 Back, held steady", sampler, color=YELLOW)
    graph.group("5 A video again, with its sound", made, saved, color=GREEN)
    return graph


TEMPLATES: tuple[Callable[[], Graph], ...] = (
    quick_start,
    step_by_step,
    five_styles,
    anchors_heatmap,
    zecon,
    systems,
    mask,
    real_model,
    style_preset,
    strength_sweep,
    each_loss,
    style_picture,
    trained_style,
    restyle_video,
    *NATIVE,
)
