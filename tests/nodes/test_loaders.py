"""The loaders: what they pass on to the library, and what they refuse."""

import pytest
import torch


@pytest.fixture
def asked(pack, monkeypatch):
    """The keyword arguments that reach load_model."""
    loaders, seen = pack.part("nodes.loaders"), {}

    def load_model(path, **options):
        seen.update(options, path=path)
        return loaders_load()

    loaders_load = loaders.load_model
    monkeypatch.setattr(loaders, "load_model", load_model)
    return seen


def test_by_default_nothing_is_overridden(pack, asked):
    pack("LoadDiffusionModel")
    assert asked == {"path": "demo", "dtype": "float32", "class_label": None}


def test_what_the_user_sets_overrides(pack, asked):
    pack(
        "LoadDiffusionModel",
        image_size=512,
        noise_schedule="cosine",
        variance="fixed_small",
        num_heads=4,
        use_new_attention_order="yes",
        class_label=207,
        dtype="bfloat16",
    )
    expected = {"image_size": 512, "noise_schedule": "cosine", "variance": "fixed_small", "num_heads": 4}
    expected |= {"use_new_attention_order": True, "class_label": 207, "dtype": "bfloat16", "path": "demo"}
    assert asked == expected


def test_an_override_that_does_not_fit_says_so(pack, input_error):
    with pytest.raises(input_error, match="num_heads=5 does not divide"):
        pack("LoadDiffusionModel", num_heads=5)


@pytest.mark.parametrize("name", ["../secrets.pt", "/etc/passwd", "C:\\x.pt", "a/../../b.safetensors", "none.pt", ""])
def test_names_that_are_not_in_the_folder_are_refused_before_the_run(pack, input_error, name):
    told = pack.classes["LoadDiffusionModel"].VALIDATE_INPUTS(name)
    assert "There is no model" in told and "models/qs_diffusion" in told
    with pytest.raises(input_error, match="There is no model"):
        pack("LoadDiffusionModel", model_name=name)


def test_a_published_file_that_is_missing_is_told_with_address_hash_and_folder(pack):
    told = pack.classes["LoadDiffusionModel"].VALIDATE_INPUTS("256x256_diffusion_uncond.pt")
    for part in ("256x256_diffusion_uncond.pt", "https://", "a37c32fffd316cd4", "models/qs_diffusion"):
        assert part in told


def test_the_built_in_model_is_always_there(pack):
    assert pack.classes["LoadDiffusionModel"].VALIDATE_INPUTS("demo") is True
    assert pack.classes["LoadDiffusionModel"].VALIDATE_INPUTS(None) is True


def test_what_was_guessed_is_logged(pack, monkeypatch, caplog, tmp_path):
    loaders = pack.part("nodes.loaders")
    config = pack.part("qs_core.unets.adm").ADMConfig(32, (1, 2), 1, (2,), 6, True, True, num_head_channels=32)
    torch.save(pack.part("qs_core.unets.adm").ADMUNet(config).state_dict(), tmp_path / "mine.pt")
    monkeypatch.setattr(loaders, "model_path", lambda _: str(tmp_path / "mine.pt"))
    pack("LoadDiffusionModel", model_name="mine.pt", image_size=64)
    (line,) = [record.message for record in caplog.records if "guessed" in record.message]
    assert "mine.pt: guessed, not known: num_head_channels, use_new_attention_order, noise_schedule" in line


class TestCLIP:
    @pytest.mark.parametrize("file", ["../clip.pt", "/etc/passwd", "mine.safetensors", ""])
    def test_weights_that_are_no_tag_and_no_file_of_the_folder(self, pack, input_error, file):
        told = pack.classes["LoadOpenCLIP"].VALIDATE_INPUTS("ViT-B-16", file, "")
        assert f"ViT-B-16 has no weights {file!r}" in told and "openai" in told and "models/qs_clip" in told
        with pytest.raises(input_error, match="none of its tags"):
            pack("LoadOpenCLIP", clip_name="ViT-B-16", pretrained=file)

    @pytest.mark.parametrize("name", ["ViT-B-17", "../folder", "/tmp"])
    def test_names_that_open_clip_does_not_know(self, pack, name):
        assert f"open_clip has no model {name!r}" in pack.classes["LoadOpenCLIP"].VALIDATE_INPUTS(
            "demo", "openai", name
        )

    def test_pretrained_lists_the_tags_and_takes_what_was_once_typed(self, pack, input_error):
        import open_clip

        (listed, _) = pack.inputs("LoadOpenCLIP")["pretrained"]
        assert listed[0] == "openai" and len(listed) == len(set(listed))
        assert set(listed) == {tag for _, tag in open_clip.list_pretrained()}
        cls = pack.classes["LoadOpenCLIP"]
        assert cls.VALIDATE_INPUTS("ViT-B-16", " openai ", "") is True
        assert cls.VALIDATE_INPUTS("ViT-B-16", None, "", {"pretrained": "STRING"}) is True  # linked, as texts could be

    def test_a_tag_is_fine(self, pack):
        validate = pack.classes["LoadOpenCLIP"].VALIDATE_INPUTS
        assert validate("ViT-B-16", "openai", "") is True
        assert validate("demo", "openai", "") is True
        assert validate(None, "openai", "") is True

    def test_a_download_is_said_before_it_begins(self, pack, monkeypatch, caplog):
        loaders = pack.part("nodes.loaders")

        def load_clip(name, weights, announce, instead):
            assert "models/qs_clip, press R, and give its name in place of the tag" in instead
            announce(f"{name} {weights} will be downloaded.")
            raise KeyboardInterrupt

        monkeypatch.setattr(loaders, "load_clip", load_clip)
        with pytest.raises(KeyboardInterrupt):
            pack("LoadOpenCLIP", clip_name="ViT-B-16")
        assert "ViT-B-16 openai will be downloaded." in caplog.text


@pytest.mark.parametrize("chosen, expected", [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_clips_picture_tower_has_the_chosen_dtype(pack, chosen, expected):
    clip = pack("LoadOpenCLIP", dtype=chosen).core
    assert clip.dtype == expected
    assert {p.dtype for name, p in clip.network.named_parameters() if not name.startswith("visual.")} == {torch.float32}


def test_clips_dtype_is_by_default_that_of_the_device_it_will_run_on(pack, monkeypatch):
    loaders, seen = pack.part("nodes.loaders"), []
    monkeypatch.setattr(type(loaders.HOST), "device", torch.device("meta"))
    monkeypatch.setattr(loaders, "choose_clip_dtype", lambda name, _, device: seen.append((name, device)) or "float16")
    assert pack("LoadOpenCLIP").core.dtype == torch.float16
    assert seen == [("auto", torch.device("meta"))]
