"""Losses, one file each, and the list of them."""

from .clip import CLIP_LOSS
from .contrastive import CONTRASTIVE_LOSS
from .identity import IDENTITY_LOSS
from .perceptual import VGG_LOSS
from .pixel import MSE_LOSS, RANGE_LOSS
from .vit import VIT_LOSS

# Their gradients are summed in this order.
LOSSES = (CLIP_LOSS, CONTRASTIVE_LOSS, MSE_LOSS, RANGE_LOSS, VGG_LOSS, VIT_LOSS, IDENTITY_LOSS)
BY_KIND = {loss.kind: loss for loss in LOSSES}
