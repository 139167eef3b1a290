"""Photos and generated images that calibrate an export and measure its fidelity."""
