"""What all commands share: options and output to the terminal."""
