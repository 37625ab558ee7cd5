"""A walk inside of a host's guider, on a stand-in for ComfyUI with a tiny network and a linear VAE."""

from dataclasses import replace

import pytest
import torch

from tests.nodes.fake_host import VAE, BaseModel, Cancelled, CFGGuider, Exploding, Flow, Host, ModelPatcher

SAMPLINGS = pytest.mark.parametrize("sampling", [Exploding, Flow])
SIZE = 32


@pytest.fixture
def host(monkeypatch):
    """The stand-in; nothing is left of a walk at its end."""
    host = Host(monkeypatch)
    yield host
    assert CFGGuider.prepared == 0 and host.management.in_training is False


@pytest.fixture
def native(host, pack):
    """A QS_MODEL of a host's model whose weights were made in inference mode, and the host's hold on it."""

    def make(sampling=Exploding, node="UseNativeModel", **given):
        with torch.inference_mode():
            patcher, vae = ModelPatcher(BaseModel(sampling())), VAE()
        return pack(node, model=patcher, vae=vae, positive=[{"uuid": 1}], **given), patcher

    return make


def leftovers(patcher):
    """Hooks, replaced functions and options that a walk has forgotten."""
    network = patcher.model.diffusion_model
    hooks = [part for part in network.modules() if part._forward_hooks or part._forward_pre_hooks]
    return hooks + [part for part in network.modules() if "forward" in vars(part)] + list(
        patcher.model_options["transformer_options"]
    )  # fmt: skip


def held(loaded, work, size=(SIZE, SIZE)):
    return loaded.hold(work, [], 0, size)


def noise(*shape, seed=3):
    return torch.randn(shape, generator=torch.manual_seed(seed))


@SAMPLINGS
def test_a_state_walks_there_and_back_the_better_the_more_steps(native, pack, sampling):
    loaded, patcher = native(sampling)
    samplers, transfer = pack.part("qs_core.samplers"), pack.part("qs_core.transfer")
    core, z = loaded.core, noise(1, 12, 16, 16) / 2

    def error(steps):
        schedule = core.schedule(str(steps))
        *_, noisy = samplers.invert(core, schedule, z, steps // 2)
        *_, back = samplers.sample(core, schedule, noisy.x, steps // 2, transfer.step_function("ddim"))
        return float((back.x - z).norm() / z.norm())

    errors = held(loaded, lambda: [error(steps) for steps in (10, 40, 160)])
    assert errors[2] < errors[1] / 2 < errors[0] / 4 and errors[2] < 0.1
    assert not leftovers(patcher)


@SAMPLINGS
def test_the_gradient_goes_through_the_codec_and_the_host_s_network(native, pack, sampling):
    loaded, _ = native(sampling)
    part = pack.part
    guidance, mse, base = part("qs_core.guidance"), part("qs_core.losses.pixel").MSE, part("qs_core.losses.base")
    core, z, direction = loaded.core, noise(1, 12, 16, 16), noise(1, 12, 16, 16, seed=4)
    source = noise(1, 3, SIZE, SIZE, seed=5)

    def slopes():
        bound = guidance.bind((base.Term(100.0, mse()),), source, [0], core.to_state(source))
        guided = guidance.Guidance(core, core.schedule("20"), bound)
        own = float((guided(z, 8).gradient * direction).sum())
        values = [float(guided(z + sign * 1e-2 * direction, 8).losses["mse"]) for sign in (1, -1)]
        return own, 100 * (values[0] - values[1]) / 2e-2

    own, numeric = held(loaded, slopes)
    assert own == pytest.approx(numeric, rel=1e-2) and abs(own) > 1e-3


def test_content_is_read_from_the_network_s_own_blocks_with_a_gradient(native):
    loaded, patcher = native()
    core, z = loaded.core, noise(1, 12, 16, 16).requires_grad_()

    def read():
        maps = core.features(z)
        (gradient,) = torch.autograd.grad(maps[-1].square().mean(), z)
        return maps, gradient

    maps, gradient = held(loaded, read)
    assert [tuple(one.shape) for one in maps] == [(1, 16, 16, 16), (1, 16, 16, 16), (1, 16, 8, 8)]
    assert gradient.abs().max() > 0 and not leftovers(patcher)


@pytest.fixture
def restyle(pack, text, photo, host):
    """The nodes' picture of the photo; the CLIP, made without the host, is held by it."""
    clip = replace(text.clip, patcher=ModelPatcher(text.clip.core.network))
    text = replace(text, clip=clip)

    def run(loaded, size=SIZE, **options):
        walk = {"steps": 6, "skip": 3, "size": size, "preview_every": 0}
        inversion = pack("EncodeInvertDDIM", model=loaded, image=photo, **walk)
        given = {"crops": 2, "preview_every": 0, **options}
        return pack("QSAttnGuidedSampler", inversion=inversion, text=text, **given)

    return run


@SAMPLINGS
def test_the_nodes_restyle_and_what_is_masked_stays(native, restyle, photo, sampling):
    loaded, patcher = native(sampling)
    plain = restyle(loaded)
    assert plain.shape == photo.shape and (plain - photo).abs().mean() > 0.01
    assert torch.equal(plain, restyle(loaded))
    assert torch.equal(restyle(loaded, strength=0.0), photo)
    mask = torch.zeros(1, SIZE, SIZE)
    mask[..., :16] = 1
    half = restyle(loaded, mask=mask, feather=0)
    assert torch.equal(half[:, :, 16:], photo[:, :, 16:]) and not torch.equal(half[:, :, :16], photo[:, :, :16])
    unguided = restyle(loaded, style=0.0, content=0.0, range=0.0)
    assert (plain - unguided).abs().mean() > 1e-3
    assert not leftovers(patcher)


def test_guided_at_x0_alone_content_on_features_is_refused(native, restyle, input_error):
    loaded, _ = native(node="UseNativeModelX0")
    with pytest.raises(input_error, match="x0 alone"):
        restyle(loaded, size=64)
    options = {"size": 64, "contrastive": 0.0}
    plain, unguided = (restyle(loaded, **options, **more) for more in ({}, {"style": 0.0, "content": 0.0}))
    assert not torch.equal(plain, unguided)


def test_after_an_error_in_the_middle_the_host_is_as_before(native, restyle):
    loaded, patcher = native()
    before = restyle(loaded)
    runs, network = [], patcher.model.diffusion_model

    def fail(module, inputs):
        runs.append(1)
        if len(runs) == 5:  # after the inversion's three runs
            raise ArithmeticError("in the middle")

    handle = network.register_forward_pre_hook(fail)
    with pytest.raises(ArithmeticError, match="in the middle"):
        restyle(loaded)
    handle.remove()
    assert len(runs) == 5 and not leftovers(patcher) and CFGGuider.prepared == 0
    assert torch.equal(restyle(loaded), before)


def test_the_host_s_cancel_passes_through_and_leaves_nothing(native, restyle, host):
    loaded, patcher = native()

    def press(module, inputs, output):
        host.cancelled = True

    handle = patcher.model.diffusion_model.register_forward_hook(press)
    with pytest.raises(Cancelled):
        restyle(loaded)
    handle.remove()
    host.cancelled = False
    assert not leftovers(patcher)


def test_weights_that_are_loaded_in_part_are_refused(native, restyle, host, input_error):
    loaded, _ = native()
    host.partly = True
    with pytest.raises(input_error, match="does not fit into memory as a whole"):
        restyle(loaded)


def test_a_patch_that_stops_the_gradient_is_found(native, input_error):
    loaded, patcher = native()
    network = patcher.model.diffusion_model
    core, z = loaded.core, noise(1, 12, 16, 16)
    handle = network.register_forward_hook(lambda module, inputs, output: output.detach())
    with pytest.raises(input_error, match="stops the gradient"):
        held(loaded, lambda: core.linearize(z, core.schedule("20"), 8))
    handle.remove()


def test_outside_of_its_session_a_native_model_says_so(native):
    loaded, _ = native()
    with pytest.raises(RuntimeError, match="outside of its session"):
        loaded.core.predict(noise(1, 12, 16, 16), loaded.core.schedule("20"), 3)
