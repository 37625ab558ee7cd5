"""Frozen networks that measure images: CLIP, VGG-19 and ViT."""
