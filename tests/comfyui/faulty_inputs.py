"""A node for the tests: pictures and masks as no node should make them."""

import torch

IMAGES = {
    "none": lambda: torch.rand(1, 64, 64, 3),
    "NaN": lambda: torch.full((1, 64, 64, 3), torch.nan),
    "empty": lambda: torch.zeros(0, 64, 64, 3),
    "latent": lambda: torch.zeros(1, 4, 8, 8),
}
MASKS = {
    "none": lambda: torch.ones(1, 64, 64),
    "NaN": lambda: torch.full((1, 64, 64), torch.nan),
    "empty": lambda: torch.zeros(1, 0, 0),
    "too many": lambda: torch.ones(3, 64, 64),
}


class FaultyInputs:
    """Names of faults → IMAGE and MASK."""

    CATEGORY = "tests"
    RETURN_TYPES = ("IMAGE", "MASK")
    FUNCTION = "make"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"image_fault": (list(IMAGES),), "mask_fault": (list(MASKS),)}}

    def make(self, image_fault: str, mask_fault: str):
        return IMAGES[image_fault](), MASKS[mask_fault]()


NODE_CLASS_MAPPINGS = {"FaultyInputs": FaultyInputs}
