"""Inside of ComfyUI: measure native models, on request. A line of JSON comes in and one goes out.

`python native_worker.py COMFYUI PACK`. All runs in the host's inference mode, as nodes do.
"""

import importlib.util
import json
import sys
import time
import traceback
from pathlib import Path

import torch

HERE = Path(__file__).parent


def load(name: str, path: Path):
    """A module from a file."""
    spec = importlib.util.spec_from_file_location(name, path)
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def part(name: str):
    """A module of the pack."""
    return sys.modules[f"{PACK.__name__}.{name}"]


def node(name: str, **given) -> tuple:
    """A node's outputs, with defaults for what is not given."""
    cls = PACK.NODE_CLASS_MAPPINGS[name]
    declared = cls.INPUT_TYPES()
    specs = {**declared["required"], **declared.get("optional", {})}
    defaults = {key: spec[1]["default"] for key, spec in specs.items() if "default" in spec[1]}
    return getattr(cls(), cls.FUNCTION)(**defaults | given)


def noise(*shape, seed=5):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def made(name: str, kind: str = "UseNativeModel", **given):
    """A tiny MODEL, its VAE, and the QS_MODEL of both."""
    model = tiny.patcher(name)
    vae = tiny.vae(model.model.latent_format)
    return model, vae, node(kind, model=model, vae=vae, positive=tiny.condition(name), **given)[0]


def ksampler(model, name: str, side: tuple[int, int]) -> torch.Tensor:
    """The host's own picture of two steps, as a latent."""
    import comfy.sample

    form = model.model.latent_format
    shape = (1, form.latent_channels, *([1] if form.latent_dimensions == 3 else []), *side)
    cond = tiny.condition(name)
    start = torch.zeros(shape)
    return comfy.sample.sample(
        model, noise(*shape), 2, 1.0, "euler", "simple", cond, cond, start, denoise=1.0, seed=1, disable_pbar=True
    )


def leftovers(model) -> list[str]:
    """What a walk has left behind in the host."""
    import comfy.model_management as management

    found = ["in_training"] if getattr(management, "in_training", False) else []
    for name, module in model.model.named_modules():
        if "forward" in vars(module):
            found.append(f"{name}.forward")
        if module._forward_hooks or module._forward_pre_hooks:
            found.append(f"{name} hook")
    options = model.model_options.get("transformer_options", {})
    return found + [key for key in ("optimized_attention_override", "sample_sigmas") if key in options]


def slope(function, x, direction, step):
    """The central difference of a function's value along a direction."""
    with torch.no_grad():
        high, low = (float(function(x + sign * step * direction)) for sign in (1, -1))
    return (high - low) / (2 * step)


def pair(function, x, step) -> list[float]:
    """Autograd's slope and the numeric one, along the gradient itself, in which rounding is least."""
    leaf = x.clone().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(function(leaf), leaf)
    direction = gradient / gradient.square().mean().sqrt()
    return [float((gradient * direction).sum()), slope(function, x, direction, step)]


def family(name: str) -> dict:
    """All that is measured of one family."""
    if not tiny.exists(name):
        return {"missing": True}
    begun = time.perf_counter()
    model, vae, loaded = made(name)
    core, form = loaded.core, model.model.latent_format
    pixels = max(2 * core.multiple, 64, 4 * core.ratio, core.family.least * core.ratio)
    side = (pixels // core.ratio, pixels // core.ratio)
    before = ksampler(model, name, side)
    report = {"classes": [type(core.base).__name__, type(core.network).__name__], "pixels": pixels}
    report["bytes"] = [core.graph_bytes(1, pixels, pixels), core.walk_bytes(1, pixels, pixels)]
    with torch.inference_mode(False):
        loaded.hold(lambda: report.update(inside(core, noise(1, form.latent_channels, *side))), [], 0, (pixels, pixels))
    report["leftovers"] = leftovers(model)
    report["same"] = bool(torch.equal(before, ksampler(model, name, side)))
    report["seconds"] = time.perf_counter() - begun
    return report


def inside(core, z) -> dict:
    """Within the session: gradients, features, and the way there and back."""
    samplers, transfer = part("qs_core.samplers"), part("qs_core.transfer")
    guidance, content = part("qs_core.guidance"), part("qs_core.losses.contrastive")
    checkpointing = part("qs_core.unets.gradient_checkpointing").gradient_checkpointing
    schedule, i, weights = core.schedule("20"), 8, noise(*z.shape, seed=7)
    anchors = part("qs_core.anchors").Anchors

    def network(x):
        return (core.predict(x, schedule, i).x0.double() * weights).sum()

    def pulled():
        return core.linearize(z, schedule, i)[1](weights, torch.zeros_like(z))

    runs, counted = [], part("nodes.native.families").blocks(core.network, core.family)
    leaves = [leaf for block in counted for leaf in block.modules() if not list(leaf.children())]
    handles = [leaf.register_forward_hook(lambda *_: runs.append(1)) for leaf in leaves]
    plain, once = pulled(), len(runs)
    with checkpointing(True):
        again = pulled()
    for handle in handles:
        handle.remove()
    out = {"network": pair(network, z, 3e-4), "recomputed": float((plain - again).norm() / plain.norm())}
    out["blocks"] = [len(counted), once, len(runs) - once]  # their parts' runs, plain and recomputed
    out["features"] = pair(lambda x: core.features(x)[-1].square().mean(), z, 1e-3)
    with torch.no_grad():
        out["maps"] = [list(one.shape) for one in core.features(z)]
    sides = [z.shape[-1] * core.ratio // layer.factor for layer in core.content_layers()]
    out["sides"] = sides
    picture = core.to_picture(z).detach()
    target = core.to_picture(noise(*z.shape, seed=9)).detach()
    out["codec"] = pair(lambda x: (core.to_picture(x).double() * target).mean(), z, 1e-4)
    out["gain"] = float(core.gain(z))
    every = frozenset(range(len(out["maps"])))  # anchors that are drawn would be others at each evaluation
    terms = [content.content_term(core, 1.0, anchors("global", 16, every))]
    bound = guidance.bind(terms, target, [0], noise(*z.shape, seed=9))
    guided = guidance.Guidance(core, schedule, bound)
    gradient = guided(z, i).gradient
    direction = gradient / gradient.square().mean().sqrt()
    values = [float(guided(z + sign * 1e-3 * direction, i).losses["contrastive"]) for sign in (1, -1)]
    out["guided"] = [float((gradient * direction).sum()), (values[0] - values[1]) / 2e-3]
    out["trip"] = []
    for steps in (8, 32):
        spaced = core.schedule(str(steps))
        *_, noisy = samplers.invert(core, spaced, z * 0.5, steps // 2)
        *_, back = samplers.sample(core, spaced, noisy.x, steps // 2, transfer.step_function("ddim"))
        out["trip"].append(float((back.x - z * 0.5).norm() / (z * 0.5).norm()))
    assert picture.shape[1] == 3
    return out


def photo(pixels: int, batch: int = 1) -> torch.Tensor:
    """An IMAGE, made in inference mode as all of the host's."""
    image = node("QSSampleImage", picture="astronaut")[0].movedim(-1, 1)
    small = torch.nn.functional.interpolate(image, (pixels, pixels), mode="area").movedim(1, -1)
    return torch.cat([small, *([small.flip(1)] * (batch - 1))])


def sampled(loaded, image, strength=1.0, mask=None, sampler="ddim", **more):
    """The picture by the nodes: invert, and back."""
    walk = {"steps": 4, "skip": 2, "size": image.shape[1], "preview_every": 1}
    inversion = node("EncodeInvertDDIM", model=loaded, image=image, **walk)[0]
    text = node("CLIPTextDirection", clip=node("LoadOpenCLIP")[0])[0]
    options = {"crops": 2, "seed": 1, "preview_every": 1, "sampler": sampler, **more}
    given = {} if mask is None else {"mask": mask, "feather": 0}
    return node("QSAttnGuidedSampler", inversion=inversion, text=text, strength=strength, **given, **options)[0]


def nodes(name: str) -> dict:
    """All nodes around a native model, end to end."""
    model, vae, loaded = made(name)
    pixels = max(2 * loaded.core.multiple, 64)
    image, report = photo(pixels), {"pixels": pixels}
    plain = sampled(loaded, image)
    report["shape"] = list(plain.shape)
    report["moved"] = float((plain - image).abs().mean())
    report["again"] = bool(torch.equal(plain, sampled(loaded, image)))
    report["strength_0"] = bool(torch.equal(sampled(loaded, image, strength=0.0), image))
    mask = torch.zeros(1, pixels, pixels)
    mask[..., : pixels // 2] = 1
    half = sampled(loaded, image, mask=mask)
    report["masked_same"] = bool(torch.equal(half[:, :, pixels // 2 :], image[:, :, pixels // 2 :]))
    report["unmasked_moved"] = float((half - image)[:, :, : pixels // 2].abs().mean())
    unguided = sampled(loaded, image, style=0.0, content=0.0, range=0.0)
    report["guided_moves"] = float((plain - unguided).abs().mean())
    pairs = photo(pixels, 2)
    apart = [sampled(loaded, pairs, style=style, content=style, range=0.0)[0] for style in (0.0, 1.0)]
    report["batch"] = [float((apart[0] - unguided[0]).abs().mean()), float((apart[1] - plain[0]).abs().mean())]
    checkpointed = sampled(loaded, image, sampler="ddpm", through_unet=False)
    report["ddpm"] = bool(torch.isfinite(checkpointed).all())
    inversion = node("EncodeInvertDDIM", model=loaded, image=image, steps=4, skip=2, size=pixels)[0]
    report["heat_maps"] = len(node("QSAttnHeatmap", inversion=inversion, short_side=128, attend="all")[0])
    report["layers"] = len(loaded.core.content_layers())
    other = node("UseNativeModel", model=model, vae=vae, positive=tiny.condition(name), loss_vae=tiny.vae(
        model.model.latent_format), negative=tiny.condition(name, 9), cfg=3.0)[0]  # fmt: skip
    report["cfg"] = bool(torch.isfinite(sampled(other, image)).all())
    x0 = node("UseNativeModelX0", model=model, vae=vae, positive=tiny.condition(name))[0]
    try:
        sampled(x0, image)
        report["x0_content"] = ""
    except part("qs_core.errors").InputError as error:
        report["x0_content"] = str(error)
    report["x0_moved"] = float((sampled(x0, image, contrastive=0.0) - unguided).abs().mean())
    report["leftovers"] = leftovers(model)
    return report


class Broken(Exception):
    """An error in the middle of a walk."""


def host(name: str) -> dict:
    """The host's own sampling is the same after ours: patched, unloaded, cancelled, failed."""
    import comfy.model_management as management

    model, vae, _ = made(name)
    _, _, loaded = made(name)
    pixels = max(2 * loaded.core.multiple, 64)
    side, image = (pixels // loaded.core.ratio,) * 2, photo(pixels)
    key = next(k for k, v in model.model.state_dict().items() if k.endswith("weight") and v.ndim == 2)
    patched = model.clone()
    patched.add_patches({key: ("diff", (noise(*model.model.state_dict()[key].shape),))}, 0.5)
    report, before = {}, [ksampler(each, name, side) for each in (model, patched)]
    report["patch_changes"] = not torch.equal(*before)

    def use(target):
        return node("UseNativeModel", model=target, vae=vae, positive=tiny.condition(name))[0]

    def same() -> bool:
        clean = not leftovers(model)
        return clean and all(
            torch.equal(b, ksampler(m, name, side)) for b, m in zip(before, (model, patched), strict=True)
        )

    pictures = [sampled(use(each), image) for each in (model, patched)]
    report["patch_is_used"] = not torch.equal(*pictures)
    report["after_walks"] = same()
    management.unload_all_models()
    report["after_free"] = same() and torch.equal(pictures[0], sampled(use(model), image))

    def spoiled(act):
        calls, own = [], model.clone()

        def post(args):
            calls.append(1)
            if len(calls) == 4:  # two steps of the inversion, then the second guided one
                act()
            return args["denoised"]

        own.set_model_sampler_post_cfg_function(post)
        try:
            sampled(use(own), image)
        except BaseException as error:
            management.interrupt_current_processing(False)
            return [type(error).__name__, len(calls), same()]
        return ["", len(calls), same()]

    def fail():
        raise Broken

    report["after_error"] = spoiled(fail)
    report["after_cancel"] = spoiled(lambda: management.interrupt_current_processing(True))
    # Within a step: the flag is up before the network's last evaluation begins.
    stopping, runs = model.clone(), []

    def wrap(apply, args):
        runs.append(1)
        if runs.count(1) == 2:
            management.interrupt_current_processing(True)
        result = apply(args["input"], args["timestep"], **args["c"])
        runs.append("finished")
        return result

    stopping.set_model_unet_function_wrapper(wrap)
    try:
        sampled(use(stopping), image)
        report["within_step"] = ""
    except BaseException as error:
        management.interrupt_current_processing(False)
        report["within_step"] = [type(error).__name__, runs.count("finished")]
    return report


def refused(call) -> str:
    """The text of the InputError."""
    try:
        call()
    except part("qs_core.errors").InputError as error:
        return str(error)
    return ""


def refusals() -> dict:
    """What is refused, and how."""
    import comfy.model_management as management

    sd, cond = tiny.patcher("SD15"), tiny.condition("SD15")
    vae, flux = tiny.vae(sd.model.latent_format), tiny.patcher("Flux")

    def use(model, its=vae):
        return node("UseNativeModel", model=model, vae=its, positive=cond)[0]

    report = {"channels": refused(lambda: use(sd, tiny.vae(flux.model.latent_format)))}
    radiance = tiny.patcher("ChromaRadiance")
    report["pixels"] = refused(lambda: use(radiance))
    inpaint = tiny.patcher("SD15")
    inpaint.model.set_inpaint()
    report["inpaint"] = refused(lambda: use(inpaint))
    if tiny.exists("Ernie"):
        ernie = tiny.patcher("Ernie")
        report["ernie"] = refused(lambda: use(ernie, tiny.vae(ernie.model.latent_format)))

    def cached(apply, args):
        return apply(args["input"], args["timestep"], **args["c"]).detach()

    frozen = sd.clone()
    frozen.set_model_unet_function_wrapper(cached)
    report["stopped"] = refused(lambda: sampled(use(frozen), photo(128), contrastive=0.0))
    load = management.load_models_gpu

    def partly(models, *args, **options):
        load(models, *args, **options)
        sd.model.model_lowvram = True

    management.load_models_gpu = partly
    try:
        report["lowvram"] = refused(lambda: sampled(use(sd), photo(128)))
    finally:
        management.load_models_gpu, sd.model.model_lowvram = load, False
    report["size"] = refused(lambda: use(sd).core.check_size(torch.zeros(1, 3, 100, 128)))
    report["leftovers"] = leftovers(sd)
    return report


def codec() -> dict:
    """The codec against the host's own VAE, on the layout of SD's."""
    import comfy.sd
    from comfy.ldm.models.autoencoder import AutoencoderKL

    shape = {"double_z": True, "z_channels": 4, "resolution": 256, "in_channels": 3, "out_ch": 3, "ch": 128}
    shape |= {"ch_mult": [1, 2, 4, 4], "num_res_blocks": 2, "attn_resolutions": [], "dropout": 0.0}
    own = AutoencoderKL(ddconfig=shape, embed_dim=4)
    tiny.randomise(own)
    vae = comfy.sd.VAE(sd=own.state_dict())
    form = tiny.patcher("SD15").model.latent_format
    image = photo(64)
    host_latent = form.process_in(vae.encode(image))
    with torch.inference_mode(False):
        part("nodes.native.thaw").thaw_module(vae.first_stage_model)
        ours = part("nodes.native.codec").Codec(vae, form)
        latent = ours.encode(image.clone().movedim(-1, 1) * 2 - 1)
        with torch.no_grad():
            decoded = ((ours.decode(latent) + 1) / 2).clamp(0, 1).movedim(1, -1)
        report = {"encode": float((latent - host_latent).abs().max())}
        weights = noise(1, 3, 64, 64)
        report["slopes"] = pair(lambda x: (ours.decode(x).double() * weights).sum(), latent.clone(), 2e-4)
    report["decode"] = float((decoded - vae.decode(form.process_out(latent))).abs().max())
    report["left"] = [n for n, m in vae.first_stage_model.named_modules() if "forward" in vars(m)]
    return report


def report(name: str) -> dict:
    """The report that a user with weights attaches."""
    import logging

    logging.getLogger().setLevel(logging.INFO)
    tool = load("native_report", Path(sys.argv[0]).resolve().parents[2] / "tools" / "native_report.py")
    model, vae, _ = made(name)
    made_of = (model, vae, tiny.condition(name), photo(64))
    told, shown = tool.measure(PACK, *made_of, "watercolor painting", 64, steps=(4, 16), crops=2)
    return told | {"shown": sorted(shown)}


CALLS = {"report": report, "family": family, "nodes": nodes, "host": host, "refusals": refusals, "codec": codec}


def main() -> None:
    """Answer requests until the input ends."""
    for line in sys.stdin:
        request = json.loads(line)
        try:
            with torch.inference_mode():
                answer = {"result": CALLS[request["call"]](*request["args"])}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()}
        print("\n@" + json.dumps(answer), flush=True)


if __name__ == "__main__":
    comfyui, root = Path(sys.argv[1]), Path(sys.argv[2])
    sys.argv = [sys.argv[0], "--cpu"]
    sys.path.insert(0, str(comfyui))
    import comfy.options

    comfy.options.enable_args_parsing()
    tiny = load("tiny_models", HERE / "tiny_models.py")
    import comfy.model_management  # noqa: F401 - by which the pack sees that it is hosted

    PACK = load("qs native pack", root / "__init__.py")
    main()
