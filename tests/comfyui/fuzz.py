"""Random graphs of the pack's nodes with ComfyUI's own picture nodes, at about 32 pixels.

    COMFYUI_PATH=... COMFYUI_PYTHON=... python tests/comfyui/fuzz.py --first 0 --count 1000

A graph follows from its seed and from /object_info alone. A fault is: the server dies, a graph does not end, or one of
the pack's nodes fails otherwise than by an error of its own.
"""

import argparse
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OURS = "QS Style Transfer"
LINKS = {"IMAGE", "MASK", "QS_MODEL", "QS_CLIP", "QS_TEXT", "QS_INVERSION", "QS_LOSSES", "QS_STYLES"}
WIDGETS = {"COMBO", "INT", "FLOAT", "STRING", "BOOLEAN"}
SLOW = {"QSFineTuneStyle"}  # a training
MAKERS = {  # ComfyUI's own nodes, by what they give
    "IMAGE": ["LoadImage", "EmptyImage", "ImageScale", "ImageBatch", "ImageInvert", "MaskToImage", "RepeatImageBatch"],
    "MASK": ["LoadImage", "SolidMask", "ImageToMask", "InvertMask", "ThresholdMask"],
    "INT": ["PrimitiveInt"],
    "FLOAT": ["PrimitiveFloat"],
    "STRING": ["PrimitiveString"],
    "BOOLEAN": ["PrimitiveBoolean"],
}
SHOWN = {"IMAGE": ("PreviewImage", "images"), "STRING": ("PreviewAny", "source")}
PHRASES = ["golden", "wooden", "an oil painting", "a::2\ngolden", "水彩画", "", " ", "golden::x", "a zeppelin"]
SMALL = {  # values that keep a graph small; what is out of range is refused before it costs anything
    "size": [32, 32, 40, 16, 8, 64, -8, 4096],
    "steps": [4, 6, 8, 2, 1, 1001],
    "skip": [2, 3, 1, 4, 0, 7, 1000],
    "width": [32, 48, 24, 64, 8, 4, 1],
    "height": [32, 32, 40, 64, 8, 4],
    "batch_size": [1, 1, 1, 2, 3],
    "amount": [1, 2, 3],
    "crops": [1, 2, 4, 0, 1025],
    "first_step_repeats": [1, 1, 3, 0, 1001],
    "restarts": [0, 0, 1, -1, 1001],
    "short_side": [128, 192, 64],
    "spacing": ["", "", "4", "2,3", "ddim4", "ddim50", "no", "0"],
    "attend": ["", "", "all", "16, 8", "deep", "7"],
    "layers": ["", "", "all", "32", "deep"],
    "labels": ["", "a", "a\nb", "a\nb\nc"],
    "lines": ["golden\nwooden", "x = golden | wooden::2", "golden", "", "golden::x"],
    "clip_name": ["demo", "demo", "demo", "nope"],
    "custom_name": ["", "", "", "nope"],
    "model_name": ["demo", "demo", "demo", "mine.safetensors", "broken.pt", "gone.pt"],
    "templates": [False] * 9 + [True],
    "image": ["example.png", "small.png", "clear.png"],
    "upscale_method": ["bilinear", "area"],
    "weights_file": ["torchvision", "gone.pth"],
    "source_prompt": ["photo", "photo", "photo", "", "photo::2"],
    "feather": [0, 1, 8, 512, 513],
    "num_anchors": [0, 1, 5, 100_000],
    "num_heads": [0, 0, 0, 7, 4],
    "num_head_channels": [0, 0, 0, 64, 32],
    "image_size": [0, 64, 256, 7, 8193],
    "class_label": [-1, -1, -1, 0, -2],
    "start_percent": [0.0, 0.2, 0.4, 0.9, 1.0],
    "end_percent": [1.0, 0.8, 0.6, 0.1, 0.0],
    "crop_area_min": [0.05, 0.01, 0.1, 0.9, 0.0],
    "crop_area_max": [0.3, 0.5, 1.0, 0.001, 1.1],
    "dtype": ["auto", "auto", "float32", "bfloat16", "float16"],  # the last ones are emulated on many CPUs, and slow
    "gap": [0, 8, 256, -1],
    "columns": [0, 1, 3, 64, 65],
    "start_seed": [0, 5, 2**64 - 1, -5],
    "seed": [0, 5, 2**64 - 1, -5],
}


@dataclass
class Maker:
    """One random graph in API format."""

    info: Mapping[str, Any]
    seed: int
    graph: dict[str, dict] = field(default_factory=dict)

    def __post_init__(self):
        self.random = random.Random(self.seed)
        self.wild = self.random.choice([0, 0, 0.01, 0.05])  # share of values that are out of range
        self.ours = [name for name, node in self.info.items() if node["category"] == OURS and self.makes(node)]

    def makes(self, node: Mapping) -> bool:
        """Whether all that a node needs can be made here: those of ComfyUI's own models need their files."""
        kinds = [spec[0] for spec in node["input"].get("required", {}).values()]
        return node["name"] not in SLOW and all(isinstance(k, list) or k in LINKS | WIDGETS for k in kinds)

    def make(self) -> dict[str, dict]:
        """The graph: one to three of our outputs shown, then some nodes muted or bypassed."""
        for _ in range(self.random.choice([1, 1, 2, 3])):
            kind = "IMAGE" if self.random.random() < 0.9 else "STRING"
            name = self.random.choice([n for n in self.ours if kind in self.info[n]["output"]])
            name = "QSAttnGuidedSampler" if kind == "IMAGE" and self.random.random() < 0.6 else name
            shower, socket = SHOWN[kind]
            link = [self.node(name, 0), self.info[name]["output"].index(kind)]
            self.graph[str(len(self.graph))] = {"class_type": shower, "inputs": {socket: link}}
        for key in list(self.graph):
            if self.random.random() < 0.04 and self.graph[key]["class_type"] not in ("PreviewImage", "PreviewAny"):
                self.remove(key, bypass=self.random.random() < 0.6)
        return self.graph

    def link(self, kind: str, depth: int) -> list:
        """A link to an output of that type, of a node that is there or of a new one."""
        there = [
            [key, slot]
            for key, node in self.graph.items()
            for slot, its in enumerate(self.info[node["class_type"]]["output"])
            if its == kind
        ]
        if there and (depth > 6 or self.random.random() < 0.5):
            return self.random.choice(there)
        makers = [n for n in MAKERS.get(kind, []) if n in self.info]
        makers += [n for n in self.ours if kind in self.info[n]["output"]] if depth < 4 or not makers else []
        if depth > 4:  # what needs no picture itself
            makers = [n for n in makers if n in ("LoadImage", "EmptyImage", "SolidMask", "QSSampleImage")] or makers
        name = self.random.choice(makers)
        return [self.node(name, depth + 1), self.info[name]["output"].index(kind)]

    def node(self, name: str, depth: int) -> str:
        """The id of a new node with all it needs."""
        inputs, declared = {}, self.info[name]["input"]
        for section in ("required", "optional"):
            for socket, spec in declared.get(section, {}).items():
                kind, options = (*spec, {})[:2]
                if str(kind) in LINKS:
                    if section == "required" or self.random.random() < 0.3:
                        inputs[socket] = self.link(kind, depth)
                elif (section == "required" or self.random.random() < 0.4) and not options.get("forceInput"):
                    inputs[socket] = self.value(socket, kind, options, depth, name in self.ours)
        if name in ("EncodeInvertDDIM", "QSAttnGuidedSampler", "QSCLIPLoss"):  # left out they would cost too much
            its = {"EncodeInvertDDIM": ("size", "steps", "skip")}.get(name, ("crops",))
            inputs |= {socket: self.random.choice(SMALL[socket][:3]) for socket in its if self.random.random() < 0.8}
            inputs |= {socket: SMALL[socket][0] for socket in its if socket not in inputs or inputs[socket] is None}
        key = str(len(self.graph))
        self.graph[key] = {"class_type": name, "inputs": inputs}
        return key

    def value(self, socket: str, kind: Any, options: Mapping, depth: int, ours: bool) -> Any:
        """A widget's value, in range or not, or a link that brings one."""
        dice = self.random.random()
        if socket in ("prompt", "value") and (kind == "STRING" or "STRING" in str(kind)):
            found = self.random.choice(PHRASES[: None if dice < 2 * self.wild else 3])
        elif socket in SMALL:
            most = None if dice < self.wild else 3  # the odd ones stand behind
            found = self.random.choice(SMALL[socket][:most])
        elif isinstance(kind, list) or kind == "COMBO":
            choices = kind if isinstance(kind, list) else options["options"]
            found = self.random.choice(choices) if choices and dice >= self.wild else "no such choice"
        elif kind in ("INT", "FLOAT"):
            low, high = options.get("min", 0), options.get("max", 1)
            span = [low, options.get("default", low), self.random.uniform(low, min(high, 1e5)), high]
            wild = [low - 1, high + 1, -300] if ours else []
            found = self.random.choice(wild if dice < self.wild and wild else span if dice < 0.4 else [span[1]])
            found = int(found) if kind == "INT" else float(found)
        elif kind == "BOOLEAN":
            found = self.random.random() < 0.5
        else:
            found = options.get("default", "")
        if ours and str(kind) in MAKERS and MAKERS[kind][0] in self.info and self.random.random() < 0.08:
            self.graph[key := str(len(self.graph))] = {"class_type": MAKERS[kind][0], "inputs": {"value": found}}
            return [key, 0]
        return found

    def remove(self, key: str, bypass: bool) -> None:
        """Mute a node or bypass it, as the page does before it sends a graph."""
        node = self.graph.pop(key)
        kinds = {**self.info[node["class_type"]]["input"].get("required", {})}
        kinds |= self.info[node["class_type"]]["input"].get("optional", {})
        for other in self.graph.values():
            for socket, value in list(other["inputs"].items()):
                if isinstance(value, list) and value[0] == key:
                    output = self.info[node["class_type"]]["output"][value[1]]
                    same = [v for n, v in node["inputs"].items() if isinstance(v, list) and kinds[n][0] == output]
                    del other["inputs"][socket]
                    if bypass and same:
                        other["inputs"][socket] = same[0]


def fault(run: Any, info: Mapping[str, Any]) -> str:
    """What is wrong with how a graph ended; empty where nothing is."""
    for event in run.of("execution_error"):
        data = event.data
        ours = info[data["node_type"]]["category"] == OURS
        if ours and not data["exception_type"].startswith("QS."):
            return run.error
    return "" if run.status in ("success", "error", "interrupted") else f"ended with {run.status!r}"


def hunt(harness: Any, server: Any, info: Mapping[str, Any], seeds: range, say=print) -> Iterator[tuple[int, str]]:
    """Run the graphs of the seeds; yields the seed and the story of each fault."""
    ended, ran = Counter(), Counter()
    for number, seed in enumerate(seeds):
        graph = Maker(info, seed).make()
        stop = random.Random(seed).random() < 0.03
        asked = []

        def watch(event, stop=stop, asked=asked):
            if stop and not asked and event.type == "progress":
                asked.append(server.client.interrupt())

        try:
            run = server.client.run(graph, watch=watch, timeout=180)
            told = fault(run, info)
            ended[run.status] += 1
            kinds = {event.data["node"]: graph[event.data["node"]]["class_type"] for event in run.of("executed")}
            kinds |= {n: graph[n]["class_type"] for e in run.of("executing") for n in [e.data["node"]] if n}
            ran.update(kind for kind in kinds.values() if info[kind]["category"] == OURS)
            for event in run.of("execution_error"):
                ended[f"{event.data['node_type']} {event.data['exception_type']}"] += 1
        except harness.RejectedError as error:
            ended["rejected"] += 1
            for node in error.answer["node_errors"].values():
                ended.update(
                    f"{node['class_type']} refused {e['extra_info'].get('input_name')}" for e in node["errors"]
                )
            told = "" if error.status == 400 and error.answer["node_errors"] else str(error)
        except Exception as error:  # whatever a dead or hanging server leads to
            yield seed, f"{type(error).__name__}: {error}; the process says {server.process.poll()}"
            return
        if told:
            yield seed, told
        if number % 25 == 24:
            say(f"{number + 1} graphs, {server.memory() / 2**20:.0f} MiB, {dict(ended)}, ran {dict(ran)}")


def prepare(base: Path) -> None:
    """Small pictures, with and without transparency, and two model files."""
    from PIL import Image

    (base / "input").mkdir(parents=True, exist_ok=True)
    Image.effect_noise((32, 32), 60).convert("RGB").save(base / "input" / "small.png")
    Image.new("RGBA", (40, 24), (200, 30, 30, 128)).save(base / "input" / "clear.png")
    folder = base / "models" / "qs_diffusion"
    folder.mkdir(parents=True, exist_ok=True)
    demo = Path(__file__).parents[2] / "qs_core" / "demo" / "unet.safetensors"
    (folder / "mine.safetensors").write_bytes(demo.read_bytes())
    (folder / "broken.pt").write_bytes(b"no checkpoint")


def main() -> None:
    """Hunt from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--show", action="store_true", help="print the graph of the first seed, and run nothing")
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parent))
    import harness

    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        with (server := harness.server(Path(folder))) as server.client:
            info = server.client.object_info()
            if options.show:
                print(json.dumps(Maker(info, options.first).make(), indent=1))
                return
            seeds, found = range(options.first, options.first + options.count), 0
            for seed, story in hunt(harness, server, info, seeds, lambda line: print(line, flush=True)):
                found += 1
                print(f"SEED {seed}: {story}", flush=True)
            print(f"{found} faults", flush=True)


if __name__ == "__main__":
    main()
