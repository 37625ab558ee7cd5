"""The workflows on models that ComfyUI loads itself."""

from .graph import GREEN, PURPLE, YELLOW, Graph

HUB = "https://huggingface.co"


def native(
    name: str, title: str, file: str, repository: str, photo: str, describes: str, phrase: str, clip: str, **walk
) -> Graph:
    """A photo restyled with a checkpoint; `describes` is the positive, `phrase` the style. `guidance` is Flux's own."""
    graph = Graph(name, title, needs=(file,))
    address, guidance = f"{HUB}/{repository}/resolve/main/{file}", walk.pop("guidance", None)
    graph.note((40, 80), (440, 760), "What to download, and how it works", file=file, address=address)
    source = graph.add("QSSampleImage", (540, 80), (320, 60), picture=photo)
    before = graph.add("PreviewImage", (540, 220), (320, 300), title="Before", images=source[0])
    loader = graph.add(
        "CheckpointLoaderSimple",
        (540, 660),
        (320, 100),
        title="Checkpoint (download first)",
        ckpt_name=file,
        models=[{"name": file, "url": address, "directory": "checkpoints"}],
    )
    positive = graph.add(
        "CLIPTextEncode", (920, 80), (320, 120), title="The photo in words", clip=loader[1], text=describes
    )
    conditioning = positive[0]
    placed = [positive]
    if guidance is not None:
        flux = graph.add(
            "FluxGuidance", (920, 260), (320, 60), title="1 inverts best", conditioning=conditioning, guidance=guidance
        )
        conditioning, placed = flux[0], [positive, flux]
    model = graph.add("UseNativeModel", (920, 400), (320, 160), model=loader[0], vae=loader[2], positive=conditioning)
    guide = graph.add("LoadOpenCLIP", (540, 880), (320, 110), clip_name=clip)
    text = graph.add("CLIPTextDirection", (920, 680), (320, 180), clip=guide[0], prompt=phrase)
    inversion = graph.add("EncodeInvertDDIM", (1320, 80), (320, 480), model=model[0], image=source[0], **walk)
    sampler = graph.add(
        "QSAttnGuidedSampler", (1700, 80), (340, 860), inversion=inversion[0], text=text[0], sampler="ddim"
    )
    after = graph.add(
        "SaveImage", (2100, 80), (420, 460), title="After", images=sampler[0], filename_prefix=f"qs_{name}"
    )
    graph.group("1 Photo", source, before, color=GREEN)
    graph.group("2 Models: download these", loader, guide, color=YELLOW)
    graph.group("3 As a QS model; describe the photo here", *placed, model)
    graph.group("4 The style", text, color=PURPLE)
    graph.group("5 To noise", inversion)
    graph.group("6 Back, in the new style", sampler, after, color=YELLOW)
    return graph


def restyle_sd15() -> Graph:
    """SD1.5 at 512, with the built-in guide."""
    return native(
        "restyle_with_sd15",
        "Restyle with SD1.5 (real model, needs a download)",
        "v1-5-pruned-emaonly-fp16.safetensors",
        "Comfy-Org/stable-diffusion-v1-5-archive",
        "coffee",
        "a photo of a cup of coffee on a table",
        "watercolor painting",
        "demo",
        size=512,
        steps=40,
        skip=20,
    )


def restyle_sdxl() -> Graph:
    """SDXL at 1024, with OpenAI's CLIP."""
    return native(
        "restyle_with_sdxl",
        "Restyle with SDXL at 1024 (real model, needs a download)",
        "sd_xl_base_1.0.safetensors",
        "stabilityai/stable-diffusion-xl-base-1.0",
        "cat",
        "a photo of a cat",
        "an oil painting",
        "ViT-B-16",
        size=1024,
        steps=40,
        skip=20,
    )


def restyle_flux() -> Graph:
    """Flux at 768, with OpenAI's CLIP."""
    return native(
        "restyle_with_flux",
        "Restyle with Flux (real model, needs a download)",
        "flux1-dev-fp8.safetensors",
        "Comfy-Org/flux1-dev",
        "pagoda",
        "a photo of a pagoda",
        "a sketch with crayon",
        "ViT-B-16",
        size=768,
        steps=30,
        skip=15,
        guidance=1.0,
    )


NATIVE = (restyle_sd15, restyle_sdxl, restyle_flux)
