"""ComfyUI's entry to the pack."""

from pathlib import Path

if __package__:  # empty where a test collector imports this file by itself
    from .nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

    __all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
    if (Path(__file__).parent / "web").is_dir():
        WEB_DIRECTORY = "./web"
        __all__ += ["WEB_DIRECTORY"]
