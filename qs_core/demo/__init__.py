"""The built-in small models and pictures, as files: loaded by the same code as any other.

Trained from scratch by `tools/`; MODEL_CARD.md says on what, for how long, and where they end.
"""

from pathlib import Path

FOLDER = Path(__file__).parent
UNET = FOLDER / "unet.safetensors"
CLIP = FOLDER / "clip"
PICTURES = {path.stem: path for path in sorted((FOLDER / "pictures").glob("*.jpg"))}
STYLE_PICTURES = {path.stem: path for path in sorted((FOLDER / "styles").glob("*.jpg"))}
STYLES = {path.stem: path for path in sorted((FOLDER / "styles").glob("*.safetensors"))}
NAME = "demo"


def resolve(name: str | Path, built_in: Path) -> str | Path:
    """The built-in file for "demo", any other name as it is."""
    return built_in if str(name) == NAME else name
