"""Workers as Ray's actors, on this machine or a cluster: one for each GPU, or for each node where there is none."""

from __future__ import annotations

import contextlib
import math
import os
import socket
import warnings
from urllib.parse import urlsplit

from ..errors import InputError
from ..report import VERSION
from .pools import Ended, Event, Make, Server

try:
    import ray
except ModuleNotFoundError:
    ray = None

ANSWER = 5.0  # seconds that a cluster's port has to accept a connection; Ray by itself tries for minutes
CLIENT_PORT = 10001  # of ray://HOST


class Actor(Server):
    """A worker in Ray. What it has to say goes to its standard error, which Ray shows at the driver's."""

    def begin(self, make: Make, first: bool, version: str) -> Event:
        """As `Server`'s."""
        return super().begin(make, warnings.warn if first else None, version)


class Cluster:
    """Actors of a Ray cluster; without an address RAY_ADDRESS's, or one of this machine alone that ends with the job.

    A lost actor is begun anew wherever there is place. Tasks and results go through Ray: nothing but the weights' files
    has to be on the nodes.
    """

    def __init__(self, make: Make, workers: int | None, address: str | None, device: str):
        if ray is None:
            raise InputError("The engine ray needs Ray. Install it: pip install 'qs-style-transfer[ray]'.")
        self.make, self.actors, self.numbers = make, {}, {}
        self.joined = not ray.is_initialized()
        if self.joined:
            require_answer(address or os.environ.get("RAY_ADDRESS"))
            try:
                ray.init(address=address, include_dashboard=False if address is None else None, logging_level="warning")
            except Exception as error:  # a cluster can fail to answer, or to start, in any way
                told = (str(error).strip().splitlines() or [type(error).__name__])[0]
                raise InputError(
                    f"The Ray cluster {address or ''} cannot be reached or begun ({told}). Look at its address."
                ) from error
        has = ray.cluster_resources()
        gpus = int(has.get("GPU", 0)) if device == "auto" or device.startswith("cuda") else 0
        nodes = [node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]
        nodes = [cpus for cpus in nodes if cpus >= 1]
        self.count = workers or gpus or max(1, len(nodes))
        if gpus:
            needs = {"num_gpus": 1 / math.ceil(self.count / gpus), "num_cpus": 1}
        else:
            needs = {
                "num_cpus": max(1, int(has.get("CPU", 1)) // self.count if workers else int(min(nodes, default=1)))
            }
        self.remote = ray.remote(max_restarts=0, max_task_retries=0, **needs)(Actor)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *error) -> None:
        for actor in self.actors.values():
            ray.kill(actor)
        if self.joined:
            ray.shutdown()

    def begin(self, number: int) -> None:
        """As `Pool`'s."""
        if number in self.actors:
            with contextlib.suppress(ray.exceptions.RayError):  # it is lost already
                ray.kill(self.actors[number])
        self.actors[number] = self.remote.remote()
        self.numbers[self.actors[number].begin.remote(self.make, number == 0, VERSION)] = number

    def give(self, number: int, task: object) -> None:
        """As `Pool`'s."""
        self.numbers[self.actors[number].do.remote(task)] = number

    def wait(self) -> list[tuple[int, Event]]:
        """As `Pool`'s."""
        done, _ = ray.wait(list(self.numbers))
        return [(self.numbers.pop(reference), _read(reference)) for reference in done]


def require_answer(address: str | None) -> None:
    """Raises InputError where an address HOST:PORT or ray://HOST:PORT accepts no connection; another one is Ray's to
    find, such as auto."""
    place = _place(address or "")
    if place is None:
        return
    try:
        socket.create_connection(place, timeout=ANSWER).close()
    except OSError as error:
        raise InputError(
            f"Nothing answers at the Ray address {address} ({error}; at most {ANSWER:g} seconds were waited). "
            "See whether the cluster runs (ray status) and that its port is open from here."
        ) from error


def _place(address: str) -> tuple[str, int] | None:
    """The host and port of an address; None where it does not say them. Raises InputError for a port that is none."""
    client = address.startswith("ray://")
    try:
        parts = urlsplit(f"//{address.removeprefix('ray://')}")
        host, port = parts.hostname, parts.port or (CLIENT_PORT if client else None)
    except ValueError as error:
        raise InputError(f"The Ray cluster's address {address} is no HOST:PORT ({error}).") from error
    return (host, port) if host and port and (client or "://" not in address) else None


def _read(reference) -> Event:
    """What an actor answered, or that it is lost: with its node, alone, or as it could not be begun."""
    try:
        return ray.get(reference)
    except ray.exceptions.RayError as error:
        return Ended(f"The actor is lost: {reason(error)}")


def reason(error: Exception) -> str:
    """One line of what Ray tells: its first, or its last, what was raised, where the first begins a traceback."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1 if "ray::" in lines[0] else 0].strip()
