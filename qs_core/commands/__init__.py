"""What the command line can do: the commands, and what they share."""
