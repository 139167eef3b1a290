"""Files that hold weights: their layers and arrays, without a network."""
