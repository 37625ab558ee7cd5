"""Losses, one file each: bound once to the source, one value per image."""
