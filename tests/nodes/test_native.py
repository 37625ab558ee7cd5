"""The native models' parts that need no ComfyUI, on stand-ins for the host's objects."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from qs_core import codec
from qs_core.guidance import Guidance, bind
from qs_core.losses.base import Term
from qs_core.losses.layers import choose_layers
from qs_core.losses.pixel import MSE
from qs_core.model import DiffusionModel
from tests.nodes.fake_host import Exploding, Flow


@pytest.mark.parametrize("sampling, share", [(Exploding(), lambda s: 1 + 0 * s), (Flow(), lambda s: 1 - s)])
def test_the_host_s_levels_are_a_variance_preserving_schedule(pack, sampling, share):
    table = pack.part("nodes.native.levels").levels(sampling)
    sigma, a = table.sigma, share(table.sigma)
    np.testing.assert_allclose(table.alpha_bar, a**2 / (a**2 + sigma**2), rtol=2e-3)
    np.testing.assert_allclose(table.norm, np.sqrt(a**2 + sigma**2), rtol=1e-5)
    assert len(sigma) == 1000 and (np.diff(table.alpha_bar) < 0).all()
    assert table.alpha_bar[-1] >= 1e-5  # x0 can be told even from the noisiest state
    schedule = table.schedule("50")
    np.testing.assert_array_equal(schedule.alpha_bar, table.alpha_bar[schedule.timesteps])
    np.testing.assert_allclose(np.cumprod(1 - schedule.betas), schedule.alpha_bar)


def test_weights_of_inference_mode_are_made_usable_in_place(pack):
    with torch.inference_mode():
        network = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.BatchNorm1d(4)).eval()
    places = [tensor.data_ptr() for tensor in network.state_dict().values()]
    x = torch.randn(2, 4, requires_grad=True)
    with pytest.raises(RuntimeError, match="[Ii]nference tensors"):
        network(x).sum().backward()
    pack.part("nodes.native.thaw").thaw_module(network)
    network(x).sum().backward()
    assert x.grad.abs().max() > 0
    assert [tensor.data_ptr() for tensor in network.state_dict().values()] == places  # nothing was copied
    assert not any(weight.requires_grad for weight in network.parameters())


def test_recomputed_blocks_give_the_same_gradient_and_are_put_back(pack):
    block = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU())
    x, grads = torch.randn(3, 4, requires_grad=True), []
    for blocks in ([], [block]):
        with pack.part("nodes.native.differentiable").recomputing(blocks):
            loss = block(x).square().sum()
        grads.append(torch.autograd.grad(loss, x)[0])
    assert torch.equal(*grads) and "forward" not in vars(block)


def test_the_gain_is_divided_out(calm_model):
    """A codec that shrinks pictures' values by ten has ten times the pull; divided by its gain both are alike."""

    class Scaled(DiffusionModel):
        def to_state(self, picture):
            return picture / 10

        def to_picture(self, state):
            return 10 * state

    model = Scaled(calm_model.network)
    clean = torch.randn(2, 3, 16, 16, generator=torch.manual_seed(0)) / 10
    gain = codec.gain(model.to_picture, clean)
    assert gain.shape == (2, 1, 1, 1)
    torch.testing.assert_close(gain, torch.full_like(gain, 10.0), rtol=0.1, atol=0)
    bound = bind((Term(100.0, MSE()),), torch.zeros(2, 3, 16, 16), [0, 1], clean)
    schedule = model.schedule("20")
    plain, scaled = (Guidance(model, schedule, bound, gain=each)(clean, 5).gradient for each in (None, gain))
    torch.testing.assert_close(scaled, plain / gain)


@pytest.fixture
def calm_model(model):
    return model.core


def test_layers_of_one_size_are_named_by_number():
    same = SimpleNamespace(content_layers=lambda: [SimpleNamespace(factor=16)] * 4)
    assert choose_layers(same, 64, 96, None, None) == ([0, 1, 2, 3], frozenset({2, 3}))
    assert choose_layers(same, 64, 96, (1, 4), (4,)) == ([0, 3], frozenset({1}))
    with pytest.raises(ValueError, match="1 \\(shallow\\) to 4 \\(deep\\)"):
        choose_layers(same, 64, 96, None, (7,))
    assert choose_layers(same, 1024, 1024, None, (64,))[1] == frozenset({0, 1, 2, 3})


def test_a_vae_of_another_model_is_refused(pack, input_error):
    check = pack.part("nodes.native.adapters").check_vae
    vae = SimpleNamespace(latent_channels=4, spacial_compression_encode=lambda: 8)
    check(vae, SimpleNamespace(latent_channels=4))
    with pytest.raises(input_error, match="4 channels, the model 16"):
        check(vae, SimpleNamespace(latent_channels=16))
    with pytest.raises(input_error, match="pixel_space"):
        check(vae, SimpleNamespace(latent_channels=3))
