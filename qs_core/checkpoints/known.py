"""The published checkpoints: where they are, and what their shapes cannot tell.

Facts from the publishers' own pages, model cards and command lines. A SHA-256, size or licence that none of them states
is left open. `docs/checkpoints.md` shows the table; `python -m tools.known_table` writes it there.
"""

import re
from dataclasses import dataclass
from pathlib import PurePath


@dataclass(frozen=True)
class Signature:
    """What a checkpoint's shapes tell of its network. In the ddpm family the booleans are False and classes 0."""

    family: str  # adm or ddpm
    num_channels: int
    channel_mult: tuple[float, ...]
    num_res_blocks: int
    attention_factors: tuple[int, ...]  # down-sampling factors at which attention blocks stand, ascending
    out_channels: int
    use_scale_shift_norm: bool
    resblock_updown: bool
    num_classes: int  # 0: none


@dataclass(frozen=True)
class Known:
    """One published file. `settings` holds (option, value) pairs: what shapes cannot tell."""

    name: str
    file: str  # with the folder before it where many publications name their files so
    signature: Signature
    settings: tuple[tuple[str, object], ...]
    address: str  # of the file, or of the page or folder that has it
    licence: str
    sha256: str | None = None
    size: int | None = None  # bytes
    mirror: str | None = None  # the same file elsewhere
    dead: bool = False  # the address answers no more
    note: str = ""
    refused: str = ""  # why it cannot be used although its shapes fit; empty: it can

    @property
    def source(self) -> str | None:
        """The address that still answers; None where there is none."""
        return self.mirror if self.dead else self.address

    @property
    def advice(self) -> str:
        """Where to fetch the file and how to tell that it is the right one, in a sentence or two."""
        if self.source is None:
            return f"{self.file} was at {self.address}, which answers no more, and no mirror is known."
        digest = f"its SHA-256 is {self.sha256}" if self.sha256 else "its SHA-256 is not published"
        dead = f" ({self.address} answers no more)" if self.dead else ""
        other = f" or {self.mirror}" if self.mirror and not self.dead else ""
        return f"Fetch {self.file} from {self.source}{other}{dead}; {digest}."


def _adm(channels, mult, blocks, factors, *, classes=0, plain=False, updown=True) -> Signature:
    """An ADM U-Net with learned variance; `plain`: without scale-shift norm and residual resampling."""
    shift, updown = not plain, updown and not plain
    return Signature("adm", channels, tuple(float(m) for m in mult), blocks, factors, 6, shift, updown, classes)


def _learned(size: int, noise: str = "linear", new_order: bool = False, **heads: int) -> tuple:
    """The settings of an ADM U-Net: image size, noise schedule, attention order and either kind of head count."""
    order = ("use_new_attention_order", new_order)
    return (*heads.items(), order, ("image_size", size), ("noise_schedule", noise), ("variance", "learned"))


_256, _512 = (1, 1, 2, 2, 4, 4), (0.5, 1, 1, 2, 2, 4, 4)

# By name, as the documentation's table of architectures has them.
ARCHITECTURES = {
    "ADM-256": _adm(256, _256, 2, (8, 16, 32)),
    "ADM-256 classes": _adm(256, _256, 2, (8, 16, 32), classes=1000),
    "ADM-512": _adm(256, _512, 2, (16, 32, 64)),
    "ADM-512 classes": _adm(256, _512, 2, (16, 32, 64), classes=1000),
    "ADM-128 classes": _adm(256, (1, 1, 2, 3, 4), 2, (4, 8, 16), classes=1000),
    "ADM-64 classes": _adm(192, (1, 2, 3, 4), 3, (2, 4, 8), classes=1000),
    "IDDPM-256": _adm(128, _256, 2, (16,), plain=True),
    "Portrait-512": _adm(128, _512, 2, (16, 32, 64)),
    "Ukiyo-e-256": _adm(128, _256, 2, (8, 16, 32)),
    "ADM-light-256": _adm(128, _256, 1, (16,)),
    "DDPM-256": Signature("ddpm", 128, tuple(float(m) for m in _256), 2, (16,), 3, False, False, 0),
    "DiffAE-128": Signature("adm", 128, (1.0, 1.0, 2.0, 3.0, 4.0), 2, (8,), 3, True, True, 0),
    "IDDPM-64": _adm(128, (1, 2, 3, 4), 3, (4, 8), updown=False),
    "IDDPM-64 classes": _adm(192, (1, 2, 3, 4), 3, (4, 8), classes=1000, updown=False),
    "IDDPM-32": _adm(128, (1, 2, 2, 2), 3, (2, 4), updown=False),
}

_LIGHT = ARCHITECTURES["ADM-light-256"]
_HO = ARCHITECTURES["DDPM-256"]
_HEADS_64 = _learned(256, num_head_channels=64)
_HEADS_64_AT_512 = _learned(512, num_head_channels=64)
_ONE_HEAD = _learned(256, num_heads=1)
_FOUR_HEADS_AT_512 = _learned(512, num_heads=4)
_HO_SETTINGS = (("image_size", 256), ("noise_schedule", "linear"), ("variance", "fixed_small"))

_JULY = "https://openaipublic.blob.core.windows.net/diffusion/jul-2021/"
_MARCH = "https://openaipublic.blob.core.windows.net/diffusion/march-2021/"
_HUGGING_FACE = "https://huggingface.co/"
_BLENDED = f"{_HUGGING_FACE}omriav/blended-diffusion/resolve/main/checkpoints/"
_SDEDIT = "https://image-editing-test-12345.s3-us-west-2.amazonaws.com/checkpoints/"
_HEIBOX = "https://heibox.uni-heidelberg.de/f/"
_DRIVE = "https://drive.google.com/drive/folders/"
_OPENAI = "model card: for research only (code: MIT)"
_CODE_MIT = "not stated (code: MIT)"
_NOT_STATED = "not stated"
_UNKNOWN = "not found"


def _openai(name: str, file: str, architecture: str, settings: tuple = _HEADS_64, **more) -> Known:
    """A network of openai/guided-diffusion."""
    return Known(f"OpenAI {name}", file, ARCHITECTURES[architecture], settings, _JULY + file, _OPENAI, **more)


def _kaliyuga(name: str, repository: str, licence: str, sha256: str, size: int | None = None, note: str = "") -> Known:
    """A fine-tune of the 256 pixel LSUN network of openai/improved-diffusion."""
    file = f"{repository}.pt"
    address = f"{_HUGGING_FACE}KaliYuga/{repository}/resolve/main/{file}"
    return Known(name, file, ARCHITECTURES["IDDPM-256"], _ONE_HEAD, address, licence, sha256, size, note=note)


def _p2(name: str, file: str, note: str = "") -> Known:
    """A network of P2-weighting's folder."""
    return Known(name, file, _LIGHT, _HEADS_64, f"{_DRIVE}1bcWh3XuQzdct4-UPTrIX-lvs47OiLaOM", _CODE_MIT, note=note)


def _heidelberg(name: str, file: str, key: str, md5: str) -> Known:
    """A TensorFlow network of Ho et al., converted by pesser/pytorch_diffusion; weights averaged over training."""
    note = f"MD5 {md5}; that repository saves it as {file.rpartition('_')[2]}"
    return Known(name, file, _HO, _HO_SETTINGS, f"{_HEIBOX}{key}/?dl=1", _CODE_MIT, note=note)


def _google(what: str, repository: str) -> Known:
    """The same networks as Hugging Face's library diffusers has them, weights averaged over training or not."""
    file = f"{repository}/diffusion_pytorch_model.safetensors"
    note = "the folder loads as well, and .bin in place of .safetensors"
    return Known(
        f"{what}, Ho et al., for diffusers",
        file,
        _HO,
        _HO_SETTINGS,
        f"{_HUGGING_FACE}google/{repository}",
        "Apache 2.0",
        note=note,
    )


def _diffae(what: str, folder: str, key: str) -> Known:
    """An unconditional network of DiffAE's comparison, from a training file of PyTorch Lightning."""
    settings = (
        ("num_heads", 1),
        ("use_new_attention_order", False),
        ("image_size", 128),
        ("noise_schedule", "linear"),
        ("variance", "fixed_large"),
    )
    note = "the averaged weights are taken out of the training file"
    architecture = ARCHITECTURES["DiffAE-128"]
    return Known(what, f"{folder}/last.ckpt", architecture, settings, _DRIVE + key, _CODE_MIT, note=note)


def _clip_tuned(kind: str, file: str) -> Known:
    """A U-Net that DiffusionCLIP fine-tuned to a phrase: without guidance it already draws in that style."""
    subject, style = file.removesuffix(".pth").rpartition("_t")[0].split("_", 1)
    imagenet = _DRIVE + "1Qb9jcv3Be3k7UtVQykI2PWqznUzb0t8R"
    everything_else = _DRIVE + "1Uwvm_gckanyRzQkVTLB6GLQbkSBoZDZF"
    signature, settings, address = {
        "human": (_HO, _HO_SETTINGS, everything_else),
        "dog": (_LIGHT, _HEADS_64, everything_else),
        "imagenet": (ARCHITECTURES["ADM-512 classes"], _HEADS_64_AT_512, imagenet),
    }[subject]
    return Known(f"DiffusionCLIP {kind}: {style.replace('_', ' ')}", file, signature, settings, address, _NOT_STATED)


def _too_many_steps(name: str, file: str, architecture: str, size: int) -> Known:
    """A network of openai/improved-diffusion whose process has 4000 steps."""
    return Known(
        f"OpenAI improved-diffusion {name}",
        file,
        ARCHITECTURES[architecture],
        _learned(size, "cosine", num_heads=4),
        _MARCH + file,
        _CODE_MIT,
        refused="its diffusion process has 4000 steps, and this pack's has 1000",
    )


OPENAI = (
    _openai(
        "ImageNet 256, unconditional",
        "256x256_diffusion_uncond.pt",
        "ADM-256",
        sha256="a37c32fffd316cd494cf3f35b339936debdc1576dad13fe57c42399a5dbc78b1",
        size=2211383297,
        mirror=_BLENDED + "256x256_diffusion_uncond.pt",
    ),
    _openai(
        "ImageNet 256",
        "256x256_diffusion.pt",
        "ADM-256 classes",
        size=2215479544,
        note="MD5 d94f30fb1afb2fe821c24bef2043717e",
    ),
    _openai(
        "ImageNet 512",
        "512x512_diffusion.pt",
        "ADM-512 classes",
        _HEADS_64_AT_512,
        mirror=_BLENDED + "512x512_diffusion.pt",
    ),
    _openai("ImageNet 128", "128x128_diffusion.pt", "ADM-128 classes", _learned(128, num_heads=4)),
    _openai("ImageNet 64", "64x64_diffusion.pt", "ADM-64 classes", _learned(64, "cosine", True, num_head_channels=64)),
    _openai("LSUN bedroom", "lsun_bedroom.pt", "ADM-256"),
    _openai("LSUN cat", "lsun_cat.pt", "ADM-256"),
    _openai("LSUN horse", "lsun_horse.pt", "ADM-256"),
    _openai("LSUN horse, trained without dropout", "lsun_horse_nodropout.pt", "ADM-256"),
    *(
        Known(
            f"OpenAI improved-diffusion LSUN bedroom, {rate}",
            file,
            ARCHITECTURES["IDDPM-256"],
            _ONE_HEAD,
            _MARCH + file,
            _CODE_MIT,
        )
        for rate, file in (
            ("learning rate 1e-4", "lsun_uncond_100M_1200K_bs128.pt"),
            ("learning rate 2e-5", "lsun_uncond_100M_2400K_bs64.pt"),
        )
    ),
)

COMMUNITY = (
    Known(
        "ImageNet 512, unconditional fine-tune",
        "512x512_diffusion_uncond_finetune_008100.pt",
        ARCHITECTURES["ADM-512"],
        _HEADS_64_AT_512,
        f"{_HUGGING_FACE}lowlevelware/512x512_diffusion_unconditional_ImageNet/resolve/main/"
        "512x512_diffusion_uncond_finetune_008100.pt",
        "MIT",
        "9c111ab89e214862b76e1fa6a1b3f1d329b1a88281885943d2cdbe357ad57648",
        2232025447,
        mirror="https://the-eye.eu/public/AI/models/512x512_diffusion_unconditional_ImageNet/"
        "512x512_diffusion_uncond_finetune_008100.pt",
    ),
    _kaliyuga(
        "Watercolor Diffusion",
        "watercolordiffusion",
        "CC BY 4.0",
        "a3e6522f0c8f278f90788298d66383b11ac763dd5e0d62f8252c962c23950bd6",
    ),
    _kaliyuga(
        "Watercolor Diffusion 2",
        "watercolordiffusion_2",
        "CC BY 4.0",
        "49c281b6092c61c49b0f1f8da93af9b94be7e0c20c71e662e2aa26fee0e4b1a9",
    ),
    _kaliyuga(
        "Pixel Art Diffusion, hard",
        "pixel_art_diffusion_hard_256",
        "Creative Commons, which one is not stated",
        "be4a9de943ec06eef32c65a1008c60ad017723a4d35dc13169c66bb322234161",
        454885741,
    ),
    _kaliyuga(
        "Pixel Art Diffusion, soft",
        "pixel_art_diffusion_soft_256",
        "Creative Commons, which one is not stated",
        "d321590e46b679bf6def1f1914b47c89e762c76f19ab3e3392c8ca07c791039c",
        454885741,
    ),
    _kaliyuga(
        "Pixel Art Diffusion 4k",
        "pixelartdiffusion4k",
        "CC BY 3.0",
        "a1ba4f13f6dabb72b1064f15d8ae504d98d6192ad343572cc416deda7cccac30",
        note="4k counts the training pictures; the card asks tools that use it to credit and link the author",
    ),
    _kaliyuga(
        "Pixel Art Diffusion, expanded",
        "PADexpanded",
        "CC BY 4.0",
        "a73b40556634034bf43b5a716b531b46fb1ab890634d854f5bcbbef56838739a",
    ),
    _kaliyuga(
        "Pulp SciFi Diffusion",
        "PulpSciFiDiffusion",
        "CC BY 4.0",
        "b79e62613b9f50b8a3173e5f61f0320c7dbb16efad42a92ec94d014f6e17337f",
        454885741,
    ),
    Known(
        "Portrait Generator v001",
        "portrait_generator_v001_ema_0.9999_1MM.pt",
        ARCHITECTURES["Portrait-512"],
        _FOUR_HEADS_AT_512,
        f"{_HUGGING_FACE}felipe3dartist/portrait_generator_v001/resolve/main/portrait_generator_v001_ema_0.9999_1MM.pt",
        _UNKNOWN,
        "b7e8c747af880d4480b6707006f1ace000b058dd0eac5bb13558ba3752d9b5b9",
    ),
    Known(
        "Portrait Generator v1.5",
        "ema_0.9999_165000.pt",
        ARCHITECTURES["Portrait-512"],
        _FOUR_HEADS_AT_512,
        f"{_HUGGING_FACE}felipe3dartist/portrait_generator_v1.5/resolve/main/ema_0.9999_165000.pt",
        _UNKNOWN,
        "3bc39e28fd9690dafbbee83cc08d089a3640eca8ed4d14280c4a9d342c56fd7f",
    ),
    Known(
        "Ukiyo-e Diffusion, all, v1",
        "ema_0.9999_056000.pt",
        ARCHITECTURES["Ukiyo-e-256"],
        _learned(256, num_heads=4),
        f"{_HUGGING_FACE}thegenerativegeneration/ukiyoe-diffusion-256/resolve/main/"
        "models/ukiyoe-all/v1/ema_0.9999_056000.pt",
        _NOT_STATED,
        "5f9af55461783619f25dcbf8953f028c0768108801860afe8c947428dee7a991",
    ),
    Known(
        "FeiArt Handpainted CG Diffusion",
        "FeiArt-Handpainted-CG-Diffusion.pt",
        # Its card asks for a loader that overlooks keys, and it is larger than a network without the label embedding by
        # just that embedding: 2236121575 - 2232025447 bytes = 4 · 1000 · 1024 and 128 of the container.
        ARCHITECTURES["ADM-512 classes"],
        _HEADS_64_AT_512,
        f"{_HUGGING_FACE}Feiart/FeiArt-Handpainted-CG-Diffusion/resolve/main/FeiArt-Handpainted-CG-Diffusion.pt",
        "Creative Commons, which one is not stated",
        "85f95f0618f288476ffcec9f48160542ba626f655b3df963543388dcd059f86a",
        2236121575,
        note="by its size it still holds its parent's label embedding; use it without a class",
    ),
    Known(
        "Isometric Diffusion 512",
        "IsometricDiffusionRevrart512px.pt",
        ARCHITECTURES["ADM-512"],
        _HEADS_64_AT_512,
        f"{_HUGGING_FACE}Revrart/IsometricDiffusionRevrart512px/resolve/main/IsometricDiffusionRevrart512px.pt",
        _UNKNOWN,
        "649bb7d10ea5170b71bc24adfb17f0305955fde38d2bb1bc5428c6d5baf9811c",
        note="it may hold its parent's label embedding; its settings are the same then",
    ),
    Known(
        "Comics Faces v2",
        "256x256_openai_comics_faces_v2.by_alex_spirin_114k.pt",
        ARCHITECTURES["IDDPM-256"],
        _ONE_HEAD,
        "https://github.com/Sxela/DiscoDiffusion-Warp/releases/download/v0.1.1/"
        "256x256_openai_comics_faces_v2.by_alex_spirin_114k.pt",
        _UNKNOWN,
        "f587fd6d2edb093701931e5083a13ab6b76b3f457b60efd1aa873d60ee3d6388",
    ),
)

FACES = (
    _p2("FFHQ, P2 weighting", "ffhq_p2.pt"),
    _p2("FFHQ, baseline of P2 weighting", "ffhq_baseline.pt", "the one that ZeCon's code loads"),
    Known(
        "FFHQ, ILVR",
        "ffhq_10m.pt",
        _LIGHT,
        _HEADS_64,
        "https://1drv.ms/u/s!AkQjJhxDm0Fyhqp_4gkYjwVRBe8V_w?e=Et3ITH",
        _CODE_MIT,
        "81d535743156ec6be34d8668e6920da94f0614074d7793a16c8fa9e306237faa",
        374417833,
        mirror=f"{_HUGGING_FACE}deepinv/diffunet/resolve/main/diffusion_ffhq_10m.pt",
        note="ILVR's page links a folder, which may hold its P2 successors alone; size and SHA-256 are the mirror's, "
        "whose copy is named diffusion_ffhq_10m.pt and whose page says BSD 3-Clause",
    ),
    _p2("AFHQ dog, P2 weighting", "afhqdog_p2.pt", "earlier listed as afhq_p2.pt"),
    Known(
        "AFHQ dog, ILVR",
        "afhq_dog_4m.pt",
        _LIGHT,
        _HEADS_64,
        "https://drive.google.com/file/d/14OG_o3aa8Hxmfu36IIRyOgRwEP6ngLdo/view",
        _CODE_MIT,
    ),
    _p2("CelebA-HQ, P2 weighting", "celebahq_p2.pt"),
    _p2("CUB birds, P2 weighting", "cub_p2.pt"),
    _p2("Oxford flowers, P2 weighting", "flower_p2.pt"),
    _p2("MetFaces, P2 weighting", "metface_p2.pt"),
)

DDPM = (
    Known(
        "CelebA-HQ, SDEdit",
        "celeba_hq.ckpt",
        _HO,
        _HO_SETTINGS,
        _SDEDIT + "celeba_hq.ckpt",
        _CODE_MIT,
        "6cbb630eb856ff3ebe4854fe87af3c21a052765678955999db97ea15b5eeb8a5",
        454777119,
        mirror=f"{_HUGGING_FACE}gwang-kim/DiffusionCLIP-CelebA_HQ/resolve/main/celeba_hq.ckpt",
        dead=True,
        note="size and SHA-256 are the mirror's",
    ),
    Known(
        "LSUN bedroom, SDEdit",
        "bedroom.ckpt",
        _HO,
        _HO_SETTINGS,
        _SDEDIT + "bedroom.ckpt",
        _CODE_MIT,
        mirror=f"{_HUGGING_FACE}gwang-kim/DiffusionCLIP-LSUN_Bedroom/resolve/main/bedroom.ckpt",
        dead=True,
    ),
    Known(
        "LSUN church, SDEdit",
        "church_outdoor.ckpt",
        _HO,
        _HO_SETTINGS,
        _SDEDIT + "church_outdoor.ckpt",
        _CODE_MIT,
        dead=True,
        note="no mirror is known; use the LSUN church of Ho et al.",
    ),
    _heidelberg(
        "LSUN church, Ho et al.",
        "ema_diffusion_lsun_church_model-4432000.ckpt",
        "44ccb50ef3c6436db52e",
        "fdc68a23938c2397caba4a260bc2445f",
    ),
    _heidelberg(
        "LSUN bedroom, Ho et al.",
        "ema_diffusion_lsun_bedroom_model-2388000.ckpt",
        "b95206528f384185889b",
        "1921fa46b66a3665e450e42f36c2720f",
    ),
    _heidelberg(
        "LSUN cat, Ho et al.",
        "ema_diffusion_lsun_cat_model-1761000.ckpt",
        "0701aac3aa69457bbe34",
        "646f23f4821f2459b8bafc57fd824558",
    ),
    _google("CelebA-HQ", "ddpm-celebahq-256"),
    _google("LSUN church, averaged", "ddpm-ema-church-256"),
    _google("LSUN bedroom, averaged", "ddpm-ema-bedroom-256"),
    _google("LSUN cat", "ddpm-cat-256"),
)

DIFFAE = (
    _diffae("DDIM of DiffAE, FFHQ, 72M", "ffhq128_ddpm_72M", "1-fa46UPSgy9ximKngBflgSj3u87-DLrw"),
    _diffae("DDIM of DiffAE, FFHQ, 130M", "ffhq128_ddpm_130M", "1-Sqes07fs1y9sAYXuYWSoDE_xxTtH4yx"),
    _diffae("DDIM of DiffAE, LSUN bedroom", "bedroom128_ddpm", "1-_8LZd5inoAOBT-hO5f7RYivt95FbYT1"),
    _diffae("DDIM of DiffAE, LSUN horse", "horse128_ddpm", "10Hq3zIlJs9ZSiXDQVYuVJVf0cX4a_nDB"),
)

DIFFUSIONCLIP = (
    *(
        _clip_tuned("face", f"human_{style}.pth")
        for style in (
            "pixar_t601",
            "neanderthal_t601",
            "gogh_t601",
            "tanned_t201",
            "male_t401",
            "sketch_t601",
            "with_makeup_t301",
            "without_makeup_t301",
        )
    ),
    *(
        _clip_tuned("dog", f"dog_{style}.pth")
        for style in (
            "bear_t500",
            "hamster_t601",
            "yorkshire_t601",
            "nicolas_t601",
            "zombie_t601",
            "venome_t601",
            "gogh_t500",
        )
    ),
    *(
        _clip_tuned("ImageNet", f"imagenet_{style}_t601.pth")
        for style in ("watercolor", "pointillism", "gogh", "cubism")
    ),
)

REFUSED = (
    _too_many_steps("ImageNet 64", "imagenet64_uncond_100M_1500K.pt", "IDDPM-64", 64),
    _too_many_steps("ImageNet 64, L_vlb", "imagenet64_uncond_vlb_100M_1500K.pt", "IDDPM-64", 64),
    _too_many_steps("ImageNet 64 by class", "imagenet64_cond_270M_250K.pt", "IDDPM-64 classes", 64),
    _too_many_steps("CIFAR-10", "cifar10_uncond_50M_500K.pt", "IDDPM-32", 32),
    _too_many_steps("CIFAR-10, L_vlb", "cifar10_uncond_vlb_50M_500K.pt", "IDDPM-32", 32),
)

GENERIC = re.compile(r"ema_[\d.]+_\d+\.pt")  # file names of guided-diffusion's trainer

# Under the headings of the documentation's table.
GROUPS = {
    "OpenAI": OPENAI,
    "Community fine-tunes": COMMUNITY,
    "Faces and animals, P2 weighting and ILVR": FACES,
    "DDPM family": DDPM,
    "DiffAE's unconditional networks, 128 px": DIFFAE,
    "DiffusionCLIP's fine-tunes": DIFFUSIONCLIP,
    "Refused": REFUSED,
}
KNOWN: tuple[Known, ...] = tuple(known for group in GROUPS.values() for known in group)


def by_signature(signature: Signature) -> tuple[Known, ...]:
    """All published files of that architecture, refused ones included; what they disagree on, shapes do not tell."""
    return tuple(known for known in KNOWN if known.signature == signature)


def by_sha256(digest: str) -> Known | None:
    """The published file with that SHA-256."""
    return next((known for known in KNOWN if known.sha256 == digest.lower()), None)


def by_file(name: str) -> Known | None:
    """The published file of that name; a folder before it and its case do not matter. None for ema_RATE_STEPS.pt:
    guided-diffusion names everybody's files so."""
    wanted = PurePath(name.replace("\\", "/")).name.lower()
    return next((k for k in KNOWN if k.file.lower() == wanted and not GENERIC.fullmatch(wanted)), None)
