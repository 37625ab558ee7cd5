"""Loss nodes: what they add, what they replace, and what their windows and layers come to."""

import os
import sys
from types import ModuleType

import pytest
import timm
import torch


@pytest.fixture(scope="session")
def inversion(invert, photo):
    return invert(photo)


@pytest.fixture(scope="session")
def plain(inversion, sample):
    return sample(inversion)


@pytest.fixture(scope="session")
def term(pack, inversion, text):
    """A function: the only term of what a loss node gives, for the small picture."""
    base = pack.part("qs_core.settings").Settings(prompts=("x",))

    def build(losses):
        with torch.inference_mode(False):
            (term,) = [recipe.term(base, inversion.inversion, text) for recipe in losses]
        return term

    return build


def test_nodes_chain_and_leave_what_came_in_alone(pack):
    first = pack("QSMSELoss", weight=1.0)
    both = pack("QSRangeLoss", weight=2.0, losses=first)
    assert [recipe.kind for recipe in first] == ["mse"]
    assert [recipe.kind for recipe in both] == ["mse", "range"]


@pytest.mark.parametrize(
    "chain",
    [
        ["QSMSELoss"],
        ["QSContrastiveLoss"],
        ["QSRangeLoss", "QSContrastiveLoss", "QSMSELoss"],
    ],
)
def test_a_loss_with_the_sampler_s_own_values_changes_nothing(pack, inversion, sample, plain, chain):
    losses = ()
    for node in chain:
        losses = pack(node, losses=losses)
    assert torch.equal(sample(inversion, losses=losses), plain)


def test_a_clip_loss_with_the_sampler_s_own_values_changes_nothing(pack, inversion, sample, plain):
    assert torch.equal(sample(inversion, losses=pack("QSCLIPLoss", crops=4)), plain)


def test_one_of_a_kind_takes_the_place_of_the_sampler_s(pack, inversion, sample, plain):
    without = sample(inversion, contrastive=0.0)
    assert (without - plain).abs().max() > 1e-3
    assert torch.equal(sample(inversion, losses=pack("QSContrastiveLoss", weight=0.0)), without)


def test_two_of_a_kind_add_up(pack, inversion, sample):
    once = sample(inversion, losses=pack("QSMSELoss", weight=4000.0))
    halves = sample(inversion, losses=pack("QSMSELoss", weight=1000.0, losses=pack("QSMSELoss", weight=3000.0)))
    assert torch.allclose(once, halves, atol=1e-5)  # two sums instead of one


def test_a_second_text_pulls_elsewhere(pack, inversion, sample, plain, text):
    golden = pack("CLIPTextDirection", clip=text.clip, prompt="golden")
    its = sample(inversion, losses=pack("QSCLIPLoss", crops=4, text=golden))
    direct = pack("QSAttnGuidedSampler", inversion=inversion, text=golden, crops=4)
    assert torch.equal(its, direct)
    assert (its - plain).abs().mean() > 1e-3


def test_weights_are_rescaled_to_the_picture(pack, term):
    assert term(pack("QSMSELoss", weight=6400.0)).weight == 6400.0 / 64  # 32x32 to 256x256


def test_a_share_of_the_walk_is_a_window_of_timesteps(pack, term, inversion):
    timesteps = inversion.inversion.schedule.timesteps.tolist()
    assert inversion.inversion.start == 3
    windows = {(0.0, 1.0): (3, 1), (0.0, 0.34): (3, 2), (0.34, 1.0): (1, 1), (0.3, 0.6): (2, 2)}
    for (begin, end), (first, last) in windows.items():
        made = term(pack("QSMSELoss", start_percent=begin, end_percent=end))
        assert (made.start, made.stop) == (timesteps[first], timesteps[last]), (begin, end)


def test_a_window_without_a_step_is_named(pack, term, input_error):
    with pytest.raises(input_error, match="start_percent 0.5 must be below end_percent 0.5"):
        pack("QSMSELoss", start_percent=0.5, end_percent=0.5)
    with pytest.raises(input_error, match=r"Between 0.4 and 0.6 of the walk there is no step; it has 3 steps"):
        term(pack("QSMSELoss", start_percent=0.4, end_percent=0.6))


def test_layers_narrow_the_contrastive_loss(pack, term, inversion):
    core, source = inversion.model.core, inversion.inversion.source
    resolutions = [32 // layer.factor for layer in core.content_layers()]
    every, shallow = (term(pack("QSContrastiveLoss", layers=layers)).loss for layers in ("", str(resolutions[0])))
    assert len(every.encode(source)) == len(resolutions)
    maps = shallow.encode(source)
    assert [f.shape[-1] for f in maps] == [r for r in resolutions if r == resolutions[0]]
    assert shallow.anchors.attend == frozenset(range(len(maps))[-2:])
    named = term(pack("QSContrastiveLoss", layers="32,16", attend="16")).loss
    assert [r for k, r in enumerate(r for r in resolutions if r in (32, 16)) if k in named.anchors.attend] == [16] * (
        resolutions.count(16)
    )


def test_a_share_of_many_steps_is_not_rounded_up(pack, inversion):
    """0.28 of 25 steps are 7, not the 8 that float arithmetic's 7.000000000000001 would make of it."""
    from dataclasses import replace

    losses, walk = pack.part("nodes.losses"), inversion.inversion
    walk = replace(walk, schedule=walk.model.schedule("50"), start=25)
    timesteps = walk.schedule.timesteps.tolist()
    assert losses.window(walk, (0.28, 0.56)) == (timesteps[25 - 7], timesteps[25 - 14 + 1])


def test_layers_that_attend_but_are_left_out_are_named(pack, term, input_error):
    message = "attend names resolution 16, which layers leaves out; there are 32. Choose among those, or leave attend"
    with pytest.raises(input_error, match=message):
        term(pack("QSContrastiveLoss", layers="32", attend="32,16"))
    assert term(pack("QSContrastiveLoss", layers="32", attend="all")).loss.anchors.attend


@pytest.mark.parametrize("order", [["preset", "node"], ["node", "preset"]])
def test_a_loss_node_takes_the_place_of_a_preset_s_wherever_it_stands(pack, inversion, sample, order):
    losses = ()
    for which in order:
        if which == "node":
            losses = pack("QSMSELoss", weight=7.0, losses=losses)
        else:
            losses = pack.outputs("QSStylePreset", style_name="mosaic (ImageNet)", losses=losses)[2]
    merged = pack.part("nodes.sampling").merged(losses)
    assert [recipe.settings["mse"] for recipe in merged if recipe.kind == "mse"] == [7.0]
    assert [recipe.kind for recipe in merged] == ["clip", "contrastive", "mse", "range"]


def test_tau_reaches_the_loss(pack, term):
    assert term(pack("QSContrastiveLoss", tau=0.5)).loss.tau == 0.5


def test_mistakes_are_named_on_the_loss_s_own_node(pack, term, input_error):
    with pytest.raises(input_error, match="attend 'deep' is not understood"):
        pack("QSContrastiveLoss", attend="deep")
    with pytest.raises(input_error, match="Crop area 0.5, 0.2"):
        pack("QSCLIPLoss", crop_area_min=0.5, crop_area_max=0.2)
    message = "No layer has resolution 7; at 32x32 there are 32, 16, 8, 4. Leave layers empty"
    with pytest.raises(input_error, match=message):
        term(pack("QSContrastiveLoss", layers="7"))


@pytest.fixture
def vgg_file(pack, monkeypatch, tmp_path):
    """A random VGG-19 in the VGG folder, as vgg.pth."""
    features, folder, losses = (pack.part(name) for name in ("qs_core.features.vgg", "nodes.folders", "nodes.losses"))
    torch.manual_seed(0)
    state = {name: 0.05 * torch.randn(value.shape) for name, value in features._empty_features().state_dict().items()}
    torch.save(state, tmp_path / "vgg.pth")
    folders = ModuleType("folder_paths")
    folders.get_filename_list = lambda kind: [path.name for path in tmp_path.glob("*.pth")]
    folders.get_full_path_or_raise = lambda kind, name: str(tmp_path / name)
    folders.get_folder_paths = lambda kind: [str(tmp_path)]
    monkeypatch.setitem(sys.modules, "folder_paths", folders)
    monkeypatch.setattr(folder, "vgg_names", lambda: ["torchvision", *folders.get_filename_list("qs_vgg")])
    losses._vgg.cache_clear()
    return tmp_path / "vgg.pth"


def test_vgg_without_its_weights_says_where_they_belong(pack, input_error, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))  # where torchvision's cache is
    with pytest.raises(
        input_error, match=r"No VGG-19 weights at .*Fetch https://.*, or put it into .*models/qs_vgg, press"
    ):
        pack("QSVGGLoss")
    (recipe,) = pack("QSVGGLoss", weight=0.0)
    assert recipe.network is None  # a weight of 0 needs no file


@pytest.mark.parametrize("name", ["\\\\host\\share\\vgg.pth", "/etc/passwd", "../vgg.pth", "", "other.pth"])
def test_no_other_path_is_read_for_vgg(pack, input_error, vgg_file, monkeypatch, name):
    """A shared workflow may name a network share, and to ask for it is to log in there."""
    monkeypatch.setattr(pack.part("nodes.losses"), "load_vgg", lambda *_: pytest.fail("read"))
    assert "There is no VGG-19 file" in pack.classes["QSVGGLoss"].VALIDATE_INPUTS(name)
    with pytest.raises(input_error, match="There is no VGG-19 file .* or choose torchvision"):
        pack("QSVGGLoss", weights_file=name)


def test_vgg_guides_with_a_file_of_the_folder(pack, inversion, sample, plain, vgg_file):
    assert pack.classes["QSVGGLoss"].VALIDATE_INPUTS("vgg.pth") is True
    losses = pack("QSVGGLoss", weight=5000.0, weights_file="vgg.pth")
    assert (sample(inversion, losses=losses) - plain).abs().max() > 1e-3


def test_vgg_is_read_anew_only_where_the_file_changed(pack, vgg_file):
    (first,), (again,) = (pack("QSVGGLoss", weight=w, weights_file="vgg.pth") for w in (1.0, 2.0))
    assert again.network is first.network
    os.utime(vgg_file, ns=(1, 1))
    (changed,) = pack("QSVGGLoss", weights_file="vgg.pth")
    assert changed.network is not first.network


def test_a_preset_does_not_load_the_vgg_that_another_takes_the_place_of(pack, vgg_file, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    mine = pack("QSVGGLoss", weight=3.0, weights_file="vgg.pth")
    losses = pack.outputs("QSStylePreset", style_name="mosaic (ImageNet)", vgg=True, losses=mine)[2]
    assert [recipe.settings["vgg"] for recipe in losses if recipe.kind == "vgg"] == [3.0]


def test_the_guiding_clip_s_own_transformer_needs_no_file(pack, inversion, sample, plain):
    losses = pack("QSViTLoss")
    assert losses[0].network is None and (sample(inversion, losses=losses) - plain).abs().max() > 1e-3
    off = {name: 0.0 for name in ("vit_structure", "vit_contrastive")}
    assert torch.equal(sample(inversion, losses=pack("QSViTLoss", **off)), plain)


def test_a_style_loss_wants_a_style_picture(pack, inversion, sample, plain, text, input_error):
    losses = pack("QSViTLoss", vit_structure=0.0, vit_contrastive=0.0, vit_style=1e5)
    with pytest.raises(input_error, match="vit_style compares with a style picture, and there is none"):
        sample(inversion, losses=losses)
    style = pack("QSStylePicture", clip=text.clip, image=pack("QSSampleImage", picture="swirls"), text=text)
    towards, without = (
        pack("QSAttnGuidedSampler", inversion=inversion, text=style, crops=4, losses=each) for each in (losses, ())
    )
    assert (towards - without).abs().max() > 1e-3


@pytest.mark.parametrize("node", ["QSViTLoss", "QSIdentityLoss"])
def test_no_other_path_is_read_for_their_weights(pack, input_error, node):
    for name in ("\\\\host\\share\\dino.pth", "/etc/passwd", "../x.pth", ""):
        assert "There is no" in pack.classes[node].VALIDATE_INPUTS(name)
        with pytest.raises(input_error, match="There is no .* file"):
            pack(node, weights_file=name)


def test_a_vit_of_a_file_guides(pack, inversion, sample, plain, monkeypatch, tmp_path):
    losses, vit = pack.part("nodes.losses"), pack.part("qs_core.features.vit")
    (tmp_path / "dino.pth").write_bytes(b"weights")
    monkeypatch.setattr(losses, "vit_path", lambda name: tmp_path / name)
    made = timm.create_model("vit_tiny_patch16_224", num_classes=0, depth=1, dynamic_img_size=True)
    read = []
    monkeypatch.setattr(
        losses, "load_vit", lambda name, path: read.append((name, path)) or vit.ViT(made, (0.5,) * 3, (0.5,) * 3)
    )
    losses._vit.cache_clear()
    chosen = [pack("QSViTLoss", weights_file="dino.pth", vit_structure=weight) for weight in (1e5, 2e5)]
    assert read == [("vit_base_patch8_224.dino", tmp_path / "dino.pth")]
    assert chosen[0][0].network is chosen[1][0].network
    assert (sample(inversion, losses=chosen[1]) - plain).abs().max() > 1e-3
