"""KerasHub: its presets and classes, what their tokens are, and their image converters."""
