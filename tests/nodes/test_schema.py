"""What the menu says: names, tooltips, defaults."""

import json
from dataclasses import fields
from pathlib import Path

import pytest

NODES = [
    "LoadDiffusionModel",
    "LoadOpenCLIP",
    "CLIPTextDirection",
    "EncodeInvertDDIM",
    "QSAttnGuidedSampler",
    "QSRestyle",
    "QSStylePreset",
    "QSCLIPLoss",
    "QSContrastiveLoss",
    "QSMSELoss",
    "QSRangeLoss",
    "QSVGGLoss",
    "QSViTLoss",
    "QSIdentityLoss",
    "QSFineTuneStyle",
    "QSLoadStyle",
    "QSApplyStyle",
    "QSPromptList",
    "QSSampleImage",
    "QSAttnHeatmap",
    "QSCompareGrid",
    "QSBeforeAfter",
    "QSStylePicture",
    "UseNativeModel",
    "UseNativeModelX0",
]
SNAPSHOT = Path(__file__).parents[1] / "comfyui" / "object_info.json"
WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN")
# Where a node's default is another than the library's: in ComfyUI a picture is expected back at the size it had, and
# strength 0 to be that very picture.
OTHERWISE = {
    ("QSAttnGuidedSampler", "output_size"): "original",
    ("QSApplyStyle", "output_size"): "original",
    ("QSViTLoss", "vit_structure"): 200_000.0,  # a node that is added is meant to do something
    ("QSViTLoss", "vit_contrastive"): 20_000.0,
}
# Widgets that are called otherwise, or say None with a plain value, and what they stand for in Settings.
STANDS_FOR = {
    ("LoadOpenCLIP", "dtype"): ("clip_dtype", "auto"),
    ("QSFineTuneStyle", "learning_rate"): ("learning_rate", None),
    "model_name": ("model", "demo"),
    "clip_name": ("clip", "demo"),
    "size": ("size", None),
    "tile": ("tile", None),
    "num_anchors": ("num_anchors", None),
    "attend": ("attend", None),
    "layers": ("layers", None),
    "steps": ("steps", "50"),
    "start_seed": ("seed", 0),
    "crop_area_min": ("crop_area", (0.05, 0.3)),
    "crop_area_max": ("crop_area", (0.05, 0.3)),
}


def test_ids_are_those_that_saved_workflows_name(pack):
    assert list(pack.classes) == NODES
    assert set(pack.module.NODE_DISPLAY_NAME_MAPPINGS) == set(NODES)


@pytest.mark.parametrize("node", NODES)
def test_inputs_are_those_of_the_snapshot(pack, node):
    """Names, order, types, defaults, ranges and texts, without a ComfyUI; choices of files are the user's."""
    cls, promised = pack.classes[node], json.loads(SNAPSHOT.read_text(encoding="utf-8"))[node]
    declared = json.loads(json.dumps(cls.INPUT_TYPES()))
    assert {section: list(inputs) for section, inputs in declared.items()} == promised["input_order"]
    for section, inputs in declared.items():
        for name, (kind, *options) in inputs.items():
            its_kind, *its_options = promised["input"][section][name]
            assert options == its_options and (kind == its_kind or isinstance(kind, list)), name
    assert (cls.DESCRIPTION, cls.CATEGORY) == (promised["description"], promised["category"])
    assert pack.module.NODE_DISPLAY_NAME_MAPPINGS[node] == promised["display_name"]


@pytest.mark.parametrize("node", NODES)
def test_node_says_what_it_is(pack, node):
    cls = pack.classes[node]
    assert cls.CATEGORY == "QS Style Transfer"
    assert len(cls.DESCRIPTION) > 60 and cls.DESCRIPTION.endswith(".")
    assert cls.SEARCH_ALIASES
    assert len(cls.OUTPUT_TOOLTIPS) == len(cls.RETURN_TYPES)
    assert callable(getattr(cls, cls.FUNCTION))


@pytest.mark.parametrize("node", NODES)
def test_every_input_has_a_tooltip(pack, node):
    for name, spec in pack.inputs(node).items():
        assert len(spec[1]["tooltip"]) > 15, name
        assert spec[1]["tooltip"].endswith("."), name


@pytest.mark.parametrize("node", NODES)
def test_defaults_lie_in_their_ranges(pack, node):
    for name, (kind, options) in pack.inputs(node).items():
        if isinstance(kind, list):
            assert options["default"] in kind, name
        elif "min" in options:
            assert options["min"] <= options["default"] <= options["max"], name


def test_defaults_are_those_of_settings(pack):
    settings = {field.name: field.default for field in fields(pack.part("qs_core.settings").Settings)}
    training = {field.name: field.default for field in fields(pack.part("qs_core.finetune").Training)}
    compared = set()
    for node in NODES:
        known = training if node == "QSFineTuneStyle" else settings
        for name, value in pack.defaults(node).items():
            setting, expected = STANDS_FOR.get((node, name)) or STANDS_FOR.get(name, (name, value))
            if setting in known:
                assert OTHERWISE.get((node, name), known[setting]) == expected, (node, name)
                compared.add(setting)
    # What no node offers: one result a run, losses with files but as nodes of their own, devices are ComfyUI's.
    left = (
        set(settings)
        - compared
        - {
            "prompts",
            "prompt_weights",
            "style_images",
            "style_weights",
            "clip_pretrained",
            "model_options",
            "vgg",
            "vgg_weights",
            "vit",
            "vit_weights",
            "identity",
            "identity_weights",
            "more_clips",
            "restart_above",
            "count",
            "device",
        }
        # Where memory runs short the nodes spare it by themselves; of what changes the picture they offer what pays.
        - {"crop_chunk", "gradient_checkpointing", "final_crops", "guidance_interval"}
        - {"plain_below"}  # goes with trust_radius; with one widget more the sampler opens too small to read
        - {"dequantize"}  # without it is the papers' way, which only adds lines
    )
    assert not left
    area = pack.defaults("QSAttnGuidedSampler")
    assert (area["crop_area_min"], area["crop_area_max"]) == settings["crop_area"]
    assert str(pack.defaults("EncodeInvertDDIM")["steps"]) == settings["steps"]


# Dials that came after the node was published, so that they stand among the optional inputs.
FRONT = {("QSAttnGuidedSampler", "style"), ("QSAttnGuidedSampler", "content")}


def test_optional_widgets_are_the_advanced_ones(pack):
    for node in NODES:
        for name, (kind, options) in pack.classes[node].INPUT_TYPES().get("optional", {}).items():
            if isinstance(kind, list) or kind in WIDGETS:
                assert options.get("advanced") or (node, name) in FRONT, (node, name)


def test_the_sampler_shows_few_widgets(pack):
    shown = [name for name, spec in pack.inputs("QSAttnGuidedSampler").items() if "default" in spec[1]]
    shown = [name for name in shown if not pack.inputs("QSAttnGuidedSampler")[name][1].get("advanced")]
    assert shown == ["seed", "strength", "preview_every", "style", "content"]


@pytest.mark.parametrize("node", [node for node in NODES if node.endswith("Loss")])
def test_bypassing_a_loss_passes_the_others_on(pack, node):
    """ComfyUI passes an output the first input of its type: that must be the one input `losses`."""
    cls, inputs = pack.classes[node], pack.inputs(node)
    assert cls.RETURN_TYPES == ("QS_LOSSES",)
    assert [name for name, spec in inputs.items() if spec[0] == "QS_LOSSES"] == ["losses"]
    assert "losses" in cls.INPUT_TYPES()["optional"]


@pytest.mark.parametrize("node", NODES)
def test_every_input_reaches_the_node(pack, node):
    """No declared input lacks a parameter of the node's method, and the method's defaults are the widgets'."""
    import inspect

    cls = pack.classes[node]
    signature = inspect.signature(getattr(cls, cls.FUNCTION)).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature.values())
    for name, (_, options) in pack.inputs(node).items():
        assert takes_any or name in signature, name
        default = signature[name].default if name in signature else inspect.Parameter.empty
        if default is not inspect.Parameter.empty and "default" in options:
            assert (default[0] if getattr(cls, "INPUT_IS_LIST", False) else default) == options["default"], name


def test_the_root_declares_a_web_directory_only_if_it_is_there(pack):
    import pathlib

    there = (pathlib.Path(pack.module.__file__).parent / "web").is_dir()
    assert hasattr(pack.module, "WEB_DIRECTORY") == there
