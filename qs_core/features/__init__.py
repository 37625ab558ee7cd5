"""Frozen networks that measure images: CLIP and VGG-19."""
