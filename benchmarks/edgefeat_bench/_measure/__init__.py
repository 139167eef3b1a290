"""What is measured apart from the race: starts, folders, quality, cost curves, the peak, and the machine itself."""
