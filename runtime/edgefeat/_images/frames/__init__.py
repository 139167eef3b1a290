"""Camera frames: their pixel formats, their layout in memory, and their pixels."""
