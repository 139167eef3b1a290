"""The inference engines: which are installed, which one runs a bundle, and how fast."""
