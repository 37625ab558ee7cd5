"""Every node, called under inference mode as ComfyUI does, without ComfyUI."""

import pytest
import torch


def is_plain(tensor: torch.Tensor) -> bool:
    return not tensor.requires_grad and tensor.grad_fn is None


def test_restyles_under_inference_mode_and_returns_a_plain_image(invert, sample, photo):
    assert photo.is_inference()
    result = sample(invert(photo))
    assert result.shape == (1, 32, 32, 3)
    assert result.dtype == torch.float32 and is_plain(result)
    assert 0 <= result.min() and result.max() <= 1
    assert (result - photo).abs().mean() > 0.01


def test_weights_moved_in_inference_mode_are_made_fit_again(pack, text, photo):
    model = pack("LoadDiffusionModel")
    with torch.inference_mode():
        model.core.network.double()
        model.core.network.float()  # what ComfyUI's memory management does to weights
    assert all(p.is_inference() for p in model.core.network.parameters())
    inversion = pack("EncodeInvertDDIM", model=model, image=photo, size=32, steps=6, skip=3)
    pack("QSAttnGuidedSampler", inversion=inversion, text=text, crops=2)
    assert not any(p.is_inference() or p.requires_grad for p in model.core.network.parameters())


def test_the_same_seed_gives_the_same_picture_and_another_seed_another(invert, sample, photo):
    inversion = invert(photo)
    first, again, other = sample(inversion, seed=5), sample(inversion, seed=5), sample(inversion, seed=6)
    assert torch.equal(first, again)
    assert (first - other).abs().max() > 0.02


@pytest.mark.parametrize("options", [{}, {"anchors": "random"}, {"sampler": "ddim", "eta": 0.5}])
def test_a_batch_gives_the_pictures_of_its_members_alone(invert, sample, photo, options):
    other = photo.flip(2)
    together = sample(invert(torch.cat([photo, other])), seed=3, **options)
    alone = [sample(invert(photo), seed=3, **options), sample(invert(other), seed=4, **options)]
    # Sums run in another order in a batch; the error grows over the guided steps.
    assert (together - torch.cat(alone)).abs().max() < 2e-3


@pytest.mark.parametrize("start", ["noised", "zecon"])
def test_batch_independence_of_the_other_starts(invert, photo, start):
    together = invert(torch.cat([photo, photo]), start=start, start_seed=7).inversion
    alone = invert(photo, start=start, start_seed=8).inversion
    assert together.start == alone.start
    assert (together.x_t[1] - alone.x_t[0]).abs().max() < 1e-4


@pytest.mark.parametrize("inverting, sampling", [({}, {}), ({"start": "noised"}, {}), ({}, {"through_unet": False})])
def test_the_nodes_give_the_picture_of_the_library(pack, invert, sample, photo, inverting, sampling):
    stylize = pack.part("qs_core.pipeline").stylize
    picture = photo[0].movedim(-1, 0).contiguous().clone() * 2 - 1
    settings = {"steps": "6", "skip": 3, "size": 32, "crops": 4, "seed": 11, "clip_dtype": "float32"}
    expected = (stylize(picture, "a sketch with crayon", **settings, **inverting, **sampling).picture + 1) / 2
    result = sample(invert(photo, start_seed=11, **inverting), seed=11, **sampling)
    assert torch.allclose(result[0], expected.clamp(0, 1).movedim(0, -1), atol=1e-5)


def test_wires_keep_their_tensors_on_the_cpu_and_out_of_inference_mode(invert, text, photo):
    i, d = invert(photo).inversion, text.direction
    for tensor in (i.source, i.x_t, d.source, d.targets, d.weights):
        assert tensor.device.type == "cpu" and not tensor.is_inference() and is_plain(tensor)


@pytest.mark.parametrize(("channels", "expected"), [(1, 0.25), (3, 0.25), (4, 0.625)])
def test_grey_and_alpha_images_are_taken(pack, channels, expected):
    image = torch.full((1, 8, 8, channels), 0.25)
    if channels == 4:
        image[..., 3] = 0.5  # half of 0.25 on white
    picture = pack.part("nodes.images").from_image(image)
    assert picture.shape == (1, 3, 8, 8)
    assert torch.allclose(picture, torch.tensor(expected))


def test_images_come_back_as_they_went_in(pack, photo):
    images = pack.part("nodes.images")
    with torch.inference_mode(False):
        assert torch.allclose(images.to_image(images.from_image(photo) * 2 - 1), photo, atol=1e-6)


def test_half_precision_images_are_computed_in_full(pack):
    assert pack.part("nodes.images").from_image(torch.rand(1, 8, 8, 3).half()).dtype == torch.float32


def test_nan_is_named(invert, input_error, photo):
    broken = photo.clone()
    broken[0, 3, 4, 1] = float("nan")
    with pytest.raises(input_error, match=r"NaN or infinity in 1 of its 3072 values \(shape \(1, 32, 32, 3\)\)"):
        invert(broken)


@pytest.mark.parametrize("shape", [(1, 8, 8, 2), (8, 8, 3), (0, 8, 8, 3)])
def test_other_shapes_are_named(invert, input_error, shape):
    with pytest.raises(input_error, match="The image has shape"):
        invert(torch.zeros(shape))


def test_messages_of_the_library_reach_the_user(invert, sample, pack, input_error, photo, text):
    with pytest.raises(input_error, match="skip 6 of 6 steps is not possible"):
        invert(photo, skip=6)
    with pytest.raises(input_error, match="Respacing 'no' is not understood"):
        invert(photo, spacing="no")
    with pytest.raises(input_error, match="never saw the word 'zeppelin'"):
        pack("CLIPTextDirection", clip=text.clip, prompt="a zeppelin")
    for prompt in ("photo::2", "photo::"):
        with pytest.raises(input_error, match="'photo::.*' has a weight; it is one phrase"):
            pack("CLIPTextDirection", clip=text.clip, source_prompt=prompt)
    with pytest.raises(input_error, match="No layer has resolution 7"):
        sample(invert(photo), attend="7")
    with pytest.raises(input_error, match="attend 'deep' is not understood"):
        sample(invert(photo), attend="deep")
    with pytest.raises(input_error, match="There is no model '../secret.pt'"):
        pack("LoadDiffusionModel", model_name="../secret.pt")


def test_size_and_output_size(invert, sample, photo):
    wide = torch.cat([photo, photo], dim=2)[:, :30]  # 30x64
    inversion = invert(wide, size=24, steps=2, skip=1)
    assert inversion.size == (24, 56)  # padded to multiples of 8
    assert sample(inversion, output_size="network").shape == (1, 24, 51, 3)
    assert sample(inversion).shape == (1, 30, 64, 3)
    assert invert(wide, size=24, fit="crop", steps=2, skip=1).size == (24, 48)


def test_automatic_size_is_the_network_s(invert, pack, model, photo):
    inversion = invert(photo, size=0, steps=2, skip=1, start="noised")
    assert min(inversion.size) == pack.part("qs_core.stylizer").default_size(model.core)


def test_spacing_replaces_steps(invert, photo):
    assert len(invert(photo, spacing="2,3", skip=2, start="noised").inversion.schedule) == 5


def test_prompt_lines_and_weights(pack, text, input_error):
    mixed = pack("CLIPTextDirection", clip=text.clip, prompt="a sketch with crayon::3\n\n an oil painting \n").direction
    assert mixed.prompts == ("a sketch with crayon", "an oil painting")
    assert mixed.weights.tolist() == [0.75, 0.25]
    for line in ("crayon::", "crayon::much", "crayon::nan"):
        with pytest.raises(input_error, match="give a number there, e.g. crayon::2"):
            pack("CLIPTextDirection", clip=text.clip, prompt=line)
    with pytest.raises(input_error, match="The prompt is empty"):
        pack("CLIPTextDirection", clip=text.clip, prompt=" \n")


@pytest.mark.parametrize(("given", "meant"), [("", None), (" ALL ", "all"), ("32, 16", (32, 16))])
def test_attend_text(pack, given, meant):
    assert pack.part("qs_core.losses.layers").parse_layers(given) == meant


def test_sample_photos(pack):
    for name in pack.inputs("QSSampleImage")["picture"][0]:
        image = pack("QSSampleImage", picture=name)
        assert image.shape[0] == 1 and image.shape[-1] == 3
        assert min(image.shape[1:3]) >= 200 and image.std() > 0.1


def test_heat_map_draws_one_image_for_each_layer_and_picture(pack, invert, photo):
    inversion = invert(torch.cat([photo, photo.flip(1)]), steps=2, skip=1, start="noised")
    two = pack("QSAttnHeatmap", inversion=inversion, short_side=128)
    every = pack("QSAttnHeatmap", inversion=inversion, short_side=128, attend="all", anchors="local_global")
    assert len(two) == 4 and len(every) == 2 * len(inversion.model.core.content_layers())
    assert two.shape[2:] == (128, 3) and two.shape[1] > 128  # the legend stands below
    assert is_plain(two)
    assert (two[0] - two[2]).abs().mean() > 0.01


def test_heat_map_shows_what_the_sampler_selects(pack, invert, photo):
    inversion = invert(photo, steps=2, skip=1, start="noised")
    layers, preview = pack.part("qs_core.losses.layers"), pack.part("nodes.preview")
    chosen = layers.choose_anchors(inversion.model.core, 32, 32, "global")
    with torch.inference_mode(False):
        (heats,) = preview.layers(inversion, chosen)
    heat = heats[-1]
    worst = heat.entropy.flatten()[heat.positions].max()
    assert (heat.entropy < worst).sum() < len(heat.positions)
    assert heat.focus.flatten().argmax() == heat.entropy.flatten().argmin()


def test_heat_map_of_a_large_picture_shows_what_its_windows_select(pack, invert, photo):
    """In the sizes and the memory of a window, as the sampler's loss does, and not of the whole picture."""
    inversion = invert(photo, size=64, steps=2, skip=1, start="noised", tile=32)
    layers, preview = pack.part("qs_core.losses.layers"), pack.part("nodes.preview")
    height, width = preview.seen(inversion)
    assert max(height, width) <= 32 < min(inversion.size)
    shapes, core = set(), inversion.model.core
    encode = type(core).features
    try:
        type(core).features = lambda core, states: shapes.add(tuple(states.shape[-2:])) or encode(core, states)
        drawn = pack("QSAttnHeatmap", inversion=inversion, short_side=128)
        named = pack("QSAttnHeatmap", inversion=inversion, short_side=128, attend="32")  # the size of a window's map
    finally:
        type(core).features = encode
    assert shapes == {(height, width)} and len(drawn) == 2 and is_plain(drawn)
    assert len(named) == sum(layer.factor == height // 32 for layer in core.content_layers())
    with torch.inference_mode(False):
        (heats,) = preview.layers(inversion, layers.choose_anchors(core, height, width, "global"))
    heat, windows = heats[-1], inversion.inversion.model.windows(*inversion.size)
    factor = core.content_layers()[-1].factor
    assert heat.entropy.shape == (inversion.size[0] // factor, inversion.size[1] // factor)
    assert heat.places == (height // factor) * (width // factor)
    assert len(heat.positions) == len(windows) * (heat.places // 4)
    assert heat.entropy.max() <= heat.most + 1e-3


def test_wires_that_hold_a_network_show_it_to_comfyui_s_cache(pack, invert, text, photo):
    """ComfyUI tells models from other outputs by their `patcher`."""
    from dataclasses import replace

    held = replace(text.clip, patcher=object())
    assert replace(text, clip=held).patcher is held.patcher
    inversion = invert(photo, steps=2, skip=1, start="noised")
    assert replace(inversion, model=held).patcher is held.patcher
    (recipe,) = pack("QSCLIPLoss", text=replace(text, clip=held))
    assert recipe.patcher is held.patcher
    (recipe,) = pack("QSMSELoss")
    assert recipe.patcher is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_images_and_masks_that_are_kept_on_the_gpu_are_taken(pack, invert, sample, photo):
    inversion = invert(photo.cuda())
    assert inversion.prepared.original.device.type == inversion.inversion.source.device.type == "cpu"
    assert torch.equal(sample(inversion, strength=0.0), photo)
    sample(inversion, mask=torch.ones(1, 32, 32).cuda())
    for grid in (pack("QSCompareGrid", images=[photo.cuda()]), pack("QSBeforeAfter", before=photo, after=photo.cuda())):
        assert grid.device.type == "cpu"


class TestWhatOtherNodesGive:
    def test_an_image_of_another_range_is_named(self, pack, photo, input_error):
        seam = pack.part("nodes.images")
        for image, told in (
            (photo * 255, "0 to 255 is the usual cause"),
            ((photo * 255).to(torch.uint8), "0 to 255 is the usual cause"),
            (photo * 2 - 1, "-1 to 1 is the usual cause"),
        ):
            with pytest.raises(input_error, match=f"an IMAGE has 0 to 1. .*{told}"):
                seam.from_image(image)

    def test_a_little_beyond_is_clamped(self, pack, photo):
        seam = pack.part("nodes.images")
        for beyond in (photo + 0.02, photo * 1.3 - 0.1):
            assert torch.equal(seam.from_image(beyond), seam.from_image(beyond.clamp(0, 1)))

    def test_a_mask_with_a_channel_is_that_mask(self, pack):
        seam = pack.part("nodes.images")
        mask = torch.rand(2, 8, 9)
        for form in (mask[:, None], mask[..., None]):
            assert torch.equal(seam.from_mask(form, 2), mask)
        assert torch.equal(seam.from_mask(mask[0, :, :, None], 2), mask[:1])
