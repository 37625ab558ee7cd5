"""What the command line can do: a module for each command, and what they share."""
