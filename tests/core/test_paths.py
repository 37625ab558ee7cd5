"""Paths as people write them."""

import io
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from qs_core import InputError, demo
from qs_core.__main__ import main
from qs_core.checkpoints.specification import convert
from qs_core.features.lpips import load_lpips
from qs_core.features.vgg import load_vgg
from qs_core.features.vit import load_vit
from qs_core.model import load_model
from qs_core.paths import expanded, names_of, partial, pictures_of, require_possible

QUICK = ["--prompt", "golden", "--steps", "4", "--skip", "2", "--size", "32", "--crops", "4"]
LONGEST = 255  # bytes of a name


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    return tmp_path


@pytest.fixture
def folder(tmp_path) -> Path:
    """b.png, A.JPG and c.webp, beside what is no picture, a hidden file, and a folder with one more."""
    for name in ("b.png", "A.JPG", "c.webp"):
        Image.new("RGB", (48, 40), "teal").save(tmp_path / name, {"b.png": "PNG", "A.JPG": "JPEG"}.get(name))
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "._b.png").write_bytes(b"left by a Mac")
    (tmp_path / "within").mkdir()
    (tmp_path / "within" / "d.png").write_bytes((tmp_path / "b.png").read_bytes())
    return tmp_path


def names(found: list[str]) -> list[str]:
    return [Path(path).name for path in found]


class TestPicturesOf:
    def test_a_folder(self, folder):
        found, told = pictures_of([folder])
        assert names(found) == ["A.JPG", "b.png", "c.webp"]
        assert told == [f"{folder}: passed over notes.txt."]

    def test_a_pattern(self, folder, home):
        assert names(pictures_of([f"{folder}/*.png"])[0]) == ["b.png"]
        assert names(pictures_of([f"{folder}/**/*.png"])[0]) == ["b.png", "d.png"]
        assert names(pictures_of(["~/[bc].*"])[0]) == ["b.png", "c.webp"]
        found, told = pictures_of([f"{folder}/*"])
        assert names(found) == ["A.JPG", "b.png", "c.webp"] and "notes.txt" in told[0]

    def test_a_file_that_is_there_is_no_pattern(self, folder):
        odd = folder / "a[1]*?.png"
        odd.write_bytes((folder / "b.png").read_bytes())
        assert pictures_of([odd]) == ([str(odd)], [])
        strange = folder / "picture.dat"  # what is named by itself may have any suffix
        strange.write_bytes(b"")
        assert pictures_of([strange]) == ([str(strange)], [])

    def test_order_is_kept_and_what_was_there_is_not_taken_again(self, folder):
        found, _ = pictures_of([folder / "c.webp", folder, folder / "within"])
        assert names(found) == ["c.webp", "A.JPG", "b.png", "d.png"]

    @pytest.mark.parametrize(
        "name, told",
        [
            ("none*.png", "No picture fits the pattern"),
            ("empty", "There is no picture in the folder"),
        ],
    )
    def test_nothing(self, tmp_path, name, told):
        (tmp_path / "empty").mkdir()
        with pytest.raises(InputError, match=told):
            pictures_of([tmp_path / name])

    def test_much_that_is_passed_over_is_summed_up(self, folder):
        for number in range(9):
            (folder / f"x{number}.txt").write_text("")
        assert pictures_of([folder])[1][0].endswith("passed over notes.txt, x0.txt, x1.txt and 7 more.")


class TestNames:
    def test_of_results(self):
        assert names_of(["a/x.jpg", "b/y.png"]) == ["x", "y"]
        assert names_of(["a/x.jpg", "b/X.png", "y.png"]) == ["x.jpg", "X.png", "y"]
        with pytest.raises(InputError, match="Two pictures are named 'x'"):
            names_of(["a/x.jpg", "b/x.jpg"])

    def test_a_partial_file_has_a_short_name_of_its_own(self):
        path = Path("x" * LONGEST)
        assert len(partial(path).name) < 64 and partial(path) != partial(path)

    def test_a_name_that_cannot_be(self, tmp_path):
        require_possible(tmp_path / "new" / ("a" * LONGEST))
        for name in ("a" * (LONGEST + 1), "漢" * 90, "a\0b"):
            with pytest.raises(InputError, match="Cannot write .*Choose a shorter or plainer name"):
                require_possible(tmp_path / name / "o.png")


class TestHome:
    def test_expanded(self, home, monkeypatch):
        assert expanded("~/x.pt") == home / "x.pt" and expanded("~") == home
        assert expanded("a/~/x") == Path("a/~/x")
        assert expanded("~nobody-of-that-name/x") == Path("~nobody-of-that-name/x")
        monkeypatch.chdir(home)
        (home / "~x.png").write_text("")
        assert expanded("~x.png") == Path("~x.png")

    def test_everywhere(self, home, capsys):
        (home / "m.safetensors").write_bytes(demo.UNET.read_bytes())
        (home / "p.jpg").write_bytes(demo.PICTURES["cat"].read_bytes())
        Image.new("L", Image.open(home / "p.jpg").size, 255).save(home / "mask.png")
        arguments = ["--model=~/m.safetensors", "--mask=~/mask.png", "--output=~/o.png", "--report=~/new/r.json"]
        assert main(["stylize", "~/p.jpg", *QUICK, *arguments]) == 0
        assert (home / "o.png").is_file() and json.loads((home / "new" / "r.json").read_text())["output"]
        assert main(["inspect", "~/m.safetensors", "--verify"]) == 1
        assert main(["convert", "~/m.safetensors", "~/c.safetensors"]) == 0
        assert (home / "c.safetensors").is_file()
        assert load_model("~/m.safetensors").name == "m.safetensors"

    @pytest.mark.parametrize("name", ["~/none.pt", "x" * 5000, "a\0b", ""])
    def test_a_file_that_is_not_there_is_told_in_one_line(self, home, name):
        for load in (load_model, load_vgg, lambda path: load_vit("vit_small_patch16_224.dino", path)):
            if name == "" and load is not load_model:
                continue
            with pytest.raises(InputError) as error:
                load(name)
            assert "\n" not in str(error.value)
        with pytest.raises(InputError, match="No AlexNet weights"):
            load_lpips(name or "none", name or "none")
        with pytest.raises(InputError):
            convert(name, home / "o.safetensors")


class TestCommandLine:
    def test_folders_and_patterns(self, folder, capsys):
        for given, wanted in (([str(folder)], 3), ([f"{folder}/*.png"], 1), ([str(folder / "within")], 1)):
            out = folder.parent / f"out{len(list(folder.parent.iterdir()))}"
            assert main(["stylize", *given, *QUICK, "--output", str(out)]) == 0
            assert len(list(out.glob("*.png"))) == wanted
        assert "passed over notes.txt" in capsys.readouterr().err

    def test_one_file_name_for_several_results(self, folder, capsys):
        assert main(["stylize", str(folder), *QUICK, "--output", str(folder / "o.png")]) == 2
        assert "names one file; several results need a folder" in capsys.readouterr().err

    def test_the_longest_names(self, tmp_path):
        longest = tmp_path / ("a" * (LONGEST - 4) + ".png")
        photo = str(demo.PICTURES["cat"])
        assert main(["stylize", photo, *QUICK, "--output", str(longest)]) == 0 and longest.is_file()
        source = tmp_path / ("漢" * 82 + ".jpg")
        source.write_bytes(demo.PICTURES["cat"].read_bytes())
        assert main(["stylize", str(source), photo, *QUICK, "--output", str(tmp_path / "o")]) == 0
        assert len(list((tmp_path / "o").iterdir())) == 2

    def test_a_name_too_long_is_told_before_the_walk(self, tmp_path, capsys):
        too_long = tmp_path / "new" / ("a" * LONGEST + ".png")
        assert main(["stylize", str(demo.PICTURES["cat"]), *QUICK, "--output", str(too_long)]) == 2
        error = capsys.readouterr().err
        assert "Cannot write" in error and "inversion" not in error

    @pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")
    def test_a_name_that_cannot_be_decoded_or_printed(self, tmp_path):
        source = os.fsencode(tmp_path) + b"/caf\xe9-\xff.jpg"
        with open(source, "wb") as file:
            file.write(demo.PICTURES["cat"].read_bytes())
        command = [sys.executable, "-m", "qs_core", "stylize", source, demo.PICTURES["astronaut"], *QUICK]
        environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii:strict"}
        root = Path(__file__).parents[2]
        options = {"cwd": root, "env": environment, "capture_output": True, "check": False}
        done = subprocess.run([*command, "--output", tmp_path / "墨"], **options)
        assert done.returncode == 0, done.stderr
        assert len(list((tmp_path / "墨").iterdir())) == 2

    def test_what_is_printed_ends_no_run(self, monkeypatch, tmp_path):
        stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
        monkeypatch.setattr(sys, "stdout", stream)
        arguments = ["stylize", str(demo.PICTURES["cat"]), *QUICK, "--output", str(tmp_path / "墨.png")]
        assert main(arguments) == 0
        stream.flush()
        assert b"\\u58a8.png" in stream.buffer.getvalue()

    @pytest.mark.skipif(sys.platform == "win32", reason="a shell")
    @pytest.mark.parametrize("shell", ["{} | head -c 1", "{} >&- 2>&-", "{} > /dev/full 2> /dev/full"])
    def test_whoever_stops_reading_ends_no_run(self, tmp_path, shell):
        if "full" in shell and not Path("/dev/full").exists():
            pytest.skip("no /dev/full")
        photos, out = [str(demo.PICTURES[name]) for name in ("cat", "astronaut")], tmp_path / "o"
        command = shlex.join([sys.executable, "-m", "qs_core", "stylize", *photos, *QUICK, "--output", str(out)])
        bash = ["bash", "-c", "set -o pipefail; " + shell.format(command)]
        done = subprocess.run(bash, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
        assert done.returncode == 0 and "Traceback" not in done.stderr and "ignored" not in done.stderr
        assert len(list(out.iterdir())) == 2
