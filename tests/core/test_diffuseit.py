"""DiffuseIT against its own code's figures: losses on keys and class token, CLIP target, repeated first step."""

import json
import math
from types import SimpleNamespace

import pytest
import torch
from einops import rearrange
from timm.models import VisionTransformer

from qs_core import InputError, demo, pictures, samplers, stylize
from qs_core.blend import BlendMap
from qs_core.features.clip import TextDirection
from qs_core.features.pixels import standardise
from qs_core.features.vit import ViT
from qs_core.losses import clip as clip_loss
from qs_core.losses.base import Loss, Term, View
from qs_core.losses.clip import CLIPLoss
from qs_core.losses.pixel import Range
from qs_core.losses.vit import ViTLoss
from qs_core.presets import preset
from qs_core.randomness import seeded
from qs_core.schedule import make_schedule
from qs_core.settings import Settings
from qs_core.stylizer import Stylizer, complete

LOSSES = {"rtol": 1e-4, "atol": 1e-5}  # stated by golden/README.md
STATES = {"rtol": 1e-4, "atol": 1e-4}
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NAMES = {
    "vit_structure": "ssim",
    "vit_contrastive": "contrastive",
    "vit_divergence": "divergence",
    "vit_style": "target",
}
WEIGHTS = {"vit_structure": 1000.0, "vit_contrastive": 200.0, "vit_divergence": 100.0, "vit_style": 2000.0}


def gradients_agree(found, expected):
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


class TestTransformer:
    @pytest.fixture
    def figures(self, golden):
        return golden("diffuseit_vit")

    @pytest.fixture
    def network(self, figures, weights):
        vit = VisionTransformer(
            img_size=32,
            patch_size=8,
            embed_dim=16,
            depth=12,
            num_heads=2,
            mlp_ratio=2,
            num_classes=0,
            dynamic_img_size=True,
        )
        vit.load_state_dict(weights("diffuseit_vit"))
        read = ViT(vit, *IMAGENET)
        return SimpleNamespace(look=lambda pictures: read.look(pictures, side=32), graph_bytes=read.graph_bytes)

    @pytest.fixture
    def shown(self, figures):
        return {name: figures[name].float() for name in ("source", "output", "previous", "target")}

    def loss(self, network, values, style=None, **more):
        styles = () if style is None else (style[0],)
        return ViTLoss(network, frozenset(values), styles, (1.0,) * len(styles), **more)

    def test_keys_and_class_token(self, figures, network, shown):
        tokens = network.look(shown["output"])
        keys = rearrange(figures["antialias0/keys_output"], "h n d -> n (h d)")
        torch.testing.assert_close(tokens.keys[0], keys, **LOSSES)
        torch.testing.assert_close(tokens.cls[0], figures["antialias0/cls_output"], **LOSSES)

    @pytest.mark.parametrize("name", NAMES)
    def test_each_loss_and_its_gradient(self, figures, network, shown, name):
        against = shown["previous" if name == "vit_divergence" else "source"]
        bound = self.loss(network, [name], shown["target"] if name == "vit_style" else None).against(
            against, seeded([0])
        )
        output = shown["output"].clone().requires_grad_()
        value = bound(View(output, output, 600))[name]
        assert value.item() == pytest.approx(figures[f"antialias0/loss_{NAMES[name]}"], rel=1e-4, abs=1e-5)
        (gradient,) = torch.autograd.grad(value.sum(), output)
        gradients_agree(gradient, figures[f"antialias0/grad_{NAMES[name]}"])

    @pytest.mark.parametrize(
        "total, values, near", [("text_frac2", 3, 2.0), ("image", 4, 1.0)], ids=["text, phrase reached", "picture"]
    )
    def test_the_sum_of_a_step(self, figures, network, shown, total, values, near):
        """The step before is an evaluation of its own; one that is repeated for want of memory changes nothing."""
        names = list(NAMES)[:values]
        bound = self.loss(network, names, shown["target"] if values == 4 else None, near=near).against(
            shown["source"], seeded([0])
        )
        bound(View(shown["previous"], shown["previous"], 620, number=1))
        output = shown["output"].clone().requires_grad_()
        for _ in range(2):
            view = View(output, output, 600, number=2, last={"clip_target": torch.tensor([-0.6])})
            summed = sum(WEIGHTS[name] * value for name, value in bound(view).items())
        assert summed.item() == pytest.approx(figures[f"antialias0/total_{total}"], rel=1e-4)
        (gradient,) = torch.autograd.grad(summed.sum(), output)
        gradients_agree(gradient, figures[f"antialias0/grad_total_{total}"])

    def test_late_in_the_walk_nothing_diverges(self, figures, network, shown):
        bound = self.loss(network, list(NAMES)[:3], near=2.0, until=506).against(shown["source"], seeded([0]))
        view = View(shown["output"], shown["output"], 505, last={"clip_target": torch.tensor([-0.4])})
        summed = sum(WEIGHTS[name] * value for name, value in bound(view).items())
        assert summed.item() == pytest.approx(figures["antialias0/total_text_late"], rel=1e-4)

    def test_a_batch_is_its_pictures(self, figures, network, shown):
        """The reference sums over the batch, its contrastive loss excepted."""
        images, sources = (torch.cat([shown[a], shown[b]]) for a, b in (("output", "previous"), ("source", "target")))
        found = self.loss(network, list(NAMES)[:2]).against(sources, seeded([0, 1]))(View(images, images, 600))
        assert found["vit_structure"].sum().item() == pytest.approx(figures["antialias0/batch2_ssim"], rel=1e-4)
        assert found["vit_contrastive"].mean().item() == pytest.approx(
            figures["antialias0/batch2_contrastive"], rel=1e-4
        )


def test_clip_target_over_two_models(golden, monkeypatch):
    figures, values, of_source, crops = golden("diffuseit_clip"), [], [], {}
    config = json.loads(figures["config"])
    for model in config["models"]:
        projection = figures[f"{model}/projection"]

        def encode(images, projection=projection):
            return standardise(images, config["mean"], config["std"]).flatten(1) @ projection

        means = torch.stack([figures[f"{model}/text_{name}_raw"].mean(0) for name in ("source", "target")])
        stub = SimpleNamespace(image_size=8, encode_image=encode)
        text = TextDirection(stub, means[0], means[1:], torch.ones(1), "lion", ("leopard",), means=means)
        bound = CLIPLoss(text, targeted=True).against(figures["source"].float(), seeded([0]))
        torch.testing.assert_close(bound.aims[0], figures[f"{model}/target"], **LOSSES)
        crops[model] = figures[f"{model}/crops01"].clone().requires_grad_()
        monkeypatch.setattr(clip_loss, "cut", lambda *_, one=crops[model]: one * 2 - 1)
        part = bound._part(figures["source"].float(), None, 0, 8)
        values.append(part["clip_target"])
        of_source.append(bound.of_source["clip_target"])
    loss = sum(values) / 2
    torch.testing.assert_close(loss[None], figures["loss"], **LOSSES)
    torch.testing.assert_close(sum(of_source) / 2, figures["loss_of_source_image"], **LOSSES)
    for model, gradient in zip(crops, torch.autograd.grad(loss, list(crops.values())), strict=True):
        gradients_agree(gradient, figures[f"{model}/grad_crops01"])


class TestWalk:
    @pytest.fixture
    def figures(self, golden):
        return golden("diffuseit_walk")

    def test_the_first_step_is_repeated(self, learned, figures, monkeypatch):
        schedule, noises = learned.schedule("20"), iter(figures["ddpm/noises"].float())

        def guide(x_t, i):
            with torch.no_grad():
                prediction = learned.predict(x_t, schedule, i)
            checks = samplers.Checks(0)
            return samplers.Guided(prediction, -figures["gradient"].float(), {}, checks)

        monkeypatch.setattr(samplers, "normal", lambda *_: next(noises)[None])
        x = schedule.diffuse(figures["source"].float(), next(noises)[None], 3)
        torch.testing.assert_close(x, figures["ddpm/state_00_q_sample"], **STATES)
        walk = samplers.sample(learned, schedule, x, 3, samplers.ddpm_step, guide, seeded([0]), repeats=10)
        reached = list(walk)
        assert len(reached) == samplers.walk_length(3, 10) == 12
        for number, step in enumerate(reached[:10]):
            torch.testing.assert_close(step.x, figures[f"ddpm/state_{2 * number + 1:02}_p_sample"], **STATES)
        torch.testing.assert_close(reached[10].x, figures["ddpm/state_20_p_sample"], **STATES)
        assert [step.i for step in reached] == [2] * 10 + [1, 0]

    def test_noising_between_is_the_references(self, learned, figures):
        again = samplers.renoise(learned.schedule("20"), figures["step/sample"], figures["step/noise"].float(), 2)
        torch.testing.assert_close(again, figures["step/renoised"], **STATES)


class Told(Loss):
    """A range loss whose value a test says."""

    name = Range.name

    def __init__(self, values):
        self.values = values

    def against(self, source, generators):
        def loss(view):
            return {"range": 0 * view.x0.sum((1, 2, 3)) + self.values(source, view)}

        return loss


class TestRestart:
    SETTINGS = {"prompts": ("gold",), "sampler": "ddpm", "trust_radius": 0.0, "restart_above": 0.5}

    def walk(self, model, source, seeds, values, **settings):
        s = Settings(**{**self.SETTINGS, **settings})
        stylizer = Stylizer(model)
        inversion = complete(stylizer.invert(source, "6", 3, "noised", seeds))
        numbers = []
        guide = stylizer.guide(inversion, [Term(1.0, Told(values))], s, seeds, BlendMap(1.0, 1.0))
        return complete(guide, lambda reached: numbers.append((reached.rows.start, reached.number))), numbers

    def test_it_begins_anew_so_often_and_no_more(self, learned, picture):
        always, counted = self.walk(learned, picture(1), [5], lambda source, view: 1.0, restarts=2)
        assert counted == [(0, 1), (0, 1), (0, 1), (0, 2), (0, 3)]
        never, plain = self.walk(learned, picture(1), [5], lambda source, view: 0.0, restarts=2)
        assert plain == [(0, 1), (0, 2), (0, 3)] and not torch.allclose(always, never)
        without, _ = self.walk(learned, picture(1), [5], lambda source, view: 1.0)
        assert torch.equal(without, never)

    def test_one_of_a_batch_begins_anew_alone(self, learned, picture):
        sources = picture(1, 2)

        def second(source, view):
            return 1.0 if torch.equal(source[0], sources[1]) else 0.0

        together, counted = self.walk(learned, sources, [5, 6], second, restarts=1)
        assert counted == [(0, 1), (0, 2), (0, 3), (1, 1), (1, 1), (1, 2), (1, 3)]
        for row, seed in enumerate((5, 6)):
            alone, _ = self.walk(learned, sources[row : row + 1], [seed], second, restarts=1)
            assert torch.equal(together[row : row + 1], alone)

    def test_what_cannot_begin_anew_is_refused(self, learned, picture):
        given = {"size": 32, "steps": "6", "skip": 3, "restarts": 1}
        with pytest.raises(InputError, match="Take start noised"):
            stylize(demo.PICTURES["cat"], "golden", **given)
        with pytest.raises(InputError, match="its weight is 0"):
            stylize(demo.PICTURES["cat"], "golden", start="noised", range=0.0, **given)
        with pytest.raises(InputError, match="first_step_repeats 10 works with the sampler ddpm alone"):
            stylize(demo.PICTURES["cat"], "golden", first_step_repeats=10, size=32)


@pytest.mark.parametrize("name", ["Black Leopard (DiffuseIT)", "a picture (DiffuseIT)"])
def test_both_presets_run_whole_on_the_built_in_networks(name):
    """The walk begins where the reference's does, the losses are in the report, at strength 0 the photo comes out."""
    given = preset(name) | {"size": 32, "seed": 1}
    phrase = bool(given.pop("prompts"))
    style = demo.STYLE_PICTURES["swirls"]
    given |= {"prompt": "golden", "source_prompt": "photo"} if phrase else {"style_images": style}
    s = Settings(**preset(name))
    schedule = make_schedule(s.steps)
    assert schedule.timesteps[len(schedule) - s.skip] == {"100": 595, "200": 597}[s.steps]
    photo = pictures.fit(pictures.read(demo.PICTURES["cat"])[None], 32, 8, "crop")[0][0]
    short = {"steps": "10", "skip": 6, "restarts": 1}
    result = stylize(photo, **{**given, **short})
    assert result.picture.isfinite().all() and len(result.report["losses"]) == 13
    values = set(result.report["losses"][0])
    wished = {"vit_structure", "vit_contrastive", "vit_divergence", "range"}
    assert wished | ({"clip_target"} if phrase else {"vit_style", "style_pixels"}) <= values
    assert all(math.isfinite(v[0]) for row in result.report["losses"] for v in row.values())
    assert torch.equal(stylize(photo, **{**given, **short, "strength": 0.0}).picture, photo)


def test_several_clips_guide_together():
    """Of one CLIP given twice the second draws other crops. Values are their mean, and each has half of the weight."""
    given = {"size": 32, "steps": "6", "skip": 3, "crops": 4, "seed": 1}
    one, two = (stylize(demo.PICTURES["cat"], "golden", more_clips=more, **given) for more in ((), ("demo",)))
    (first,), (second,) = (result.report["losses"][0]["clip_global"] for result in (one, two))
    assert abs(first - second) < 0.2 and not torch.equal(one.picture, two.picture)
    with pytest.raises(InputError, match="open_clip has no model 'Vit'"):
        stylize(demo.PICTURES["cat"], "golden", more_clips=["Vit,openai"], **given)
