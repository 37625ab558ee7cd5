"""A folder's job: nothing lost and nothing done twice, whatever ends it. Tiny pictures by the built-in models."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from qs_core import InputError, Settings, demo, stylize
from qs_core.__main__ import main
from qs_core.errors import WorkersLost
from qs_core.jobs import cluster, pools, restyling
from qs_core.jobs.manifest import NAME, Manifest
from qs_core.jobs.pools import TRIES, Done, Ended, Ready, Refused, Said, each

QUICK = ["--prompt", "golden", "--size", "32", "--steps", "4", "--skip", "2", "--crops", "2"]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    """Six pictures, and a file that is none."""
    folder = tmp_path_factory.mktemp("sources")
    for name in list(demo.PICTURES)[:6]:
        with Image.open(demo.PICTURES[name]) as picture:
            picture.resize((48, 40)).save(folder / f"{name}.png")
    (folder / "broken.png").write_text("no picture")
    return folder


def job(sources: Path, output: Path, *more: str) -> int:
    return main(["stylize", str(sources), *QUICK, "--output", str(output), *more])


@pytest.fixture(scope="module")
def done(sources, tmp_path_factory) -> Path:
    """What the job makes in this process."""
    folder = tmp_path_factory.mktemp("done")
    assert job(sources, folder, "--count", "2") == 1
    return folder


def pictures(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}


def lines(folder: Path) -> list[dict]:
    """The manifest's results; every line counts."""
    entries = [json.loads(line) for line in (folder / NAME).read_text().splitlines()]
    return [entry for entry in entries if "output" in entry]


class Played:
    """A pool whose workers end by chance, and that sees to it that each has one task at a time."""

    def __init__(self, count: int, seed: int, deaths: float, born_dead: float = 0.0):
        self.count, self.rng, self.deaths, self.born_dead = count, random.Random(seed), deaths, born_dead
        self.state, self.taken = {}, 0

    def begin(self, number):
        assert self.state.get(number, "gone") == "gone"
        self.state[number] = "loading"

    def give(self, number, task):
        assert self.state[number] is None
        self.state[number] = task

    def wait(self):
        events = []
        while not events:
            for number, state in self.state.items():
                if state in ("gone", None) or self.rng.random() < 0.5:
                    continue
                fatal = self.rng.random() < (self.born_dead if state == "loading" else self.deaths)
                self.state[number] = "gone" if fatal else None
                if fatal:
                    events.append((number, Ended("by chance")))
                else:
                    events.append((number, Ready(f"w{number}") if state == "loading" else Done(state * 2)))
        return events


class TestSharing:
    @pytest.mark.parametrize("seed", range(40))
    def test_every_task_has_one_outcome_however_workers_end(self, seed):
        pool, taken = Played(1 + seed % 5, seed, deaths=0.3, born_dead=0.1), 0

        def tasks():
            nonlocal taken
            for number in range(50):
                taken += 1
                yield number

        outcomes = []
        for outcome in each(tasks(), pool):
            outcomes.append(outcome)
            assert taken - len(outcomes) <= 2 * pool.count  # those that workers have or have lost: no queue grows
        assert sorted(outcome.task for outcome in outcomes) == list(range(50))
        for outcome in outcomes:
            assert outcome.result == 2 * outcome.task or (outcome.tries == TRIES and "by chance" in outcome.error)
        assert any(outcome.tries > 1 for outcome in outcomes)

    def test_no_task_starts_no_second_worker(self):
        pool = Played(3, 0, 0)
        assert list(each([], pool)) == []
        assert pool.state[0] is None

    def test_workers_that_never_load_end_the_job(self):
        with pytest.raises(WorkersLost, match="by chance"):
            list(each(range(3), Played(2, 0, 0, born_dead=1)))

    def test_a_refusal_ends_it_and_what_is_said_is_passed_on(self):
        class Refuses(Played):
            def wait(self):
                return [(0, Said("downloads")), (0, Refused("never so"))]

        told = []
        with pytest.raises(InputError, match="never so"):
            list(each(range(3), Refuses(2, 0, 0), told.append))
        assert told == ["downloads"]

    def test_an_exception_of_a_task_is_tried_again_and_told(self):
        calls = Counter()

        def work(task):
            calls[task] += 1
            return 1 // task

        first, second = each([0, 1], pools.Here(lambda announce: work))
        assert first.tries == TRIES and "ZeroDivisionError" in first.error and "test_jobs.py" in first.error
        assert second.result == 1 and calls == {0: TRIES, 1: 1}

    def test_what_cannot_be(self):
        for options, told in (
            ({"workers": 0}, "at least 1"),
            ({"engine": "slurm"}, "local, ray"),
            ({"address": "auto"}, "--engine ray"),
        ):
            with pytest.raises(InputError, match=told):
                pools.pool(len, **options)


class TestAddress:
    """Of a Ray cluster; Ray itself is not asked."""

    @pytest.fixture
    def listening(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            yield server.getsockname()[1]

    @pytest.fixture
    def closed(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        return port

    @pytest.mark.parametrize("address", ["127.0.0.1:{}", "ray://127.0.0.1:{}"])
    def test_where_something_listens_and_where_nothing_does(self, listening, closed, address):
        cluster.require_answer(address.format(listening))
        with pytest.raises(InputError, match=f"Nothing answers .*{closed}.*ray status"):
            cluster.require_answer(address.format(closed))

    def test_what_does_not_answer_at_all_is_given_up_soon(self, monkeypatch):
        asked = []

        def silent(place, timeout):
            asked.append((place, timeout))
            raise TimeoutError("timed out")

        monkeypatch.setattr(socket, "create_connection", silent)
        for address in ("10.0.0.1:6379", "ray://head", "ray://[::1]:7"):
            with pytest.raises(InputError, match=f"timed out; at most {cluster.ANSWER:g} seconds"):
                cluster.require_answer(address)
        assert [place for place, _ in asked] == [("10.0.0.1", 6379), ("head", 10001), ("::1", 7)]
        assert all(timeout == cluster.ANSWER <= 10 for _, timeout in asked)

    def test_what_names_no_port_is_rays_to_find(self, monkeypatch):
        monkeypatch.setattr(socket, "create_connection", None)
        for address in (None, "", "auto", "local", "anyscale://name", "head"):
            cluster.require_answer(address)

    def test_a_port_that_is_none(self):
        with pytest.raises(InputError, match="no HOST:PORT"):
            cluster.require_answer("head:port")

    @pytest.mark.parametrize(
        "told, expected",
        [
            ("\x1b[36mray::Actor.begin()\x1b[39m (pid=7)\n  File ...\nValueError: no", "ValueError: no"),
            ("The actor died unexpectedly.\n\tclass_name: Actor", "The actor died unexpectedly."),
            ("", "RuntimeError"),
        ],
    )
    def test_the_line_that_tells_most_is_taken(self, told, expected):
        assert cluster.reason(RuntimeError(told)) == expected

    def test_the_command_asks_before_ray_does(self, sources, tmp_path, closed, monkeypatch, capsys):
        class Never:
            def is_initialized(self):
                return False

        monkeypatch.setattr(cluster, "ray", Never())
        where = ["--engine", "ray", "--ray-address", f"127.0.0.1:{closed}"]
        assert job(sources, tmp_path, *where) == 2
        assert "Nothing answers" in capsys.readouterr().err and not (tmp_path / NAME).exists()
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{closed}")
        assert job(sources, tmp_path, "--engine", "ray") == 2


class TestManifest:
    def test_a_line_that_was_cut_off_is_dropped(self, tmp_path):
        with Manifest(tmp_path) as manifest:
            manifest.add({"output": "a.png", "state": "done"})
        path = tmp_path / NAME
        path.write_bytes(path.read_bytes() + b'{"output": "b.png", "sta')
        (tmp_path / ".0.partial").write_text("of a run that was killed")
        with Manifest(tmp_path) as manifest:
            assert list(manifest.entries) == ["a.png"] and not list(tmp_path.glob(".*.partial"))
            manifest.add({"output": "c.png", "state": "done"})
        assert [entry["output"] for entry in lines(tmp_path)] == ["a.png", "c.png"]

    def test_one_run_at_a_time(self, tmp_path):
        with Manifest(tmp_path), pytest.raises(InputError, match="Another run writes to"), Manifest(tmp_path):
            pass
        with Manifest(tmp_path):
            pass

    def test_another_file_of_that_name_is_not_overwritten(self, tmp_path):
        (tmp_path / NAME).write_text("my own notes\n")
        for _ in range(2):  # and the folder is free again
            with pytest.raises(InputError, match="no list of results"), Manifest(tmp_path):
                pass
        assert (tmp_path / NAME).read_text() == "my own notes\n"


class TestJob:
    def test_the_others_go_on_and_the_failure_is_noted(self, done):
        entries = {entry["output"]: entry for entry in lines(done)}
        assert len(entries) == 14 and len(pictures(done)) == 12
        failed = {name for name, entry in entries.items() if entry["state"] == "failed"}
        assert failed == {"broken-0.png", "broken-1.png"}
        assert "is no picture" in entries["broken-0.png"]["error"]
        assert all(entry["seconds"] > 0 and entry["worker"] for entry in lines(done) if entry["state"] == "done")

    def test_a_result_is_the_picture_that_stylize_gives(self, done, sources):
        options = {"size": 32, "steps": "4", "skip": 2, "crops": 2}
        with Image.open(done / "cat-1.png") as found:
            expected = stylize(sources / "cat.png", "golden", seed=1, **options).image
            assert np.array_equal(np.asarray(found), np.asarray(expected))
            assert json.loads(found.text["qs_core"])["seed"] == 1

    def test_a_second_start_makes_what_is_missing_alone(self, sources, tmp_path, capsys):
        assert job(sources, tmp_path, "--report", str(tmp_path / "r.json")) == 1
        before = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.png")}
        (tmp_path / "cat-0.png").unlink()
        table = (tmp_path / NAME).read_text().splitlines()
        (tmp_path / NAME).write_text("\n".join(line for line in table if "coffee" not in line) + "\n")
        capsys.readouterr()
        assert job(sources, tmp_path, "--dry-run") == 1  # the broken one
        assert capsys.readouterr().out.split() == [str(tmp_path / name) for name in ("broken-0.png", "cat-0.png")]
        assert job(sources, tmp_path, "--report", str(tmp_path / "r.json")) == 1
        assert "1 made, 5 were there, 1 failed, 0 are left" in capsys.readouterr().err
        after = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.png")}
        assert {name for name in after if after[name] != before[name]} == {"cat-0.png"}
        told = json.loads((tmp_path / "r.json").read_text())
        assert len(told) == 6 and sum("losses" in report for report in told) == 5  # coffee's was lost with its line

    def test_other_settings_are_other_results(self, sources, tmp_path):
        wanted = [
            restyling.results(
                [str(sources / "cat.png")], {(0, 0): tmp_path / "cat-0.png"}, Settings("golden", **options)
            )
            for options in ({}, {"skip": 20}, {"device": "cpu", "crop_chunk": 1})
        ]
        keys = [results[0].key for results in wanted]
        assert keys[0] == keys[2] != keys[1]

    def test_settings_that_cannot_be_are_refused_before_anything(self, sources, tmp_path, capsys):
        for more, told in ((["--attend", "7"], "No layer"), (["--mask", str(sources / "broken.png")], "no picture")):
            assert job(sources, tmp_path, *more) == 2
            assert told in capsys.readouterr().err
        assert not pictures(tmp_path) and not lines(tmp_path)

    def test_it_needs_a_folder(self, sources, tmp_path, capsys):
        single = [str(sources / "cat.png"), *QUICK, "--output", str(tmp_path / "o.png")]
        assert main(["stylize", *single, "--workers", "2"]) == 2
        assert "need a folder" in capsys.readouterr().err

    @pytest.mark.skipif(sys.platform == "win32", reason="a limit of files' sizes")
    def test_a_disk_without_room_stops_it_and_nothing_is_lost(self, sources, tmp_path, capsys):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))
            assert job(sources, tmp_path) == 2
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert "Cannot write" in capsys.readouterr().err
        assert not pictures(tmp_path) and not list(tmp_path.glob(".*.partial"))
        assert job(sources, tmp_path) == 1 and len(pictures(tmp_path)) == 6


def sleeping(announce):
    """Work that says who did it; of "end" its process is killed, as for want of memory."""

    def work(task):
        time.sleep(0.05)
        if task == "end":
            os.kill(os.getpid(), signal.SIGKILL)
        return task, torch.get_num_threads()

    return work


class Killed:
    """Drivers in processes of their own, and what they leave."""

    def start(self, sources: Path, output: Path, *more: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "qs_core", "stylize", str(sources), *QUICK, "--output", str(output)]
        return subprocess.Popen(
            [*command, "--count", "2", *more], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def until(self, output: Path, count: int) -> None:
        """Until the manifest holds so many results."""
        end = time.monotonic() + 120
        while not (output / NAME).exists() or len(lines(output)) < count:
            assert time.monotonic() < end, "nothing comes"
            time.sleep(0.02)

    def check(self, output: Path, done: Path) -> None:
        """All is there, bit by bit what one process makes, and no result was made twice."""
        assert pictures(output) == pictures(done)
        made = Counter(entry["output"] for entry in lines(output) if entry["state"] == "done")
        assert len(made) == 12 and set(made.values()) == {1}

    def end(self, output: Path, driver: subprocess.Popen, ended_by: signal.Signals) -> dict[str, int]:
        """Midway, by a signal. Its workers end as well. The times of change of what is there by then."""
        self.until(output, 3)
        worker = int(lines(output)[-1]["worker"].rpartition(":")[2])
        driver.send_signal(ended_by)
        assert driver.wait(timeout=60) == {signal.SIGKILL: -9, signal.SIGINT: 130}[ended_by], driver.stderr.read()
        end = time.monotonic() + 20
        while Path(f"/proc/{worker}/stat").exists() and " Z " not in Path(f"/proc/{worker}/stat").read_text():
            assert time.monotonic() < end, "a worker outlives its driver"
            time.sleep(0.1)
        kept = {name: (output / name).stat().st_mtime_ns for name in pictures(output)}
        assert 1 <= len(kept) < 12
        return kept

    def goes_on(self, output: Path, done: Path, driver: subprocess.Popen, kept: dict[str, int]) -> None:
        """A second start makes what is missing, and nothing twice."""
        assert driver.wait(timeout=200) == 1, driver.stderr.read()
        self.check(output, done)
        assert {name: (output / name).stat().st_mtime_ns for name in kept} == kept


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
class TestProcesses(Killed):
    """Workers and drivers that are killed, by the hardest signal."""

    def test_a_task_that_kills_its_workers_fails_and_the_others_are_done(self):
        with pools.pool(sleeping, workers=2) as pool:
            outcomes = {outcome.task: outcome for outcome in each(["end", *range(10)], pool)}
        assert "exit code -9" in outcomes.pop("end").error
        threads = max(1, torch.get_num_threads() // 2)
        assert {task: outcome.result for task, outcome in outcomes.items()} == {n: (n, threads) for n in range(10)}

    def test_a_worker_that_is_killed(self, sources, tmp_path, done):
        driver = self.start(sources, tmp_path, "--workers", "2")
        self.until(tmp_path, 2)
        os.kill(int(lines(tmp_path)[-1]["worker"].rpartition(":")[2]), signal.SIGKILL)
        assert driver.wait(timeout=200) == 1, driver.stderr.read()
        self.check(tmp_path, done)
        assert len({entry["worker"] for entry in lines(tmp_path)}) >= 2

    @pytest.mark.parametrize("ended_by", [signal.SIGKILL, signal.SIGINT])
    def test_a_driver_that_is_ended(self, sources, tmp_path, done, ended_by):
        workers = ("--workers", "2")
        kept = self.end(tmp_path, self.start(sources, tmp_path, *workers), ended_by)
        self.goes_on(tmp_path, done, self.start(sources, tmp_path, *workers), kept)


@pytest.mark.slow
class TestRay(Killed):
    """One or two nodes of Ray on this machine."""

    @pytest.fixture
    def cluster(self):
        ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'qs-style-transfer[ray]'")
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        yield cluster
        ray.shutdown()
        cluster.shutdown()

    def test_a_node_that_is_lost(self, cluster, sources, tmp_path):
        node = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        images = [str(path) for path in sorted(sources.iterdir())]
        s = Settings("golden", size=32, steps="30", skip=15, crops=2, count=2)  # long enough for both to be at work

        def made(folder: Path, pool: pools.Pool, after=lambda entries: None) -> list[dict]:
            named = [(k, seed, Path(image).stem) for k, image in enumerate(images) for seed in (0, 1)]
            wanted = restyling.results(images, {(k, seed): folder / f"{name}-{seed}.png" for k, seed, name in named}, s)
            entries = []
            with Manifest(folder) as manifest, pool:
                for entry in restyling.run(wanted, s, manifest, pool):
                    entries.append(entry)
                    after(entries)
            return entries

        lost = []

        def lose(entries: list[dict]) -> None:
            if not lost and len({entry["worker"] for entry in entries}) == 2:
                cluster.remove_node(node, allow_graceful=False)
                lost.append(len(entries))

        pool = pools.pool(restyling.Restyle(s), engine="ray", address=cluster.address)
        assert pool.count == 2
        entries = made(tmp_path / "ray", pool, lose)
        assert len(entries) == 14 and lost[0] < 10
        assert set(Counter(entry["output"] for entry in entries).values()) == {1}
        assert len({entry["worker"] for entry in entries[lost[0] + 1 :]}) == 1  # one may have been under way
        made(tmp_path / "alone", pools.Here(restyling.Restyle(s)))
        assert pictures(tmp_path / "ray") == pictures(tmp_path / "alone") and len(pictures(tmp_path / "ray")) == 12

    @pytest.fixture
    def cluster_address(self, cluster):
        return cluster.address

    @pytest.fixture
    def client_address(self, monkeypatch):
        """Of a node that takes drivers from elsewhere. The package is installed there."""
        pytest.importorskip("ray", reason="Ray is not installed: pip install 'qs-style-transfer[ray]'")
        pytest.importorskip("grpc", reason="Ray's client is not installed: pip install 'qs-style-transfer[ray]'")
        from ray.cluster_utils import Cluster

        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        monkeypatch.setenv("RAY_CLIENT_RECONNECT_GRACE_PERIOD", "1")  # Ray waits for a lost driver, by default 30 s
        head = {"num_cpus": 1, "include_dashboard": False, "ray_client_server_port": port}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        yield f"ray://127.0.0.1:{port}"
        cluster.shutdown()

    @pytest.mark.skipif(sys.platform == "win32", reason="signals")
    @pytest.mark.parametrize("address", ["cluster_address", "client_address"])
    def test_a_driver_that_is_killed(self, address, request, sources, tmp_path, done):
        """The cluster outlives it, and frees the actor's place for the second start's."""
        ray = ("--engine", "ray", "--ray-address", request.getfixturevalue(address))
        kept = self.end(tmp_path, self.start(sources, tmp_path, *ray), signal.SIGKILL)
        self.goes_on(tmp_path, done, self.start(sources, tmp_path, *ray), kept)

    @pytest.mark.skipif(sys.platform == "win32", reason="signals")
    def test_a_driver_that_is_killed_with_the_ray_that_it_began(self, sources, tmp_path, done):
        pytest.importorskip("ray", reason="Ray is not installed: pip install 'qs-style-transfer[ray]'")
        ray = ("--engine", "ray", "--workers", "1")
        kept = self.end(tmp_path, self.start(sources, tmp_path, *ray), signal.SIGKILL)
        self.goes_on(tmp_path, done, self.start(sources, tmp_path, *ray), kept)
