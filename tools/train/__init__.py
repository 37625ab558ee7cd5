"""Training of the built-in models: `python -m tools.train pool|unet|clip|all`."""
