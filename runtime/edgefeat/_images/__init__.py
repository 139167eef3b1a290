"""How images are read: from a path, an archive or an array to the pixels that a model takes."""
