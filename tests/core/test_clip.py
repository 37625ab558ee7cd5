"""Phrases and pictures to embeddings, with a tiny random CLIP."""

import dataclasses
import importlib.machinery
import json
import sys
import types

import huggingface_hub
import open_clip
import pytest
import torch
from open_clip.zero_shot_metadata import OPENAI_IMAGENET_TEMPLATES
from safetensors.torch import save_file
from torch.nn.functional import normalize

from qs_core import demo
from qs_core.errors import InputError, UnsupportedCheckpoint
from qs_core.features import names
from qs_core.features.clip import Vocabulary, text_direction
from qs_core.features.openclip import is_tag, load_clip, tags_of

CLOSE = {"rtol": 1e-4, "atol": 1e-6}  # float32, another batch size


class TestImages:
    def test_they_are_normalised_from_minus_1_to_1(self, tiny_clip, picture):
        images = picture(1, 2)
        # The tiny CLIP's mean and deviation are 0.5, which takes [0, 1] back to [-1, 1].
        torch.testing.assert_close(tiny_clip.encode_image(images), tiny_clip.network.encode_image(images))

    def test_mean_and_deviation_are_per_channel(self, tiny_clip, picture):
        other = dataclasses.replace(tiny_clip, mean=(0.1, 0.2, 0.3), std=(0.2, 0.3, 0.4))
        image = picture(1)
        expected = torch.stack([((image[0, c] + 1) / 2 - other.mean[c]) / other.std[c] for c in range(3)])
        torch.testing.assert_close(other.encode_image(image), tiny_clip.network.encode_image(expected[None]), **CLOSE)


class TestText:
    def test_an_embedding_per_phrase(self, tiny_clip):
        first, second = (tiny_clip.encode_text(phrase) for phrase in ("a sketch", "gold"))
        assert first.shape == (16,) and first.dtype == torch.float32 and not torch.allclose(first, second)

    def test_templates_are_averaged(self, tiny_clip):
        each = torch.stack([tiny_clip.encode_text(template("gold")) for template in OPENAI_IMAGENET_TEMPLATES])
        expected = normalize(each, dim=-1).mean(0)
        torch.testing.assert_close(tiny_clip.encode_text("gold", templates=True), expected, **CLOSE)

    def test_a_phrase_that_fits_by_itself_and_not_in_a_template(self, tiny_clip):
        phrase = "gold " * 70
        tiny_clip.encode_text(phrase)
        with pytest.raises(InputError, match="tokens inside a template; .* would cut it"):
            tiny_clip.encode_text(phrase, templates=True)

    def test_a_target_that_is_the_source(self, tiny_clip):
        with pytest.raises(InputError, match="The prompt 'photo' is what the picture is already"):
            text_direction(tiny_clip, ["photo"])

    @pytest.mark.parametrize("phrase", ["", "   ", "\n"])
    def test_an_empty_phrase(self, tiny_clip, phrase):
        with pytest.raises(InputError, match="The prompt is empty. Say what the picture should become"):
            tiny_clip.encode_text(phrase)

    def test_the_longest_phrase_is_read_and_a_longer_one_refused(self, tiny_clip):
        assert tiny_clip.encode_text("gold " * 75).isfinite().all()
        with pytest.raises(InputError, match="The prompt has 78 tokens; tiny reads 77 and would cut it"):
            tiny_clip.encode_text("gold " * 76)

    def test_a_word_that_is_nearly_known_is_guessed(self, tiny_clip):
        known = frozenset({"a", "cast", "watercolor", "crayon"})
        vocabulary = Vocabulary(known, frozenset({"a"}), {"watercolor": ["a watercolor"]})
        closed = dataclasses.replace(tiny_clip, vocabulary=vocabulary)
        with pytest.raises(InputError, match=r"'watercolur', 'crayn'\. Did you mean watercolor or crayon\? It knows"):
            closed.check("a watercolur, crayn", ["a"])
        with pytest.raises(InputError, match=r"'cat', 'zeppelin'\. It knows"):  # too short to guess, and nothing near
            closed.check("a cat zeppelin", ["a"])

    def test_a_phrase_in_another_script_is_not_sent_to_a_clip_that_cannot_read_it(self, tiny_clip):
        vocabulary = Vocabulary(frozenset({"a", "golden"}), frozenset({"a"}), {"golden": ["golden"]})
        closed = dataclasses.replace(tiny_clip, vocabulary=vocabulary)
        with pytest.raises(InputError, match="knows these styles: golden. It reads English alone") as told:
            closed.check("水彩画", ["水彩画"])
        assert "For any other phrase" not in str(told.value)

    def test_words_that_a_closed_vocabulary_lacks(self, tiny_clip):
        vocabulary = Vocabulary(frozenset({"a", "sketch"}), frozenset({"a"}), {"crayon": ["crayon sketch"]})
        closed = dataclasses.replace(tiny_clip, vocabulary=vocabulary)
        assert closed.encode_text("A Sketch!").shape == (16,)
        with pytest.raises(
            InputError, match="never saw the words 'neon', 'city'. It knows these styles: crayon sketch"
        ):
            closed.encode_text("a neon city sketch")


class TestDirection:
    def test_weights_are_scaled_to_sum_1(self, tiny_clip):
        text = text_direction(tiny_clip, ["gold", "a sketch"], weights=(6.0, 2.0))
        assert text.weights.tolist() == [0.75, 0.25] and text.targets.shape == (2, 16)
        assert (text.source_prompt, text.prompts) == ("photo", ("gold", "a sketch"))

    def test_equal_by_default(self, tiny_clip):
        assert text_direction(tiny_clip, ["gold", "a sketch"]).weights.tolist() == [0.5, 0.5]

    @pytest.mark.parametrize(
        "prompts, weights, message",
        [
            ([], None, "No prompt was given"),
            (["gold"], (1.0, 2.0), "1 prompts have 2 weights; give one weight for each prompt"),
            (["gold", "ink"], (1.0, -1.0), "weights sum to 0.0; they need a sum above 0"),
            (["gold", ""], None, "The prompt is empty"),
        ],
    )
    def test_messages(self, tiny_clip, prompts, weights, message):
        with pytest.raises(InputError, match=message):
            text_direction(tiny_clip, prompts, weights=weights)


class Executes:
    """Unpickled naively, this creates a file."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return open, (str(self.trace), "w")


class TestLoad:
    @pytest.fixture
    def folder(self, tmp_path, tiny_clip):
        config = {
            "embed_dim": 16,
            "vision_cfg": {"layers": 1, "width": 32, "head_width": 16, "patch_size": 8, "image_size": 32},
            "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
        }
        preprocess = {"mean": [0.1, 0.2, 0.3], "std": [0.2, 0.3, 0.4]}
        text = json.dumps({"model_cfg": config, "preprocess_cfg": preprocess})
        (tmp_path / "open_clip_config.json").write_text(text, encoding="utf-8")
        save_file(tiny_clip.network.state_dict(), tmp_path / "open_clip_model.safetensors")
        return tmp_path

    def test_a_folder_in_open_clips_own_format(self, folder, tiny_clip, picture):
        clip = load_clip(str(folder))
        assert (clip.image_size, clip.mean, clip.std) == (32, (0.1, 0.2, 0.3), (0.2, 0.3, 0.4))
        assert clip.vocabulary is None and not clip.network.training
        assert not any(p.requires_grad for p in clip.network.parameters())
        torch.testing.assert_close(clip.encode_text("gold"), tiny_clip.encode_text("gold"), **CLOSE)

    def test_its_vocabulary(self, folder):
        known = {"words": ["a", "sketch"], "fillers": ["a"], "styles": {"crayon": ["a sketch"]}}
        (folder / "vocabulary.json").write_text(json.dumps(known), encoding="utf-8")
        clip = load_clip(str(folder))
        clip.encode_text("A sketch!")
        with pytest.raises(InputError, match="never saw the word 'golden'. It knows these styles: a sketch"):
            clip.encode_text("golden sketch")
        for phrase in ("a", "123"):
            with pytest.raises(InputError, match="finds no style in"):
                clip.encode_text(phrase)

    @pytest.mark.parametrize("name", ["open_clip_model.safetensors", "open_clip_config.json"])
    @pytest.mark.parametrize("content", [b"", b"hello"])
    def test_a_broken_folder(self, folder, name, content):
        (folder / name).write_bytes(content)
        with pytest.raises(InputError, match="cannot be loaded"):
            load_clip(str(folder))

    def test_weights_with_code_are_refused(self, folder):
        (folder / "open_clip_model.safetensors").unlink()
        torch.save({"w": Executes(folder / "executed")}, folder / "open_clip_pytorch_model.bin")
        with pytest.raises(InputError, match="cannot be loaded") as caught:
            load_clip(str(folder))
        assert not (folder / "executed").exists() and "weights_only" not in str(caught.value)

    def test_an_unknown_name(self):
        with pytest.raises(InputError, match="open_clip has no model 'ViT-X-7'. Use demo, or a name such as ViT-B-16"):
            load_clip("ViT-X-7", "openai")

    def test_a_name_without_weights(self):
        with pytest.raises(InputError, match="ViT-B-16 needs weights: give a pretrained tag .*openai"):
            load_clip("ViT-B-16")

    def test_a_folder_without_weights_is_no_random_network(self, folder):
        (folder / "open_clip_model.safetensors").unlink()
        with pytest.raises(InputError, match="cannot be loaded: Required pretrained weights"):
            load_clip(str(folder))

    def test_a_word_that_is_neither_tag_nor_file(self):
        with pytest.raises(
            InputError, match="ViT-B-16 has no weights 'opnai': it is none of its tags .*openai.*no file"
        ):
            load_clip("ViT-B-16", "opnai")


TINY = {
    "embed_dim": 16,
    "vision_cfg": {"layers": 1, "width": 32, "head_width": 16, "patch_size": 8, "image_size": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
MEAN, STD = (0.1, 0.2, 0.3), (0.2, 0.3, 0.4)


@pytest.fixture
def known(monkeypatch):
    """open_clip knows `tiny` with GELU and the tags plain and quick, and `tiny-quickgelu`."""
    tag = {"url": "", "hf_hub": "org/tiny/", "mean": MEAN, "std": STD}
    quick = {**tag, "hf_hub": "org/quick/weights.pt", "quick_gelu": True}
    models = {"tiny": TINY, "tiny-quickgelu": {**TINY, "quick_gelu": True}}
    for name, config in models.items():
        monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, name, config)
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny", {"plain": tag, "quick": quick})
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny-quickgelu", {"quick": quick})


@pytest.fixture
def state(tiny_clip):
    return dict(tiny_clip.network.state_dict())


@pytest.fixture
def said():
    """What was announced, sentence by sentence."""
    return []


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """cache(REPOSITORY) → the folder in an empty Hugging Face cache where that repository's files belong."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)

    def make(repository):
        folder = tmp_path / f"models--{repository.replace('/', '--')}"
        (folder / "refs").mkdir(parents=True)
        (folder / "refs" / "main").write_text("abc", encoding="utf-8")
        (folder / "snapshots" / "abc").mkdir(parents=True)
        return folder / "snapshots" / "abc"

    return make


@pytest.mark.usefixtures("known")
class TestFile:
    @pytest.mark.parametrize("form", ["plain.pt", "wrapped.pt", "weights.safetensors"])
    def test_every_form_gives_the_same_network(self, form, tmp_path, state, tiny_clip, picture):
        path = tmp_path / form
        if path.suffix == ".safetensors":
            save_file(state, path)
        else:
            wrapped = {"state_dict": {f"module.{key}": value for key, value in state.items()}, "epoch": 3}
            torch.save(wrapped if form == "wrapped.pt" else state, path)
        clip = load_clip("tiny", path)
        assert (clip.name, clip.image_size, clip.mean, clip.std) == ("tiny", 32, MEAN, STD)
        assert not any(p.requires_grad for p in clip.network.parameters()) and not clip.network.training
        torch.testing.assert_close(clip.encode_text("gold"), tiny_clip.encode_text("gold"), **CLOSE)

    def test_half_precision_becomes_single(self, tmp_path, state, tiny_clip):
        save_file({key: value.half() for key, value in state.items()}, tmp_path / "half.safetensors")
        clip = load_clip("tiny", str(tmp_path / "half.safetensors"))
        assert {p.dtype for p in clip.network.parameters()} == {torch.float32}
        # float16 keeps 11 bits of each weight.
        torch.testing.assert_close(clip.encode_text("gold"), tiny_clip.encode_text("gold"), rtol=0.02, atol=0.02)

    def test_the_name_says_the_activation_and_a_doubt_is_spoken(self, tmp_path, state, said):
        path = tmp_path / "weights.safetensors"
        save_file(state, path)
        plain = load_clip("tiny", path, announce=said.append)
        assert plain.activation == "GELU" and len(said) == 1
        assert "tiny runs it with GELU. If it holds the weights quick " in said[0] and "tiny-quickgelu" in said[0]
        quick = load_clip("tiny-quickgelu", path, announce=said.append)
        assert quick.activation == "QuickGELU" and len(said) == 1
        assert not torch.allclose(plain.encode_text("gold"), quick.encode_text("gold"), atol=1e-4)

    def test_the_fields_of_openais_archives_tell_the_activation(self, tmp_path, state, said):
        fields = {"input_resolution": 32, "context_length": 77, "vocab_size": 49408}
        torch.save(state | {key: torch.tensor(value) for key, value in fields.items()}, tmp_path / "openai.pt")
        assert load_clip("tiny", tmp_path / "openai.pt", announce=said.append).activation == "QuickGELU"
        assert said == []

    def test_a_normalisation_that_tags_disagree_in_is_spoken(self, tmp_path, state, said, monkeypatch):
        tags = {tag: {"hf_hub": "org/x/", "mean": MEAN, "std": STD} for tag in ("a", "b")}
        other = {"hf_hub": "org/x/", "mean": (0.5, 0.5, 0.5), "std": STD}
        monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny", {"odd": other, **tags})
        save_file(state, tmp_path / "weights.safetensors")
        assert load_clip("tiny", tmp_path / "weights.safetensors", announce=said.append).mean == MEAN
        assert len(said) == 1 and "holds the weights odd, choose that tag" in said[0]

    @pytest.mark.parametrize(
        "change, message",
        [
            ({"ln_final.bias": None}, r"does not load as CLIP tiny; keys: 1 missing \(ln_final.bias\)"),
            ({"extra": torch.zeros(2)}, r"keys: 1 left over \(extra\)"),
            ({"visual.proj": torch.zeros(32, 8)}, r"keys: 1 of another shape \(visual.proj\)"),
            (
                {"ln_final.bias": torch.full((16,), torch.nan)},
                "is damaged: its weight ln_final.bias has values from nan",
            ),
            ({"ln_final.bias": torch.ones(16).to(torch.float8_e4m3fn)}, r"has float8_e4m3fn weights \(ln_final.bias\)"),
        ],
    )
    def test_what_does_not_fit_is_named(self, tmp_path, state, change, message):
        changed = {key: value for key, value in (state | change).items() if value is not None}
        torch.save(changed, tmp_path / "weights.pt")
        with pytest.raises(UnsupportedCheckpoint, match=message):
            load_clip("tiny", tmp_path / "weights.pt")

    @pytest.mark.parametrize(
        "keys, message",
        [
            (["vision_model.encoder.layers.0.mlp.fc1.bias", "text_model.x"], "in the layout of Hugging Face's transf"),
            (["vision_model.encoder.layers.0.mlp.fc1.bias", "visual_projection.weight"], "a CLIP-vision file, as Com"),
            (["text_model.final_layer_norm.bias"], "a text encoder, as ComfyUI's Load CLIP takes"),
            (["transformer.text_model.final_layer_norm.bias"], "a text encoder"),
            (["visual.proj", "visual.class_embedding"], "the picture tower of a CLIP alone"),
            (["transformer.resblocks.0.mlp.c_fc.bias", "text_projection"], "no CLIP with a picture tower"),
        ],
    )
    def test_other_layouts_are_refused_by_name(self, tmp_path, keys, message):
        save_file({key: torch.zeros(2) for key in keys}, tmp_path / "other.safetensors")
        with pytest.raises(UnsupportedCheckpoint, match=f"{message}.*Choose a pretrained tag such as openai"):
            load_clip("tiny", tmp_path / "other.safetensors")

    @pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning", "ignore:.*torch.jit:DeprecationWarning")
    def test_a_torchscript_archive_is_refused_with_the_way_out(self, tmp_path):
        torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "ViT-B-16.pt"))
        with pytest.raises(UnsupportedCheckpoint, match="TorchScript.*openai"):
            load_clip("tiny", tmp_path / "ViT-B-16.pt")

    def test_code_is_not_run(self, tmp_path):
        torch.save({"w": Executes(tmp_path / "executed")}, tmp_path / "weights.pt")
        with pytest.raises(UnsupportedCheckpoint):
            load_clip("tiny", tmp_path / "weights.pt")
        assert not (tmp_path / "executed").exists()

    def test_no_warning_of_a_random_network(self, tmp_path, state, caplog):
        save_file(state, tmp_path / "weights.safetensors")
        load_clip("tiny", tmp_path / "weights.safetensors")
        assert caplog.messages == []


@pytest.mark.usefixtures("known")
class TestTag:
    @pytest.fixture
    def net(self, monkeypatch):
        """What was asked of the network; it answers as it does without a connection."""
        asked = []

        def download(repo_id, filename, **_):
            asked.append(f"{repo_id}/{filename}")
            raise ConnectionError("Network is unreachable")

        monkeypatch.setattr(open_clip.pretrained, "hf_hub_download", download)
        return asked

    def test_from_the_cache_without_a_word_or_the_network(self, cache, net, state, said, tiny_clip):
        save_file(state, cache("org/tiny") / "open_clip_model.safetensors")
        clip = load_clip("tiny", "plain", announce=said.append)
        assert (said, net, clip.mean, clip.std, clip.activation) == ([], [], MEAN, STD, "GELU")
        torch.testing.assert_close(clip.encode_text("gold"), tiny_clip.encode_text("gold"), **CLOSE)

    @pytest.mark.parametrize("file", ["weights.safetensors", "weights.pt"])
    def test_a_tag_knows_its_activation_and_its_file(self, cache, net, state, file):
        path = cache("org/quick") / file
        save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
        assert load_clip("tiny", "quick").activation == "QuickGELU"
        assert net == []

    def test_a_download_is_announced_before_it_begins(self, cache, state, said, tmp_path, monkeypatch):
        def download(repo_id, filename, **_):
            assert len(said) == 1
            path = tmp_path / filename
            save_file(state, path)
            said.append(f"got {repo_id}/{filename}")
            return str(path)

        monkeypatch.setattr(open_clip.pretrained, "hf_hub_download", download)
        load_clip("tiny", "plain", announce=said.append)
        assert said == [
            f"The weights of CLIP tiny (plain) will be downloaded from https://huggingface.co/org/tiny to {tmp_path}.",
            "got org/tiny/open_clip_model.safetensors",
        ]

    def test_a_download_that_fails_says_address_folder_and_the_other_way(self, cache, net, tmp_path):
        with pytest.raises(InputError, match="could not be downloaded from https://huggingface.co/org/tiny") as caught:
            load_clip("tiny", "plain")
        text = str(caught.value)
        assert str(tmp_path) in text and "Network is unreachable" in text and "give the path of that file" in text
        assert net

    def test_switched_off_nothing_is_downloaded(self, cache, net, said, monkeypatch):
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        with pytest.raises(InputError, match="HF_HUB_OFFLINE forbids it.*give the path of that file"):
            load_clip("tiny", "plain", announce=said.append)
        assert (said, net) == ([], [])

    def test_a_tag_with_an_address_alone(self, tmp_path, state, said, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("USERPROFILE", str(tmp_path))
        tag = {"url": "http://127.0.0.1:9/weights.pt", "hf_hub": "", "mean": MEAN, "std": STD}
        monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny", {"web": tag})
        with pytest.raises(InputError, match="could not be downloaded from http://127.0.0.1:9/weights.pt"):
            load_clip("tiny", "web", announce=said.append)
        assert len(said) == 1
        path = tmp_path / ".cache" / "clip" / "weights.pt"
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(state, path)
        load_clip("tiny", "web", announce=said.append)
        assert len(said) == 1

    @pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04"])
    def test_a_broken_file_in_the_cache(self, cache, net, content):
        path = cache("org/tiny") / "open_clip_model.safetensors"
        path.write_bytes(content)
        with pytest.raises(InputError, match="cannot be loaded") as caught:
            load_clip("tiny", "plain")
        assert str(path) in str(caught.value) and net == []


@pytest.mark.usefixtures("known")
class TestTokenizerOfHuggingFace:
    @pytest.fixture
    def asked(self, monkeypatch):
        """How the package transformers, here a stand-in, was asked for a tokenizer."""
        asked = []

        class AutoTokenizer:
            @staticmethod
            def from_pretrained(name, **options):
                asked.append((name, options.get("local_files_only", False)))
                return types.SimpleNamespace()

        package = types.ModuleType("transformers")
        package.AutoTokenizer = AutoTokenizer
        package.__spec__ = importlib.machinery.ModuleSpec("transformers", None)
        monkeypatch.setitem(sys.modules, "transformers", package)
        return asked

    @pytest.fixture
    def foreign(self, known, monkeypatch, tmp_path, state):
        config = {**TINY, "text_cfg": {**TINY["text_cfg"], "hf_tokenizer_name": "org/words"}}
        monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny", config)
        monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny-quickgelu", {**config, "quick_gelu": True})
        save_file(state, tmp_path / "weights.safetensors")
        return tmp_path / "weights.safetensors"

    def test_its_download_is_announced(self, cache, foreign, asked, said):
        load_clip("tiny", foreign, announce=said.append)
        assert "The tokenizer of CLIP tiny will be downloaded from https://huggingface.co/org/words" in said[-1]
        assert asked == [("org/words", False)]

    def test_a_cached_one_is_read_without_the_network(self, cache, foreign, asked, said):
        (cache("org/words") / "tokenizer.json").write_text("{}", encoding="utf-8")
        load_clip("tiny-quickgelu", foreign, announce=said.append)
        assert (said, asked) == ([], [("org/words", True)])

    def test_switched_off(self, cache, foreign, asked, monkeypatch):
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        with pytest.raises(
            InputError, match="The tokenizer of CLIP tiny would have to be downloaded.*hf download org/wo"
        ):
            load_clip("tiny", foreign)
        assert asked == []

    def test_without_the_package(self, foreign, monkeypatch):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(InputError, match="transformers, which is not installed. Install it"):
            load_clip("tiny", foreign)


class TestNames:
    """Every form of name that open_clip itself takes."""

    @pytest.mark.parametrize(
        "name, own",
        [
            ("ViT-B/16", "ViT-B-16"),
            ("ViT-L/14@336px", "ViT-L-14-336"),
            ("vit-b-16", "ViT-B-16"),
            ("RN50x4", "RN50x4"),
            ("ViT-B-16-quickgelu", "ViT-B-16-quickgelu"),
        ],
    )
    def test_openais_and_any_case(self, name, own):
        assert names.own_name(name) == own and "openai" in tags_of(name)
        assert is_tag(name, "openai") and not is_tag(name, "none")

    def test_every_model_of_open_clip_has_its_own_name(self):
        for model in open_clip.list_models():
            assert names.own_name(model) == model

    @pytest.mark.parametrize(
        "name, told",
        [
            ("openai/clip-vit-base-patch16", "is written hf-hub:openai/clip-vit-base-patch16"),
            ("ViT-X", "open_clip has no model 'ViT-X'"),
            ("local-dir:/none", "no CLIP in the folder /none"),
            ("hf-hub:", "is no repository of Hugging Face"),
            ("hf-hub:a/b/c", "is no repository of Hugging Face"),
        ],
    )
    def test_what_is_none(self, name, told):
        with pytest.raises(InputError, match=told):
            load_clip(name, "openai")

    def test_a_workflow_names_no_folder_and_no_repository(self):
        for name in ("local-dir:/share/x", "hf-hub:a/b"):
            with pytest.raises(InputError, match="is a repository or a folder, and not taken here"):
                is_tag(name, "openai")

    @pytest.fixture
    def saved(self, tmp_path, tiny_clip):
        text = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
        vision = {"layers": 1, "width": 32, "head_width": 16, "patch_size": 8, "image_size": 32}
        config = {"model_cfg": {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}, "preprocess_cfg": {}}
        folder = tmp_path / "hub" / "models--some--clip" / "snapshots" / ("0" * 40)
        folder.mkdir(parents=True)
        (folder / "open_clip_config.json").write_text(json.dumps(config))
        save_file(tiny_clip.network.state_dict(), folder / "open_clip_model.safetensors")
        refs = folder.parents[1] / "refs"
        refs.mkdir()
        (refs / "main").write_text("0" * 40)
        return folder

    def test_a_folder_by_its_prefix_and_from_home(self, saved, tiny_clip, picture, monkeypatch):
        monkeypatch.setenv("HOME", str(saved.parent))
        monkeypatch.setenv("USERPROFILE", str(saved.parent))
        wanted = tiny_clip.network.visual.state_dict()
        for name in (f"local-dir:{saved}", str(saved), f"~/{saved.name}", f"local-dir:~/{saved.name}"):
            found = load_clip(name).network.visual.state_dict()
            assert all(torch.equal(found[key], wanted[key]) for key in wanted)

    def test_the_built_in_one_by_its_name(self):
        by_name, by_folder = load_clip("demo"), load_clip(str(demo.CLIP))
        assert by_name.name == by_folder.name and by_name.vocabulary == by_folder.vocabulary

    def test_a_repository_from_the_cache_without_asking_the_network(self, saved, monkeypatch):
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(saved.parents[2]))
        monkeypatch.setattr("qs_core.features.names.cached", lambda repository, *files: str(saved / files[0]))
        clip = load_clip("hf-hub:some/clip", announce=pytest.fail)
        assert clip.name == "hf-hub:some/clip"

    def test_a_repository_that_must_be_fetched_is_said_first(self, monkeypatch, saved):
        told = []

        def fetch(repository, allow_patterns):
            assert repository == "some/other" and told
            return str(saved)

        monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
        assert load_clip("hf-hub:some/other", announce=told.append).image_size == 32
        assert "CLIP hf-hub:some/other will be downloaded from" in told[0]
