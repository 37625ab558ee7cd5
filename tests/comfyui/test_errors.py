"""Graphs that cannot work: the node that is at fault says so, with what came and what to do."""

import re

import pytest

QUICK = {"steps": 8, "skip": 4, "size": 64, "crops": 4}


@pytest.fixture
def graph(prompt):
    """A function: the quick start without its preview of the source, which would run by itself."""

    def build(**changes) -> dict:
        graph = prompt("2_step_by_step", **QUICK | changes)
        return {key: node for key, node in graph.items() if node["class_type"] != "PreviewImage"}

    return build


@pytest.fixture
def faulty(graph, node_id):
    """A function: the same with a picture and a mask at fault."""

    def build(image: str = "none", mask: str | None = None) -> dict:
        built = graph()
        built["faulty"] = {"class_type": "FaultyInputs", "inputs": {"image_fault": image, "mask_fault": mask or "none"}}
        built[node_id(built, "EncodeInvertDDIM")]["inputs"]["image"] = ["faulty", 0]
        if mask:
            built[node_id(built, "QSAttnGuidedSampler")]["inputs"]["mask"] = ["faulty", 1]
        return built

    return build


@pytest.fixture
def refused(client, harness):
    """A function: what the nodes of a graph that is not even started say, by kind."""

    def post(graph: dict) -> dict[str, str]:
        with pytest.raises(harness.RejectedError) as caught:
            client.run(graph)
        assert caught.value.status == 400
        said = {}
        for node in caught.value.answer["node_errors"].values():
            said[node["class_type"]] = "\n".join(f"{error['message']}: {error['details']}" for error in node["errors"])
        return said

    return post


@pytest.mark.parametrize(
    "kind, changes, message",
    [
        (
            "LoadDiffusionModel",
            {"model_name": "256x256_diffusion_uncond.pt"},
            r"Fetch 256x256_diffusion_uncond.pt from https://\S+ or https://\S+; its SHA-256 is [0-9a-f]{64}\. "
            r"Put it into \S+/models/qs_diffusion\.",
        ),
        (
            "LoadDiffusionModel",
            {"model_name": "lost.pt"},
            r"There is no model 'lost\.pt'\. Put the file into \S+/models/qs_diffusion\. .*choose demo",
        ),
        (
            "LoadDiffusionModel",
            {"model_name": "../../secret.pt"},
            r"There is no model '\.\./\.\./secret\.pt'",
        ),
        (
            "LoadDiffusionModel LoadOpenCLIP",
            {"dtype": "float8"},
            r"dtype: 'float8' not in \['auto', 'float32'",
        ),
        ("QSAttnGuidedSampler", {"sampler": "euler"}, r"sampler: 'euler' not in \[.*'ddpm'"),
        ("QSAttnGuidedSampler", {"anchors": "best"}, r"anchors: 'best' not in \[.*'global'"),
        ("QSAttnGuidedSampler", {"strength": 1.5}, r"(?i)bigger than max.*1\.0|strength"),
        ("QSAttnGuidedSampler", {"attend": "deep"}, r"deep"),
        ("EncodeInvertDDIM", {"spacing": "no"}, r"Respacing 'no' is not understood"),
        (
            "LoadOpenCLIP",
            {"clip_name": "ViT-B-32", "pretrained": "no_such_tag"},
            r"ViT-B-32 has no weights 'no_such_tag': it is none of its tags \(openai, .*Choose a tag, or put the file",
        ),
        ("CLIPTextDirection", {"prompt": " \n"}, r"The prompt is empty\. Write a phrase such as: a sketch with crayon"),
        ("CLIPTextDirection", {"prompt": "golden::heavy"}, r"ends in ::heavy; give a number there"),
    ],
    ids=lambda value: "-".join(map(str, value.values())).strip() if isinstance(value, dict) else "",
)
def test_a_widget_that_cannot_be_is_refused_before_anything_runs(graph, refused, kind, changes, message):
    said = refused(graph(**changes))
    assert set(said) == set(kind.split())
    assert all(re.search(message, each) for each in said.values())


@pytest.mark.parametrize(
    "changes", [{"prompt": " "}, {"spacing": "no"}, {"attend": "deep"}], ids=lambda c: next(iter(c))
)
def test_the_input_at_fault_alone_is_marked(client, harness, graph, changes):
    with pytest.raises(harness.RejectedError) as caught:
        client.run(graph(**changes))
    (node,) = caught.value.answer["node_errors"].values()
    assert [error["extra_info"]["input_name"] for error in node["errors"]] == list(changes)


@pytest.mark.parametrize(
    "kind, name, source, value, message",
    [
        ("QSAttnGuidedSampler", "contrastive", "PrimitiveFloat", -300.0, r"contrastive is -300\.0 by a link; a number"),
        ("QSAttnGuidedSampler", "seed", "PrimitiveInt", -5, r"seed is -5 by a link; a whole number from 0 to 18446744"),
        ("EncodeInvertDDIM", "steps", "PrimitiveInt", 1001, r"steps is 1001 by a link; a whole number from 2 to 1000"),
    ],
)
def test_a_linked_value_out_of_range_is_refused_as_a_typed_one(
    client, graph, node_id, kind, name, source, value, message
):
    built = graph()
    built["number"] = {"class_type": source, "inputs": {"value": value}}
    built[node_id(built, kind)]["inputs"][name] = ["number", 0]
    run = client.run(built)
    (event,) = run.of("execution_error")
    assert (event.data["node_type"], event.data["exception_type"]) == (kind, "QS.InputError")
    assert re.search(message, event.data["exception_message"]), run.error


@pytest.mark.parametrize(
    "kind, name, source, message",
    [
        ("EncodeInvertDDIM", "image", "LoadDiffusionModel", r"image, received_type\(QS_MODEL\) mismatch .*\(IMAGE\)"),
        ("EncodeInvertDDIM", "model", "LoadOpenCLIP", r"model, received_type\(QS_CLIP\) mismatch .*\(QS_MODEL\)"),
        ("QSAttnGuidedSampler", "text", "LoadOpenCLIP", r"text, received_type\(QS_CLIP\) mismatch .*\(QS_TEXT\)"),
        ("QSAttnGuidedSampler", "mask", "QSSampleImage", r"mask, received_type\(IMAGE\) mismatch .*\(MASK\)"),
        ("QSAttnGuidedSampler", "losses", "CLIPTextDirection", r"losses, received_type\(QS_TEXT\) mismatch"),
    ],
)
def test_a_wrong_wire_is_refused(graph, refused, node_id, kind, name, source, message):
    built = graph()
    built[node_id(built, kind)]["inputs"][name] = [node_id(built, source), 0]
    assert re.search(message, refused(built)[kind])


@pytest.mark.parametrize("kind, name", [("EncodeInvertDDIM", "image"), ("QSAttnGuidedSampler", "text")])
def test_a_missing_wire_is_named(graph, refused, node_id, kind, name):
    built = graph()
    del built[node_id(built, kind)]["inputs"][name]
    assert refused(built)[kind] == f"Required input is missing: {name}"


@pytest.mark.parametrize(
    "kind, faults, message",
    [
        ("EncodeInvertDDIM", {"image": "NaN"}, r"The image holds NaN or infinity in 12288 of its 12288 values"),
        ("EncodeInvertDDIM", {"image": "empty"}, r"The image has shape \(0, 64, 64, 3\); \(batch, height, width"),
        ("EncodeInvertDDIM", {"image": "latent"}, r"The image has shape \(1, 4, 8, 8\); .*channels\) is needed"),
        ("QSAttnGuidedSampler", {"mask": "NaN"}, r"The mask holds NaN or infinity in 4096 of its 4096 values"),
        ("QSAttnGuidedSampler", {"mask": "empty"}, r"The mask has shape \(1, 0, 0\); .*leave the input unconnected"),
        ("QSAttnGuidedSampler", {"mask": "too many"}, r"There are 3 masks for 1 pictures\. Give one for all"),
    ],
)
def test_a_faulty_picture_or_mask_stops_the_node_that_gets_it(client, faulty, kind, faults, message):
    run = client.run(faulty(**faults))
    assert run.status == "error"
    (event,) = run.of("execution_error")
    assert event.data["node_type"] == kind
    assert re.search(message, event.data["exception_message"]), run.error


def test_the_node_that_makes_them_makes_good_ones_too(client, faulty):
    assert client.run(faulty(mask="none")).status == "success"


@pytest.mark.parametrize(
    "kind, changes, message",
    [
        ("LoadDiffusionModel", {"model_name": "broken.pt"}, r"broken\.pt is no "),
        ("CLIPTextDirection", {"prompt": "a zeppelin"}, r"never saw the word 'zeppelin'"),
        ("CLIPTextDirection", {"source_prompt": ""}, r"The source_prompt is empty\. Write a phrase such as: photo"),
        ("EncodeInvertDDIM", {"skip": 8}, r"skip 8 of 8 steps is not possible with start inverted; give 1 to 7"),
        ("QSAttnGuidedSampler", {"crop_area_min": 0.9}, r"Crop area 0\.9, 0\.3: give a range"),
    ],
)
def test_what_only_running_shows_is_said_by_the_node(client, graph, kind, changes, message):
    run = client.run(graph(**changes))
    assert run.status == "error"
    (event,) = run.of("execution_error")
    assert event.data["node_type"] == kind
    assert event.data["exception_type"] in ("QS.InputError", "QS.UnsupportedCheckpoint"), run.error
    assert re.search(message, event.data["exception_message"]), run.error


def test_after_an_error_the_next_run_works(client, graph):
    assert client.run(graph(model_name="broken.pt")).status == "error"
    run = client.run(graph(seed=11))
    assert run.status == "success", run.error
