"""Workers that load once and take task after task, and how tasks are shared out among them.

`each` is the one loop for every engine; a `Pool` is where its workers run: `Here`, `Processes`, or `cluster.Cluster`.
A task waits in the caller until a worker is free. One whose worker ends is given to another.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import platform
import signal
import threading
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing import connection
from typing import Any, Protocol

import torch

from ..errors import InputError, WorkersLost
from ..features.weights import Announce
from ..report import VERSION

ENGINES = ("local", "ray")
TRIES = 3  # of a task, and of a worker that ends before it is ready

Work = Callable[[Any], Any]  # a task → its result
Make = Callable[[Announce | None], Work]  # loads what a worker's tasks share; picklable


@dataclass(frozen=True)
class Ready:
    """A worker has loaded. `worker` is its machine and process."""

    worker: str


@dataclass(frozen=True)
class Done:
    """A worker's task is done."""

    result: Any


@dataclass(frozen=True)
class Said:
    """A sentence for the person, e.g. before a download."""

    sentence: str


@dataclass(frozen=True)
class Refused:
    """The job cannot be: what `Make` or `Work` raised as InputError."""

    message: str


@dataclass(frozen=True)
class Ended:
    """A worker is no more, with its task if it had one."""

    reason: str


Event = Ready | Done | Said | Refused | Ended


@dataclass(frozen=True)
class Outcome:
    """What became of a task: its result, or, after `TRIES` workers ended with it, the last one's reason as `error`."""

    task: Any
    result: Any = None
    error: str | None = None
    tries: int = 1
    worker: str = ""


class Pool(Protocol):
    """Where workers 0 … count-1 run."""

    count: int

    def __enter__(self) -> Pool:
        """Itself."""

    def __exit__(self, *error) -> None:
        """End all workers at once, with whatever they do."""

    def begin(self, number: int) -> None:
        """Start that worker, anew if there was one; `wait` says when it is ready."""

    def give(self, number: int, task: object) -> None:
        """Hand a task to a worker that has none."""

    def wait(self) -> list[tuple[int, Event]]:
        """Until something happens: what, and to which worker."""


def each(tasks: Iterable, pool: Pool, announce: Announce | None = None) -> Iterator[Outcome]:
    """The outcome of each task, in the order in which they end; `tasks` are taken one by one as workers become free.

    The first worker starts alone: it may refuse the job, or download what the others then find. Raises InputError where
    it refuses, WorkersLost where no worker can be started.
    """
    fresh, again = ((task, 1) for task in tasks), deque()
    idle, busy, starting, names, falls, reason = [], {}, {0}, {}, Counter(), ""
    pool.begin(0)
    while True:
        while idle and (turn := again.popleft() if again else next(fresh, None)):
            number = idle.pop()
            busy[number] = turn
            pool.give(number, turn[0])
        if idle and not busy:
            return
        if not busy and not starting:
            raise WorkersLost(f"No worker can be started. {reason} What is done is kept.")
        for number, event in pool.wait():
            match event:
                case Said(sentence):
                    if announce:
                        announce(sentence)
                case Refused(message):
                    raise InputError(message)
                case Ready(worker):
                    for other in range(1, pool.count) if not names else ():
                        starting.add(other)
                        pool.begin(other)
                    names[number], falls[number] = worker, 0
                    starting.remove(number)
                    idle.append(number)
                case Done(result):
                    task, tries = busy.pop(number)
                    idle.append(number)
                    yield Outcome(task, result, None, tries, names[number])
                case Ended(reason):
                    falls[number] += number in starting
                    starting.discard(number)
                    idle = [other for other in idle if other != number]
                    task, tries = busy.pop(number, (None, 0))
                    if falls[number] < TRIES:
                        starting.add(number)
                        pool.begin(number)
                    elif announce:
                        announce(f"A worker ended {TRIES} times while it loaded, and is left out. {reason}")
                    if tries == TRIES:
                        yield Outcome(task, None, f"{tries} workers ended with it. {reason}", tries, names[number])
                    elif tries:
                        again.append((task, tries + 1))


class Server:
    """A worker's own side, the same in every engine."""

    def __init__(self):
        self.work: Work | None = None

    def begin(self, make: Make, announce: Announce | None = None, version: str = VERSION) -> Event:
        """Load. A driver of another version is refused, as its pictures would differ."""
        name = f"{platform.node()}:{os.getpid()}"
        if version != VERSION:
            return Refused(f"The worker {name} has version {VERSION}, and {version} is needed. Install that there.")
        try:
            self.work = make(announce)
        except InputError as error:
            return Refused(str(error))
        except Exception:  # of whatever kind: told, and tried again
            return Ended(_last(traceback.format_exc()))
        return Ready(name)

    def do(self, task: object) -> Event:
        """Do one task. After an exception the worker counts as ended: what it holds may be spoiled."""
        try:
            return Done(self.work(task))
        except InputError as error:
            return Refused(str(error))
        except Exception:  # of whatever kind: told, and tried again
            return Ended(_last(traceback.format_exc()))


def _last(text: str) -> str:
    """A traceback's place and message in one line."""
    lines = [line.strip() for line in text.strip().splitlines()]
    place = next((line for line in reversed(lines) if line.startswith("File ")), "")
    return f"{lines[-1]} ({place})" if place else lines[-1]


class Here:
    """One worker: this very process. Its death is the driver's."""

    count = 1

    def __init__(self, make: Make, announce: Announce | None = None):
        self.make, self.announce, self.server, self.task = make, announce, Server(), None

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *error) -> None:
        pass

    def begin(self, number: int) -> None:
        """As `Pool`'s."""
        self.server, self.task = Server(), None

    def give(self, number: int, task: object) -> None:
        """As `Pool`'s."""
        self.task = task

    def wait(self) -> list[tuple[int, Event]]:
        """Do now what there is to do."""
        return [(0, self.server.do(self.task) if self.server.work else self.server.begin(self.make, self.announce))]


class Processes:
    """Workers in processes of this machine: each has its part of the CPU's threads, and a GPU where there are several.

    Each ends with the driver, whatever ends that.
    """

    def __init__(self, make: Make, count: int, gpus: list[str]):
        self.make, self.count, self.gpus = make, count, gpus
        self.threads = max(1, torch.get_num_threads() // count)
        self.context, self.processes, self.pipes = multiprocessing.get_context("spawn"), {}, {}

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *error) -> None:
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.join()

    def begin(self, number: int) -> None:
        """As `Pool`'s."""
        if number in self.processes:
            self.processes[number].join()
        self.pipes[number], theirs = self.context.Pipe()
        gpu = self.gpus[number % len(self.gpus)] if len(self.gpus) > 1 else None
        arguments = theirs, self.make, self.threads, gpu, number == 0
        self.processes[number] = self.context.Process(target=_serve, args=arguments, daemon=True)
        self.processes[number].start()
        theirs.close()  # so that the pipe ends with the worker

    def give(self, number: int, task: object) -> None:
        """As `Pool`'s."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it has ended, as `wait` will say
            self.pipes[number].send(task)

    def wait(self) -> list[tuple[int, Event]]:
        """As `Pool`'s."""
        numbers = {pipe: number for number, pipe in self.pipes.items()}
        return [(numbers[pipe], self._read(numbers[pipe])) for pipe in connection.wait(numbers)]

    def _read(self, number: int) -> Event:
        try:
            event = self.pipes[number].recv()
        except (EOFError, OSError):  # nothing more comes, or half a message came
            process = self.processes[number]
            process.join()
            event = Ended(f"Its process ended with exit code {process.exitcode}, killed or for want of memory.")
        if isinstance(event, Ended):
            self.pipes.pop(number).close()
        return event


def _serve(pipe: connection.Connection, make: Make, threads: int, gpu: str | None, first: bool) -> None:
    """A worker's process. Ctrl-C is the driver's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    server = Server()
    event = server.begin(make, (lambda sentence: pipe.send(Said(sentence))) if first else None)
    pipe.send(event)
    while not isinstance(event, Refused | Ended):
        event = server.do(pipe.recv())
        pipe.send(event)


def _end_with_parent() -> None:
    """End this process at once when the driver's ends: another run may take the task."""
    connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def pool(
    make: Make,
    workers: int | None = None,
    engine: str = "local",
    address: str | None = None,
    device: str = "auto",
    announce: Announce | None = None,
) -> Pool:
    """The workers of an engine; `device` is the settings' own, `address` a Ray cluster's.

    Without a number there is one for each device: locally each GPU or the CPU, with Ray each GPU or node. Raises
    InputError where that cannot be.
    """
    if workers is not None and workers < 1:
        raise InputError(f"{workers} workers: at least 1 is needed.")
    if engine not in ENGINES:
        raise InputError(f"Engine {engine!r} is unknown; choose one of {', '.join(ENGINES)}.")
    if engine == "ray":
        from .cluster import Cluster  # Ray is an extra

        return Cluster(make, workers, address, device)
    if address:
        raise InputError(f"The address {address} is a Ray cluster's. Use it with --engine ray.")
    gpus = _gpus() if device in ("auto", "cuda") else []
    count = workers or max(1, len(gpus))
    return Here(make, announce) if count == 1 else Processes(make, count, gpus)


def _gpus() -> list[str]:
    """The GPUs that this process sees, as CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",") if named else [str(number) for number in range(torch.cuda.device_count())]
