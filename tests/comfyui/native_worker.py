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
    pixels = max(2 * core.multiple, 64, core.family.least * core.ratio)
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
        return (core.predict(x, schedule, i).x0 * weights).sum()

    def pulled():
        return core.linearize(z, schedule, i)[1](weights, torch.zeros_like(z))

    runs, counted = [], part("nodes.native.families").blocks(core.network, core.family)
    handles = [block.register_forward_hook(lambda *_: runs.append(1)) for block in counted]
    plain, once = pulled(), len(runs)
    with checkpointing(True):
        again = pulled()
    for handle in handles:
        handle.remove()
    out = {"network": pair(network, z, 1e-3), "recomputed": float((plain - again).norm() / plain.norm())}
    out["blocks"] = [len(counted), once, len(runs) - once]
    out["features"] = pair(lambda x: core.features(x)[-1].square().mean(), z, 1e-3)
    with torch.no_grad():
        out["maps"] = [list(one.shape) for one in core.features(z)]
    sides = [z.shape[-1] * core.ratio // layer.factor for layer in core.content_layers()]
    out["sides"] = sides
    picture = core.to_picture(z).detach()
    target = core.to_picture(noise(*z.shape, seed=9)).detach()
    out["codec"] = pair(lambda x: (core.to_picture(x) * target).mean(), z, 1e-3)
    out["gain"] = float(core.gain(z))
    terms = [content.content_term(core, 1.0, anchors("global", 16, frozenset({0})))]
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


CALLS = {"family": family}


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
    PACK = load("qs native pack", root / "__init__.py")
    import comfy.model_management  # noqa: F401

    main()
