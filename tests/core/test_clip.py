"""Phrases and pictures to embeddings, with a tiny random CLIP."""

import dataclasses
import json

import pytest
import torch
from open_clip.zero_shot_metadata import OPENAI_IMAGENET_TEMPLATES
from safetensors.torch import save_file
from torch.nn.functional import normalize

from qs_core.errors import InputError
from qs_core.features.clip import Vocabulary, load_clip, text_direction

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
