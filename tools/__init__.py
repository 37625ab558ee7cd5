"""What trains the built-in models and measures them; never imported at run time."""
