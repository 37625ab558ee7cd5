"""The pack in a running ComfyUI: previews, cancel, memory, what is computed again."""

import io

import pytest
from PIL import Image

# Small enough for many runs on a CPU.
QUICK = {"steps": 8, "skip": 4, "size": 64, "crops": 4}


def test_previews_arrive_from_both_walks(client, prompt, node_id):
    graph = prompt("2_step_by_step", seed=1, preview_every=2, **QUICK)
    run = client.run(graph)
    assert run.status == "success", run.error
    senders = [event.data["node_id"] for event in run.previews]
    # Of four steps, the second and the last.
    assert senders.count(node_id(graph, "EncodeInvertDDIM")) == 2
    assert senders.count(node_id(graph, "QSAttnGuidedSampler")) == 2
    preview = Image.open(io.BytesIO(run.previews[-1].payload))
    assert min(preview.size) > 300  # enlarged, to be seen


def test_no_previews_where_they_are_off(client, prompt):
    run = client.run(prompt("2_step_by_step", seed=2, preview_every=0, **QUICK))
    assert run.status == "success" and not run.previews
    assert len(run.of("progress")) >= 4


@pytest.mark.parametrize("kind", ["EncodeInvertDDIM", "QSAttnGuidedSampler"])
def test_interrupt_stops_within_a_step_and_the_next_run_works(client, prompt, node_id, kind):
    graph = prompt("2_step_by_step", **QUICK | {"steps": 60, "skip": 2, "seed": 3, "preview_every": 1})
    sender = node_id(graph, kind)
    asked = []

    def watch(event):
        if not asked and event.type == "preview" and event.data["node_id"] == sender:
            client.interrupt()
            asked.append(event.seconds)

    run = client.run(graph, watch=watch)
    assert run.status == "interrupted"
    # The step under way when it was asked for may still be told of, and the one whose message was under way.
    late = [e for e in run.previews if e.seconds > asked[0] and e.data["node_id"] == sender]
    assert len(late) <= 2
    assert client.run(prompt("2_step_by_step", seed=4, **QUICK)).status == "success"


def test_after_free_the_same_graph_gives_the_same_bytes(client, prompt, saved):
    graph = prompt("2_step_by_step", seed=5, **QUICK)
    before = client.run(graph)
    assert before.status == "success", before.error
    client.free()
    after = client.run(graph)
    assert after.status == "success", after.error
    assert not cached(after)  # all of it ran again
    assert saved(before, graph) == saved(after, graph)


def cached(run) -> set[str]:
    """The nodes whose outputs were taken as they were."""
    return {name for event in run.of("execution_cached") for name in event.data["nodes"]}


def ran(run, graph: dict) -> set[str]:
    """The kinds of nodes that were run."""
    return {graph[event.data["node"]]["class_type"] for event in run.of("executing") if event.data["node"]}


@pytest.mark.parametrize(
    "change, again",
    [
        ({"prompt": "golden"}, {"CLIPTextDirection", "QSAttnGuidedSampler", "SaveImage"}),
        ({"seed": 7}, {"QSAttnGuidedSampler", "SaveImage"}),
        ({"strength": 0.5}, {"QSAttnGuidedSampler", "SaveImage"}),
        ({"clip_directional": 9000.0}, {"QSAttnGuidedSampler", "SaveImage"}),
        ({"skip": 5}, {"EncodeInvertDDIM", "QSAttnGuidedSampler", "SaveImage"}),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_only_what_hangs_on_a_change_is_computed_again(client, prompt, change, again):
    first = client.run(prompt("2_step_by_step", seed=6, **QUICK))
    assert first.status == "success", first.error
    graph = prompt("2_step_by_step", **{"seed": 6} | QUICK | change)
    second = client.run(graph)
    assert second.status == "success", second.error
    assert ran(second, graph) == again
    assert len(cached(second)) == len(graph) - len(again)


def test_a_changed_seed_is_another_picture_and_the_old_one_the_old(client, prompt, saved):
    graphs = [prompt("2_step_by_step", seed=seed, **QUICK) for seed in (8, 9, 8)]
    runs = [client.run(graph) for graph in graphs]
    first, other, again = (saved(run, graph) for run, graph in zip(runs, graphs, strict=True))
    assert pixels(first) != pixels(other)
    assert pixels(first) == pixels(again)


def pixels(file: bytes) -> bytes:
    return Image.open(io.BytesIO(file)).tobytes()


def test_many_runs_do_not_grow_memory(client, server, prompt):
    """Twenty seeds: graphs of autograd, previews and old results are let go of."""
    try:
        server.memory()
    except FileNotFoundError:
        pytest.skip("memory is read from /proc")
    held = []
    for seed in range(100, 125):
        run = client.run(prompt("2_step_by_step", seed=seed, preview_every=1, **QUICK))
        assert run.status == "success", run.error
        held.append(server.memory())
    settled, end = held[4], max(held[-3:])
    assert end < 1.05 * settled, [f"{size / 2**20:.0f} MiB" for size in held]


def test_a_model_of_the_user_s_own(client, prompt, saved):
    graphs = [prompt("2_step_by_step", seed=5, model_name=name, **QUICK) for name in ("mine.safetensors", "demo")]
    runs = [client.run(graph) for graph in graphs]
    assert runs[0].status == "success", runs[0].error
    mine, built_in = (pixels(saved(run, graph)) for run, graph in zip(runs, graphs, strict=True))
    assert mine == built_in  # it is a copy of the built-in one
