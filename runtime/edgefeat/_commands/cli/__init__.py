"""What all commands share: the entry point, options, and output to the terminal."""
