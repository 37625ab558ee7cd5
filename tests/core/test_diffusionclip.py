"""DiffusionCLIP's figures: sequences, walks, mixtures, losses and a training iteration, as its own code gives them."""

import copy
import json

import pytest
import torch
from torch.nn.functional import normalize

from qs_core.features.clip import TextDirection
from qs_core.finetune import FineTuning, Training
from qs_core.losses import directional
from qs_core.losses.base import Term, View
from qs_core.losses.directional import L1, DirectionalCLIP
from qs_core.model import DiffusionModel
from qs_core.samplers import ddim_step, invert, sample
from qs_core.schedule import make_schedule
from qs_core.styles import Weight, mixed
from tests.core.networks import load_unet

LOSSES = {"rtol": 1e-4, "atol": 1e-5}  # stated by golden/README.md
STATES = {"rtol": 1e-4, "atol": 1e-4}
NETWORKS = ("ddpm_small", "adm_scale_shift")
SCHEDULE = make_schedule("400:6")


@pytest.fixture(scope="module")
def figures(golden):
    return golden("diffusionclip_walk")


def scaled(network, factor: float):
    """The fine-tuned network of the figures: every parameter times a factor."""
    tuned = copy.deepcopy(network)
    for parameter in tuned.parameters():
        parameter.data.mul_(factor)
    return tuned


@pytest.fixture(scope="module", params=NETWORKS)
def one(request, weights, figures):
    """A network's model, its figures, and models of every parameter times 0.9 and times 1.05."""
    options = {"num_head_channels": 16} if request.param == "adm_scale_shift" else {}
    network = load_unet(weights(request.param), **options)
    variance = "learned" if options else "fixed_small"
    models = [DiffusionModel(net, variance=variance) for net in (network, scaled(network, 0.9), scaled(network, 1.05))]
    its = {key.partition("/")[2]: value for key, value in figures.items() if key.startswith(request.param)}
    return models, its


def test_the_points_are_the_references(figures):
    for name, points in json.loads(figures["sequences"]).items():
        highest, count = map(int, name.split(","))
        if count <= highest + 1:
            assert make_schedule(f"{highest}:{count}").timesteps.tolist() == points, name
    torch.testing.assert_close(torch.from_numpy(SCHEDULE.alpha_bar), figures["alphas_cumprod/f64"])


def drawn(one, styles, share=1.0):
    (model, *_), its = one
    guide = mixed(model, SCHEDULE, styles, share)
    return [step.x for step in sample(model, SCHEDULE, its["latent"], 5, ddim_step(), guide, last=0)][-1]


class TestWalk:
    def test_inversion(self, one, figures):
        (model, *_), its = one
        steps = list(invert(model, SCHEDULE, figures["source"].float(), 5))
        torch.testing.assert_close(steps[0].x, its["inverted_first_step"], **STATES)
        torch.testing.assert_close(steps[-1].x, its["latent"], **STATES)

    def test_reconstruction(self, one):
        _, its = one
        torch.testing.assert_close(drawn(one, [(one[0][1], Weight())], 0.0), its["reconstruction"], **STATES)
        # Where no style has a weight the model holds alone.
        torch.testing.assert_close(drawn(one, [(one[0][1], Weight(((0, 0.0),)))]), its["reconstruction"], **STATES)

    def test_half_of_each_prediction(self, one):
        (_, tuned, _), its = one
        torch.testing.assert_close(drawn(one, [(tuned, Weight())], 0.5), its["mixed_half"], **STATES)
        even = torch.full((1, 1, 32, 32), 0.5)
        torch.testing.assert_close(drawn(one, [(tuned, Weight())], even), its["mixed_half"], **STATES)

    def test_several_styles_with_weights_over_the_walk(self, one):
        (_, first, second), its = one
        styles = [(first, Weight(((300, 0.4), (0, 0.3)))), (second, Weight(((300, 0.6), (0, 0.1))))]
        torch.testing.assert_close(drawn(one, styles), its["hybrid"], **STATES)


class Stub:
    """The figures' CLIP: normalised pixels times a matrix."""

    def __init__(self, figures):
        config = json.loads(figures["config"])
        self.image_size, self.projection = config["clip_pixels"], figures["projection"].float()
        self.mean, self.std = (torch.tensor(config[key]).view(3, 1, 1) for key in ("mean", "std"))

    def encode_image(self, pictures):
        return (((pictures + 1) / 2 - self.mean) / self.std).flatten(1) @ self.projection


def text(figures) -> TextDirection:
    """The figures' phrases, embedded with templates as `CLIP.encode_text` does."""
    source, target = (normalize(figures[f"text_{key}_raw"].float(), dim=-1).mean(0) for key in ("source", "target"))
    return TextDirection(Stub(figures), source, target[None], torch.ones(1), "photo", ("a style",))


@pytest.fixture(scope="module")
def its(golden):
    return golden("diffusionclip_losses")


class TestLosses:
    def test_text_direction(self, its):
        said = text(its)
        torch.testing.assert_close(normalize(said.targets - said.source, dim=-1), its["text_direction"], **LOSSES)

    @pytest.mark.parametrize("antialias", [False, True])
    def test_of_pictures(self, its, antialias):
        source, output = its["x0"].float(), its["output"].float().requires_grad_()
        view, key = View(output, output, 0), f"antialias{antialias:d}"
        clip = DirectionalCLIP(text(its), antialias=antialias).against(source, ())(view)["directional"]
        l1 = L1().against(source, ())(view)["l1"]
        torch.testing.assert_close(clip.item(), its[f"{key}/loss_clip"], **LOSSES)
        torch.testing.assert_close(l1.item(), its["loss_l1"], **LOSSES)
        torch.testing.assert_close((3 * clip + l1).item(), its[f"{key}/total_3_1"], rtol=1e-4, atol=0)
        for loss, expected in ((clip, f"{key}/grad_clip_image"), (l1, "grad_l1_image")):
            gradient = torch.autograd.grad(loss, output)[0]
            torch.testing.assert_close(gradient, its[expected], rtol=0, atol=1e-4 * float(its[expected].abs().max()))

    def test_of_embeddings(self, its):
        output = its["embeddings_output"].float().requires_grad_()
        distance = directional.directional(its["embeddings_source"].float(), output, its["text_direction"]).mean()
        torch.testing.assert_close(distance.item(), its["embeddings/loss_directional"], **LOSSES)
        loss = directional.logarithmic(distance)
        torch.testing.assert_close(loss.item(), its["embeddings/loss_clip"], **LOSSES)
        for value, name in ((distance, "directional"), (loss, "clip")):
            gradient = torch.autograd.grad(value, output, retain_graph=True)[0]
            expected = its[f"embeddings/grad_{name}"]
            torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


class TestTraining:
    RATE = 8e-6

    def run(self, one, golden, tmp_path, **options):
        (model, *_), its = one
        settings = Training(("a style",), start=400, points=2, epochs=1, rank=0, crops=0, **options)
        clip = DirectionalCLIP(text(golden("diffusionclip_losses")), antialias=False)
        terms = (Term(3.0, clip), Term(1.0, L1()))
        source = golden("diffusionclip_walk")["source"].float()
        training = FineTuning(model, source, terms, settings, tmp_path)
        before = {name: weight.detach().clone() for name, weight in training.weights.items()}
        return training, before, its, source

    def check_delta(self, training, before, its, kind):
        for key in [key for key in its if key.startswith(f"{kind}/delta/")]:
            name, expected = key.removeprefix(f"{kind}/delta/"), its[key]
            delta = training.weights[name].detach() - before[name]
            gradient = its.get(f"finetune/grad/{name}")
            # Adam's first steps go by the gradient's sign; where it is nearly 0 that is rounding's.
            clear = gradient.abs() > 1e-4 * gradient.abs().max()
            if name == "middle_block.1.qkv.bias":  # a softmax ignores what is added to all keys
                clear &= (torch.arange(len(delta)) % 48 < 16) | (torch.arange(len(delta)) % 48 >= 32)
            assert clear.sum() > 2
            torch.testing.assert_close(delta[clear], expected[clear], rtol=0, atol=0.02 * self.RATE)

    def test_one_unrolled_iteration(self, one, golden, tmp_path):
        training, before, its, _ = self.run(one, golden, tmp_path)
        (done,) = training.train(its["latent"])
        assert 3 * done.losses["directional"] + done.losses["l1"] == pytest.approx(
            its["finetune/loss_before"], rel=1e-4
        )
        torch.testing.assert_close(done.picture[None], its["finetune/output_before"], **STATES)
        names = json.loads(its["finetune/grad_norm_names"])
        norms = torch.stack([training.weights[name].grad.norm() for name in names])
        expected = its["finetune/grad_norms"]
        torch.testing.assert_close(norms, expected, rtol=1e-3, atol=1e-4 * float(expected.max()))
        self.check_delta(training, before, its, "finetune")

    def test_stepwise(self, one, golden, tmp_path):
        if not any(key.startswith("finetune_efficient") for key in one[1]):
            pytest.skip("no figures of this network")
        training, before, its, _ = self.run(one, golden, tmp_path, stepwise=True)
        (done,) = training.train(its["latent"])
        met = 3 * done.losses["directional"] + done.losses["l1"]
        assert met == pytest.approx(float(its["finetune_efficient/loss_before"][1]), rel=1e-4)
        self.check_delta(training, before, its, "finetune_efficient")
