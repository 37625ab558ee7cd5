"""`python -m tools.benchmark`: time, memory and operations of guided sampling, against the reference and ourselves."""
