"""The published checkpoints: every row is complete and possible, and agrees with the published shapes."""

import re
from pathlib import Path

import pytest
import torch

from qs_core.checkpoints.known import ARCHITECTURES, KNOWN, Signature, by_file, by_sha256, by_signature
from qs_core.unets import adm, ddpm
from tools import known_table

HEADS = ("num_heads", "num_head_channels")
OPTIONS = {*HEADS, "use_new_attention_order", "image_size", "noise_schedule", "variance"}
PUBLISHED = (
    "openai_imagenet_256_uncond",
    "openai_imagenet_512_class_cond",
    "openai_lsun_bedroom_256",
    "ffhq_p2_256",
    "openai_imagenet_64_class_cond",
    "community_imagenet_512_uncond_finetune",
    "community_kaliyuga_256",
    "community_portrait_512",
    "ddpm_celebahq_or_lsun_church_256",
)
# The list, by file.
ASKED_FOR = """
    256x256_diffusion_uncond.pt 256x256_diffusion.pt 512x512_diffusion.pt 128x128_diffusion.pt 64x64_diffusion.pt
    lsun_bedroom.pt lsun_cat.pt lsun_horse.pt lsun_horse_nodropout.pt 512x512_diffusion_uncond_finetune_008100.pt
    watercolordiffusion.pt watercolordiffusion_2.pt pixel_art_diffusion_hard_256.pt pixel_art_diffusion_soft_256.pt
    pixelartdiffusion4k.pt PADexpanded.pt PulpSciFiDiffusion.pt portrait_generator_v001_ema_0.9999_1MM.pt
    ema_0.9999_165000.pt ema_0.9999_056000.pt FeiArt-Handpainted-CG-Diffusion.pt IsometricDiffusionRevrart512px.pt
    256x256_openai_comics_faces_v2.by_alex_spirin_114k.pt ffhq_p2.pt ffhq_baseline.pt ffhq_10m.pt afhqdog_p2.pt
    afhq_dog_4m.pt celeba_hq.ckpt bedroom.ckpt church_outdoor.ckpt ema_diffusion_lsun_church_model-4432000.ckpt
    ddpm-ema-church-256/diffusion_pytorch_model.safetensors ffhq128_ddpm_130M/last.ckpt horse128_ddpm/last.ckpt
    ema_diffusion_lsun_bedroom_model-2388000.ckpt ema_diffusion_lsun_cat_model-1761000.ckpt human_pixar_t601.pth
    dog_bear_t500.pth imagenet_watercolor_t601.pth
""".split()

every_file = pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.file)


def meta_state(shapes: dict) -> dict[str, torch.Tensor]:
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


def read_signature(state: dict) -> Signature:
    """The signature that the shapes tell."""
    family = next(module for module in (adm, ddpm) if module.detect(state))
    config = family.read_config(state)
    return Signature(
        family=family.__name__.rpartition(".")[2],
        num_channels=config.num_channels,
        channel_mult=config.channel_mult,
        num_res_blocks=config.num_res_blocks,
        attention_factors=config.attention_factors,
        out_channels=config.out_channels,
        use_scale_shift_norm=getattr(config, "use_scale_shift_norm", False),
        resblock_updown=getattr(config, "resblock_updown", False),
        num_classes=getattr(config, "num_classes", 0),
    )


def expected_settings(flags: dict) -> dict:
    """What guided-diffusion's own flags say of that which shapes cannot tell, schedule and variance left out."""
    if "attn_resolutions" in flags:  # the DDPM family
        return {"image_size": flags["image_size"]}
    by_channels = flags["num_head_channels"] > 0
    return {
        "image_size": flags["image_size"],
        "use_new_attention_order": flags.get("use_new_attention_order", False),
        ("num_head_channels" if by_channels else "num_heads"): flags[
            "num_head_channels" if by_channels else "num_heads"
        ],
    }


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_shapes_find_known_files_of_the_same_settings(manifests, name):
    found = by_signature(read_signature(meta_state(manifests[name]["shapes"])))
    expected = expected_settings(manifests[name]["config"])
    assert found
    for known in found:
        settings = dict(known.settings)
        heads = {key: value for key, value in settings.items() if key not in ("noise_schedule", "variance")}
        assert heads == expected, known.name


def test_every_manifest_of_a_loadable_network_is_tried(manifests):
    assert set(PUBLISHED) == {name for name in manifests if not name.startswith("refuse_")}


def test_published_shapes_have_the_parameters_that_the_table_counts(manifests):
    for name in PUBLISHED:
        manifest = manifests[name]
        assert known_table.parameters(read_signature(meta_state(manifest["shapes"]))) == manifest["parameters"]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_is_read_back_from_its_own_network(name):
    signature = ARCHITECTURES[name]
    known = by_signature(signature)[0]
    network = known_table.on_meta(signature, **{k: v for k, v in known.settings if k in adm.ADMConfig.__annotations__})
    assert read_signature(network.state_dict()) == signature


def test_every_file_is_of_a_named_architecture():
    assert {known.signature for known in KNOWN} == set(ARCHITECTURES.values())
    assert len(set(ARCHITECTURES.values())) == len(ARCHITECTURES)


def test_files_of_one_architecture_agree_on_their_settings():
    """So that a look-up by shapes alone is right. Where a new file breaks this, a look-up needs its SHA-256."""
    for name, signature in ARCHITECTURES.items():
        assert len({known.settings for known in by_signature(signature)}) == 1, name


@every_file
class TestEveryFile:
    def test_settings_are_options_that_shapes_cannot_tell(self, known):
        settings = dict(known.settings)
        assert len(settings) == len(known.settings)
        assert {"image_size", "noise_schedule", "variance"} <= set(settings) <= OPTIONS
        assert settings["noise_schedule"] in ("linear", "cosine")
        assert settings["variance"] in ("learned", "fixed_small", "fixed_large")
        assert (settings["variance"] == "learned") == (known.signature.out_channels == 6)

    def test_heads_are_stated_once_where_there_is_a_choice(self, known):
        stated = [option for option, _ in known.settings if option in HEADS]
        assert len(stated) == (known.signature.family == "adm")

    def test_the_image_size_suits_the_architecture(self, known):
        deepest = dict(known.settings)["image_size"] / 2 ** (len(known.signature.channel_mult) - 1)
        assert deepest >= 4 and deepest == int(deepest)

    def test_addresses_are_https(self, known):
        for address in filter(None, (known.address, known.mirror)):
            assert re.fullmatch(r"https://[\w.-]+/\S+", address)

    def test_a_dead_address_has_a_mirror_or_says_that_there_is_none(self, known):
        if known.dead:
            assert known.mirror or "no mirror is known" in known.note

    def test_the_size_is_that_of_its_weights_in_float32(self, known):
        if known.size:
            weights = 4 * known_table.parameters(known.signature)
            assert weights < known.size < weights + 500_000

    def test_the_digest_has_its_form(self, known):
        assert known.sha256 is None or re.fullmatch("[0-9a-f]{64}", known.sha256)

    def test_it_names_a_licence_or_says_that_none_is_known(self, known):
        assert known.licence

    def test_the_file_name_is_bare_unless_others_have_it(self, known):
        path = Path(known.file)
        assert path.suffix in (".pt", ".pth", ".ckpt", ".safetensors")
        assert len(path.parts) == 1 + (path.name in ("last.ckpt", "diffusion_pytorch_model.safetensors"))


def test_files_names_and_digests_are_unique():
    for values in (
        [known.file.lower() for known in KNOWN],
        [known.name for known in KNOWN],
        [known.sha256 for known in KNOWN if known.sha256],
    ):
        assert len(set(values)) == len(values)


def test_all_that_was_asked_for_is_there_and_usable():
    for file in ASKED_FOR:
        known = next((entry for entry in KNOWN if entry.file == file), None)
        assert known is not None and not known.refused, file


def test_refused_files_have_architectures_of_their_own():
    """So that their settings are never taken for those of a usable file."""
    refused = {known.signature for known in KNOWN if known.refused}
    assert refused and not refused & {known.signature for known in KNOWN if not known.refused}


def test_look_ups():
    first = by_file("256x256_diffusion_uncond.pt")
    assert first.name == "OpenAI ImageNet 256, unconditional"
    assert by_file("models/256X256_Diffusion_Uncond.PT") is by_file(r"D:\models\256x256_diffusion_uncond.pt") is first
    assert by_sha256(first.sha256.upper()) is first
    assert by_file("my_own.pt") is None and by_file("ema_0.9999_165000.pt") is None  # so may anybody's be named
    assert by_file("last.ckpt") is None and by_file("diffusion_pytorch_model.safetensors") is None
    assert by_sha256("0" * 64) is None
    assert by_signature(Signature("adm", 1, (1.0,), 1, (), 3, False, False, 0)) == ()


def test_advice_names_the_address_that_answers():
    assert by_file("256x256_diffusion_uncond.pt").advice == (
        "Fetch 256x256_diffusion_uncond.pt from "
        "https://openaipublic.blob.core.windows.net/diffusion/jul-2021/256x256_diffusion_uncond.pt or "
        "https://huggingface.co/omriav/blended-diffusion/resolve/main/checkpoints/256x256_diffusion_uncond.pt; "
        "its SHA-256 is a37c32fffd316cd494cf3f35b339936debdc1576dad13fe57c42399a5dbc78b1."
    )
    celeba = by_file("celeba_hq.ckpt")
    assert celeba.source == celeba.mirror
    assert celeba.advice.startswith(f"Fetch celeba_hq.ckpt from {celeba.mirror} ({celeba.address} answers no more)")
    assert by_file("church_outdoor.ckpt").source is None
    assert by_file("church_outdoor.ckpt").advice.endswith("and no mirror is known.")
    assert "its SHA-256 is not published" in by_file("lsun_cat.pt").advice


class TestTable:
    def test_the_page_holds_the_current_table(self):
        page = known_table.PAGE.read_text(encoding="utf-8")
        assert known_table.with_table(page) == page, "Run python -m tools.known_table."

    def test_every_file_has_a_row_with_its_address_and_digest(self):
        text = known_table.table()
        for known in KNOWN:
            (row,) = [line for line in text.splitlines() if f"`{known.file}`" in line]
            assert known.address in row and known.licence in row and known.name in row
            assert (known.sha256 or "not published") in row
            assert ("dead" in row) == known.dead
            assert not known.mirror or known.mirror in row

    def test_a_page_without_markers_is_refused(self):
        with pytest.raises(SystemExit, match="no markers <!-- table -->"):
            known_table.with_table("# Checkpoints\n")
