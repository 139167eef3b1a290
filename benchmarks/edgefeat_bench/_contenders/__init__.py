"""What is timed: one module for each kind of contender, and the process each runs in."""
