"""Pictures the demo models are trained and evaluated on."""
