"""Broken and hostile checkpoint files: each is refused with advice, runs nothing, and is cheap to refuse.

The corpus is in hostile.py. Files are loaded in a process of their own, which may crash or hang without harm here.
"""

import importlib.util
import pickle
import random
import re
import struct
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from qs_core import checkpoints
from qs_core.errors import InputError, UnsupportedCheckpoint


def _hostile():
    name = "qs_tests_hostile"
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("hostile.py"))
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


hostile = _hostile()

ADVICE = re.compile(r"\b(Fetch|Choose|Use|use|Give|give|Convert|[Ss]ave|Put|again|Resave|Update|Unpack|Make|Leave)\b")
UNSAFE = re.compile(r"weights_only|safe_globals|allowlist|Traceback|trust")  # torch's own advice must not come through
LONGEST = 600  # characters of a message, but for the file's name
SECONDS = 2.0  # of the processor
FLIPS = 200


@pytest.fixture(scope="module")
def watch():
    """The process that loads."""
    watch = hostile.Watch()
    yield watch
    watch.close()


@pytest.fixture(scope="module")
def originals(watch, tmp_path_factory) -> dict[str, tuple[str, ...]]:
    """What the undamaged networks load as."""
    folder = tmp_path_factory.mktemp("originals")
    torch.save(hostile.adm(), folder / "adm.pt")
    torch.save(hostile.ddpm(), folder / "ddpm.pt")
    outcomes = {name: watch.load(folder / f"{name}.pt") for name in ("adm", "ddpm")}
    assert all(outcome.error == () for outcome in outcomes.values()), outcomes
    return {name: outcome.network for name, outcome in outcomes.items()}


def made(folder: Path, case) -> Path:
    path = folder / case.file
    case.write(path)
    return path


def check_cost(outcome) -> None:
    assert outcome.error not in (("crashed",), ("hung",), ("swelled",)), outcome
    assert outcome.seconds < SECONDS
    assert outcome.memory < hostile.GIGABYTE


def check_refused(outcome, path: Path, says: str = "") -> None:
    """A refusal: of the library's own kind, in one printable line that names the file and advises."""
    check_cost(outcome)
    assert outcome.error, f"{path.name} was loaded"
    assert "InputError" in outcome.error and "ValueError" in outcome.error, outcome
    assert path.name in outcome.message
    rest = outcome.message.replace(str(path), "").replace(path.name, "")
    assert rest.isprintable() and len(rest) < LONGEST, rest[: 2 * LONGEST]
    assert ADVICE.search(rest), rest
    assert not UNSAFE.search(rest), rest
    assert re.search(says, rest), rest


@pytest.mark.parametrize("name", hostile.REFUSED)
def test_refused(watch, tmp_path, name):
    case = hostile.REFUSED[name]
    path = made(tmp_path, case)
    outcome = watch.load(path)
    assert not (tmp_path / hostile.MARKER).exists(), "code in the file was run"
    check_refused(outcome, path, case.says)


@pytest.mark.parametrize("name", hostile.HARMLESS)
def test_refused_or_the_very_network(watch, originals, tmp_path, name):
    path = made(tmp_path, hostile.HARMLESS[name])
    outcome = watch.load(path)
    assert not (tmp_path / hostile.MARKER).exists(), "code in the file was run"
    if outcome.error:
        check_refused(outcome, path)
    else:
        check_cost(outcome)
        assert outcome.network[0] in {network for network, _ in originals.values()}


@pytest.mark.parametrize("name", ["touch", "open", "eval", "exec", "os.system", "subprocess", "functools.partial"])
def test_the_traps_would_have_worked(tmp_path, name):
    """Or the tests above would pass for the wrong reason."""
    loaded = pickle.dumps(hostile.CODE[name](tmp_path / "model.pt"), 2)
    held = pickle.loads(loaded)
    if name in ("open", "functools.partial"):
        held = held() if callable(held) else held
        held.close()
    assert (tmp_path / hostile.MARKER).exists()


@pytest.mark.parametrize("name", ["empty pt", "LFS pointer safetensors", "cut zip 0.5", "cut old 0.5", "code eval zip"])
def test_read_refuses_as_load_model_does(tmp_path, name):
    path = made(tmp_path, hostile.REFUSED[name])
    with pytest.raises(UnsupportedCheckpoint, match=ADVICE):
        checkpoints.read(path)


def test_what_is_missing_is_no_checkpoint_that_is_unsupported(tmp_path):
    """A wrong path is the caller's slip, not the file's."""
    with pytest.raises(InputError, match="No model file") as caught:
        checkpoints.read(tmp_path / "none.pt")
    assert not isinstance(caught.value, UnsupportedCheckpoint)


class TestFlippedBits:
    """A bit turned over, some two hundred times with a fixed seed."""

    @staticmethod
    def faults(watch, path: Path, content: bytes, bits: list[int], original: tuple[str, ...] | None) -> dict[int, str]:
        """The flips that neither were refused nor left the original (None: any network will do), and why."""
        faults = {}
        for number, bit in enumerate(bits):
            flipped = path.with_name(f"{number}-{path.name}")  # a new file: an old one may still be mapped
            flipped.write_bytes(hostile.flip(content, bit))
            outcome = watch.load(flipped)
            try:
                if outcome.error:
                    check_refused(outcome, flipped)
                else:
                    check_cost(outcome)
                    assert original in (None, outcome.network), "another network"
            except AssertionError as error:
                faults[bit] = str(error)[:300]
            flipped.unlink()
        return faults

    def test_zip(self, watch, originals, tmp_path):
        """A zip archive holds a checksum of each record."""
        content = hostile.torch_bytes(hostile.ddpm())
        bits = hostile.chosen_bits(content, hostile.structure_of_zip(content), FLIPS, seed=1)
        assert self.faults(watch, tmp_path / "model.pt", content, bits, originals["ddpm"]) == {}

    def test_converted(self, watch, originals, tmp_path):
        """So does a file that this library wrote."""
        from qs_core.checkpoints.specification import convert

        torch.save(hostile.ddpm(), tmp_path / "model.pt")
        convert(tmp_path / "model.pt", tmp_path / "model.safetensors")
        content = (tmp_path / "model.safetensors").read_bytes()
        (length,) = struct.unpack("<Q", content[:8])
        bits = hostile.chosen_bits(content, [(0, 8), (8, 8 + length)], FLIPS, seed=2)
        assert self.faults(watch, tmp_path / "flipped.safetensors", content, bits, originals["ddpm"]) == {}

    def test_exponents_in_a_safetensors_file_without_a_checksum(self, watch, tmp_path):
        """Others' safetensors hold no checksum. A weight that is not finite, or beyond 65504, is seen; any other flip
        changes one weight by at most that much, and cannot be seen.
        """
        _, data = hostile.parts_of(content := save(hostile.ddpm()))
        numbers = torch.frombuffer(bytearray(data), dtype=torch.float32)
        small = [k for k, x in enumerate(numbers.tolist()) if 1e-20 < abs(x) < 1]
        places = random.Random(3).sample(small, 40)
        top = [8 * (len(content) - len(data) + 4 * place) + 30 for place in places]  # the exponent's highest bit
        path = tmp_path / "model.safetensors"
        faults = {}
        for bit in top:
            path.write_bytes(hostile.flip(content, bit))
            outcome = watch.load(path)
            if not outcome.error:
                faults[bit] = "was loaded"
            else:
                check_refused(outcome, path)
        assert faults == {}

    def test_the_header_of_a_safetensors_file_without_a_checksum(self, watch, originals, tmp_path):
        content = save(hostile.ddpm())
        (length,) = struct.unpack("<Q", content[:8])
        bits = hostile.chosen_bits(content[: 8 + length], [(0, 8), (8, 8 + length)], 100, seed=4)
        assert self.faults(watch, tmp_path / "model.safetensors", content, bits, originals["ddpm"]) == {}

    def test_the_old_format(self, watch, tmp_path):
        """It holds no checksum: what is asked is that no flip does harm."""
        content = hostile.torch_bytes(hostile.ddpm(), zipped=False)
        bits = hostile.chosen_bits(content, [(0, hostile.structure_of_old(content))], 100, seed=5)
        assert self.faults(watch, tmp_path / "model.pt", content, bits, None) == {}

    def test_a_pickle_under_a_right_checksum(self, watch, tmp_path):
        """As one who means harm would make it: no flip of the pickle does any."""
        faults, draw = {}, random.Random(6)
        parts = hostile.records(hostile.ddpm())
        for number in range(100):
            bit = draw.randrange(8 * len(parts["archive/data.pkl"]))
            path = tmp_path / f"{number}.pt"
            changed = {**parts, "archive/data.pkl": hostile.flip(parts["archive/data.pkl"], bit)}
            hostile.write_zip(path, changed.items())
            outcome = watch.load(path)
            try:
                check_refused(outcome, path) if outcome.error else check_cost(outcome)
            except AssertionError as error:
                faults[bit] = str(error)[:300]
            path.unlink()
        assert faults == {}
