"""Drive a real ComfyUI from tests: start it, queue a graph, watch it run, fetch what it made.

    with Server(checkout, base=tmp_path, log=tmp_path / "comfyui.log", packs={"my-pack": pack}) as client:
        prompt = to_api(json.loads(workflow.read_text()), client.object_info())
        run = client.run(prompt)
        assert run.status == "success", run.error
        pictures = client.images(run)

Needs `websocket-client`; ComfyUI's own requirements belong to the interpreter given as `python`.
"""

import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import websocket

ROOT = Path(__file__).parents[2]
PACK = "qs-style-transfer"  # the folder's name, dashes included
HOST = "127.0.0.1"
ENDINGS = {"execution_success": "success", "execution_error": "error", "execution_interrupted": "interrupted"}
NOTES = {"Note", "MarkdownNote"}
VIRTUAL = {*NOTES, "Reroute", "PrimitiveNode"}
MUTED, BYPASSED = 2, 4
WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}

# The loopback is reached directly, whatever proxy the environment names.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


# ------------------------------------------------------------------------------------------------ the server


class Server:
    """A ComfyUI process of its own; as a context manager it starts, yields a `Client`, and stops.

    All it writes goes under `base` (models, input, output, temp, user, custom_nodes), so the checkout stays as it is
    and servers may run side by side. `packs` maps a folder name below custom_nodes to the pack it links to.
    """

    def __init__(
        self,
        checkout: Path,
        *,
        base: Path,
        log: Path,
        packs: Mapping[str, Path] | None = None,
        port: int | None = None,
        python: str = sys.executable,
        arguments: tuple[str, ...] = ("--cpu",),
        environment: Mapping[str, str] | None = None,
        timeout: float = 180,
    ):
        self.checkout, self.base, self.log = Path(checkout), Path(base).resolve(), Path(log)
        self.packs = dict(packs or {})
        self.port = port or free_port()
        self.python, self.arguments, self.environment = python, arguments, dict(environment or {})
        self.timeout = timeout
        self.process: subprocess.Popen | None = None

    @property
    def command(self) -> list[str]:
        """The command line that starts this server."""
        paths = ["--base-directory", str(self.base), "--database-url", "sqlite:///:memory:"]
        place = ["--listen", HOST, "--port", str(self.port), "--disable-auto-launch"]
        return [self.python, "main.py", *place, *paths, *self.arguments]

    def start(self) -> "Client":
        """A client of the server, once it answers. Raises RuntimeError, with the end of the log, where it does not."""
        self._lay_out()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", **self.environment}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.command, cwd=self.checkout, env=environment, stdout=log, stderr=subprocess.STDOUT
            )
        client = Client(f"{HOST}:{self.port}")
        try:
            self._wait_for(client)
        except BaseException:
            self.stop()
            raise
        return client

    def stop(self) -> None:
        """Ends the process, politely first."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> "Client":
        return self.start()

    def __exit__(self, *_exception) -> None:
        self.stop()

    def run_out(self) -> None:
        """Waits until the process ends by itself. Raises RuntimeError where it fails or does not end in time."""
        if self.process.wait(self.timeout):
            raise RuntimeError(f"ComfyUI ended with {self.process.returncode}.\n{self._tail()}")

    def memory(self) -> int:
        """Bytes of memory that the process holds now. Linux only."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def _lay_out(self) -> None:
        for name in ("custom_nodes", "input", "models", "output", "temp", "user"):
            (self.base / name).mkdir(parents=True, exist_ok=True)
        for name, pack in self.packs.items():
            link = self.base / "custom_nodes" / name
            if not link.is_symlink():
                link.symlink_to(Path(pack).resolve(), target_is_directory=True)

    def _wait_for(self, client: "Client") -> None:
        deadline = time.monotonic() + self.timeout
        while not client.answers():
            if self.process.poll() is not None:
                raise RuntimeError(f"ComfyUI ended with {self.process.returncode} before it answered.\n{self._tail()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"ComfyUI did not answer within {self.timeout} s.\n{self._tail()}")
            time.sleep(0.1)
        # Another server on that port would have answered too, and ours has then failed to bind.
        if self.process.poll() is not None:
            raise RuntimeError(f"Port {self.port} belongs to another server.\n{self._tail()}")

    def _tail(self, size: int = 4000) -> str:
        return self.log.read_text(errors="replace")[-size:]


def checkout() -> Path | None:
    """ComfyUI's folder: the one that COMFYUI_PATH names, or the one this pack lies in."""
    if path := os.environ.get("COMFYUI_PATH"):
        return Path(path)
    around = ROOT.parent.parent
    return around if ROOT.parent.name == "custom_nodes" and (around / "main.py").is_file() else None


def server(base: Path, packs: Mapping[str, Path] | None = None, arguments: tuple[str, ...] = ()) -> Server:
    """A server of that ComfyUI on the CPU, with this pack unless others are given and with the picture that every
    ComfyUI has in its input folder. Its interpreter is COMFYUI_PYTHON, its log `base`/comfyui.log."""
    (base / "input").mkdir(parents=True, exist_ok=True)
    shutil.copy(checkout() / "input" / "example.png", base / "input")
    return Server(
        checkout(),
        base=base,
        log=base / "comfyui.log",
        packs={PACK: ROOT} if packs is None else packs,
        python=os.environ.get("COMFYUI_PYTHON", sys.executable),
        arguments=("--cpu", "--disable-api-nodes", *arguments),
        environment={"PYTHONDONTWRITEBYTECODE": "1"},
    )


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


# ------------------------------------------------------------------------------------------------ the client


@dataclass(frozen=True)
class Event:
    """One message of the websocket.

    `type` is ComfyUI's own name, or "preview" and "text" for the binary ones; `payload` is a preview's encoded image;
    `seconds` counts from the moment the prompt was queued.
    """

    type: str
    data: dict[str, Any]
    payload: bytes = b""
    seconds: float = 0.0


@dataclass
class Run:
    """What became of one prompt: `status` is "success", "error" or "interrupted"."""

    prompt_id: str
    node_errors: dict[str, Any] = field(default_factory=dict)
    status: str = ""
    events: list[Event] = field(default_factory=list)

    def of(self, *types: str) -> list[Event]:
        """The events of these types, in order."""
        return [event for event in self.events if event.type in types]

    @property
    def previews(self) -> list[Event]:
        """The preview images, in order; `data["node_id"]` says whose."""
        return self.of("preview")

    @property
    def outputs(self) -> dict[str, dict[str, Any]]:
        """What each output node showed, by node id: {"9": {"images": [...]}}."""
        return {event.data["node"]: event.data["output"] or {} for event in self.of("executed")}

    @property
    def error(self) -> str:
        """Node, message and traceback of a failed run; empty for any other."""
        for event in self.of("execution_error"):
            data = event.data
            head = f"{data['node_type']} ({data['node_id']}): {data['exception_type']}: {data['exception_message']}"
            return head + "\n" + "".join(data["traceback"])
        return ""


class RejectedError(Exception):
    """ComfyUI refused a request: its HTTP status and its answer, for a prompt with the errors of each node."""

    def __init__(self, status: int, answer: Any):
        super().__init__(f"HTTP {status}: {json.dumps(answer, indent=1) if isinstance(answer, dict) else answer}")
        self.status, self.answer = status, answer


class Client:
    """Speaks to the server at `address` ("127.0.0.1:8188") over HTTP and its websocket."""

    def __init__(self, address: str):
        self.address = address
        self.id = uuid.uuid4().hex

    # HTTP

    def get(self, path: str, **query: str) -> bytes:
        """The body of a GET request."""
        return self._open(path + ("?" + urllib.parse.urlencode(query) if query else ""), None)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The answer to a POST of JSON, or None where it is empty."""
        answer = self._open(path, json.dumps(body).encode())
        return json.loads(answer) if answer else None

    def answers(self) -> bool:
        """Whether the server is up."""
        try:
            self.get("/system_stats")
        except (RejectedError, OSError):
            return False
        return True

    def version(self) -> str:
        """ComfyUI's."""
        return json.loads(self.get("/system_stats"))["system"]["comfyui_version"]

    def object_info(self) -> dict[str, Any]:
        """The description of every node class, by name."""
        return json.loads(self.get("/object_info"))

    def interrupt(self) -> None:
        """Asks the running prompt to stop at its next progress report."""
        self.post("/interrupt", {})

    def free(self) -> None:
        """Asks for all models to be unloaded and all cached outputs dropped, after the running prompt.

        free_memory alone means both. It is asked twice: the host overlooks what comes while it collects garbage after
        a prompt, until something else wakes it.
        """
        for _ in range(2):
            self.post("/free", {"free_memory": True})
            time.sleep(1.5)

    def view(self, image: Mapping[str, str]) -> bytes:
        """The file that an output's {"filename", "subfolder", "type"} names."""
        return self.get("/view", **{key: image[key] for key in ("filename", "subfolder", "type")})

    def images(self, run: Run) -> list[bytes]:
        """The files of every image the run saved or showed."""
        return [self.view(image) for output in run.outputs.values() for image in output.get("images", ())]

    def _open(self, path: str, body: bytes | None, content_type: str = "application/json") -> bytes:
        request = urllib.request.Request(f"http://{self.address}{path}", body, {"Content-Type": content_type})
        try:
            with _direct.open(request, timeout=60) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            raise RejectedError(error.code, _read_json(error.read())) from None

    # One prompt, from queue to end

    def run(
        self,
        prompt: Mapping[str, Any],
        *,
        workflow: Mapping[str, Any] | None = None,
        watch: Callable[[Event], None] = lambda event: None,
        timeout: float = 600,
    ) -> Run:
        """Queues an API-format `prompt` and collects its events until it ends.

        `watch` sees each event as it comes, and may call `interrupt`. `workflow` is saved inside the pictures, as the
        browser does. Raises RejectedError for a prompt that does not validate, TimeoutError for one that does not end.
        """
        body = {"prompt": prompt, "client_id": self.id}
        if workflow is not None:
            body["extra_data"] = {"extra_pnginfo": {"workflow": workflow}}
        with closing(self._listen()) as listener:
            start = time.monotonic()
            answer = self.post("/prompt", body)
            run = Run(answer["prompt_id"], answer["node_errors"])
            for message in _messages(listener, start + timeout):
                event = _parse(message, time.monotonic() - start)
                if event.data.get("prompt_id", run.prompt_id) != run.prompt_id:
                    continue
                run.events.append(event)
                run.status = ENDINGS.get(event.type, run.status)
                watch(event)
                # Sent last of all, when the history holds the prompt too.
                if event.type == "executing" and event.data["node"] is None:
                    break
        return run

    def _listen(self) -> websocket.WebSocket:
        """A websocket on which previews come with the id of their node."""
        listener = websocket.create_connection(f"ws://{self.address}/ws?clientId={self.id}", timeout=30)
        listener.send(json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}}))
        while _parse(listener.recv()).type != "feature_flags":
            pass
        return listener


def _messages(listener: websocket.WebSocket, deadline: float) -> Iterator[str | bytes]:
    while (left := deadline - time.monotonic()) > 0:
        listener.settimeout(left)
        try:
            message = listener.recv()
        except websocket.WebSocketTimeoutException:
            break
        if not message:
            raise ConnectionError("ComfyUI closed the websocket.")
        yield message
    raise TimeoutError("The prompt did not end in time.")


def _parse(message: str | bytes, seconds: float = 0.0) -> Event:
    if isinstance(message, str):
        content = json.loads(message)
        return Event(content["type"], content["data"], seconds=seconds)
    kind, length = struct.unpack_from(">II", message)  # of kind 1, the second is the image format
    if kind == 1:
        return Event("preview", {"image_type": {1: "image/jpeg", 2: "image/png"}[length]}, message[8:], seconds)
    head, rest = message[8 : 8 + length], message[8 + length :]
    if kind == 4:
        return Event("preview", json.loads(head), rest, seconds)
    if kind == 3:
        return Event("text", {"node_id": head.decode(), "text": rest.decode()}, seconds=seconds)
    raise ValueError(f"Binary message of kind {kind} is not known.")


def _read_json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")


# ------------------------------------------------------------------------------- workflow to API format


def to_api(workflow: Mapping[str, Any], object_info: Mapping[str, Any]) -> dict[str, Any]:
    """The API format of a saved workflow (version 0.4), as the browser's own "Export (API)" gives it.

    Notes, muted and bypassed nodes are left out, a link through a bypassed node or a Reroute is followed to its
    source, an input from a muted node goes. Raises ValueError for a node type the server does not know.
    """
    nodes = {node["id"]: node for node in workflow["nodes"]}
    links = {link[0]: link for link in workflow["links"]}
    prompt = {}
    for node in nodes.values():
        if node["type"] in VIRTUAL or node.get("mode") in (MUTED, BYPASSED):
            continue
        if node["type"] not in object_info:
            raise ValueError(f"Node {node['id']} is of type {node['type']}, which this server does not have.")
        inputs = _widget_values(node, object_info[node["type"]])
        for slot in node.get("inputs", ()):
            source = _source(slot["link"], slot["type"], nodes, links)
            if source is not None:
                inputs[slot["name"]] = source
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    for node in prompt.values():
        node["inputs"] = {name: value for name, value in node["inputs"].items() if not _dangles(value, prompt)}
    return prompt


def _source(link_id: int | None, kind: str, nodes: Mapping, links: Mapping) -> Any:
    """What a link brings: [node id, slot], the value of a PrimitiveNode, or None where it leads nowhere."""
    if link_id not in links:
        return None
    _, origin, slot, *_ = links[link_id]
    node = nodes[origin]
    if node["type"] == "PrimitiveNode":
        return _literal(node["widgets_values"][0])
    if node["type"] == "Reroute":
        return _source(node["inputs"][0]["link"], kind, nodes, links)
    if node.get("mode") == BYPASSED:
        passed = _bypass(node, slot, kind)
        return passed and _source(passed["link"], passed["type"], nodes, links)
    return [str(origin), slot]


def _bypass(node: Mapping, slot: int, kind: str) -> Mapping | None:
    """The input of a bypassed node that stands in for its output `slot`: the one opposite, the same type, or a fit."""
    inputs, output = node.get("inputs", []), node["outputs"][slot]["type"]
    opposite = inputs[slot : slot + 1]
    if kind == "*":
        return next(iter(opposite or inputs), None)
    fitting = [entry for entry in (*opposite, *inputs) if _fits(entry["type"], output) and _fits(entry["type"], kind)]
    same = [entry for entry in inputs if entry["type"] == kind]
    return next(iter([entry for entry in opposite if entry in fitting] + same + fitting), None)


def _fits(one: str, other: str) -> bool:
    return "*" in (one, other) or not set(one.lower().split(",")).isdisjoint(other.lower().split(","))


def _dangles(value: Any, prompt: Mapping) -> bool:
    return isinstance(value, list) and value[0] not in prompt


def _literal(value: Any) -> Any:
    """A widget's value as the API wants it: a bare list would read as a link."""
    return {"__value__": value} if isinstance(value, list) else value


def _widget_values(node: Mapping, info: Mapping) -> dict[str, Any]:
    """The value of each widget by its name; what is not saved has its default."""
    saved = node.get("widgets_values") or []
    if isinstance(saved, dict):
        return {name: _literal(saved.get(name, default)) for name, default in widgets(info) if name}
    values = iter(saved)
    pairs = [(name, next(values, default)) for name, default in widgets(info)]
    return {name: _literal(value) for name, value in pairs if name}


def widgets(info: Mapping) -> Iterator[tuple[str | None, Any]]:
    """Name and default of each saved widget, in order; the name is None for one that the browser adds for itself."""
    for section in ("required", "optional"):
        declared = info["input"].get(section, {})
        uploads = False
        for name in info.get("input_order", {}).get(section, declared):
            kind, options = (*declared[name], {})[:2]
            widget = "COMBO" if isinstance(kind, list) else options.get("widgetType", kind)
            if widget not in WIDGETS or options.get("forceInput"):
                continue
            yield name, _default(kind, options)
            if options.get("control_after_generate", widget == "INT" and name in ("seed", "noise_seed")):
                yield None, None  # fixed, increment, decrement, randomize
                if widget == "COMBO":
                    yield None, None  # the filter of that choice
            uploads |= any(options.get(f"{media}_upload") for media in ("image", "video", "animated_image"))
        if uploads:
            yield None, None  # the upload button, behind all the required


def _default(kind: str | list, options: Mapping) -> Any:
    choices = kind if isinstance(kind, list) else options.get("options", [])
    fallback = {"INT": 0, "FLOAT": 0.0, "STRING": "", "BOOLEAN": False}.get(str(kind), next(iter(choices), None))
    return options.get("default", fallback)
