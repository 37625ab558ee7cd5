"""The pictures of the help pages: what turning one input up does, on small graphs that no file keeps."""

from collections.abc import Mapping, Sequence

from .graph import Graph

PLACE = ((0, 0), (0, 0))  # nobody looks at these graphs
LOSSES = {"QSContrastiveLoss", "QSCLIPLoss", "QSRangeLoss", "QSMSELoss", "QSViTLoss"}

Variation = tuple[str, Mapping[str, Mapping[str, object]]]  # a label, and values by node


def variations(name: str, photo: str, prompt: str, varied: Sequence[Variation], columns: int = 0) -> Graph:
    """A photo restyled once a variation, in a grid with the photo; a loss node is there where it has values."""
    graph = Graph(name, name)
    source = graph.add("QSSampleImage", *PLACE, picture=photo)
    model = graph.add("LoadDiffusionModel", *PLACE)
    clip = graph.add("LoadOpenCLIP", *PLACE)
    text = graph.add("CLIPTextDirection", *PLACE, clip=clip[0], prompt=prompt)
    joined = None
    for _, values in varied:
        walk = {"steps": 20, "skip": 10, **values.get("EncodeInvertDDIM", {})}
        inversion = graph.add("EncodeInvertDDIM", *PLACE, model=model[0], image=source[0], **walk)
        losses = {}
        for kind in LOSSES & set(values):
            losses = {"losses": graph.add(kind, *PLACE, **losses, **values[kind])[0]}
        given = {**losses, **values.get("QSAttnGuidedSampler", {})}
        done = graph.add("QSAttnGuidedSampler", *PLACE, inversion=inversion[0], text=text[0], **given)
        joined = done if joined is None else graph.add("ImageBatch", *PLACE, image1=joined[0], image2=done[0])
    labels = "\n".join(label for label, _ in varied)
    look = {"source": source[0], "source_label": "photo", "columns": columns}
    grid = graph.add("QSCompareGrid", *PLACE, images=joined[0], labels=labels, **look)
    graph.add("PreviewImage", *PLACE, images=grid[0])
    return graph


def of(node: str, values: Sequence[Mapping[str, object]], extra: Mapping | None = None) -> list[Variation]:
    """One variation for each set of values of a node, labelled with them."""
    return [(", ".join(f"{k} {v:g}" for k, v in each.items()), {node: each, **(extra or {})}) for each in values]


def skip() -> Graph:
    """The fewer steps are skipped, the more changes."""
    kept = [{"steps": 20, "skip": skip} for skip in (14, 10, 8)]
    return variations("skip", "pagoda", "a sketch with crayon", of("EncodeInvertDDIM", kept))


def contrastive() -> Graph:
    """Without the contrastive loss, with its default, with three times that."""
    light = {"QSAttnGuidedSampler": {"mse": 5000.0}}
    weights = [{"weight": weight} for weight in (0.0, 6000.0, 18_000.0)]
    return variations("contrastive", "cat", "a sketch with crayon", of("QSContrastiveLoss", weights, light))


def crops() -> Graph:
    """Small pieces against large ones."""
    areas = [{"crop_area_min": low, "crop_area_max": high} for low, high in ((0.01, 0.05), (0.05, 0.3), (0.5, 1.0))]
    labels = ["pieces of 1 to 5 %", "5 to 30 % (default)", "50 to 100 %"]
    varied = [(label, {"QSCLIPLoss": area}) for label, area in zip(labels, areas, strict=True)]
    return variations("crops", "coffee", "red bricks", varied)


def transformer() -> Graph:
    """Without the losses that hold content, with structure, with each place's key."""
    light = {"QSAttnGuidedSampler": {"contrastive": 0.0, "mse": 2000.0}}
    weights = {"nothing held": (0.0, 0.0), "vit_structure 200000": (2e5, 0.0), "vit_contrastive 20000": (0.0, 2e4)}
    varied = [
        (label, {"QSViTLoss": {"vit_structure": of_all, "vit_contrastive": of_each}, **light})
        for label, (of_all, of_each) in weights.items()
    ]
    return variations("transformer", "astronaut", "mosaic", varied)


def mse() -> Graph:
    """No hold on the pixels, the default, ten times that."""
    weights = [{"weight": weight} for weight in (0.0, 20_000.0, 200_000.0)]
    return variations("mse", "astronaut", "golden", of("QSMSELoss", weights))


def colours() -> Graph:
    """A style that clips colours, and the range loss against it."""
    weights = [{"weight": weight} for weight in (0.0, 30_000.0, 200_000.0)]
    return variations("colours", "astronaut", "neon lights", of("QSRangeLoss", weights))
