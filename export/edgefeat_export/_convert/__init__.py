"""From the network's SavedModel to each variant's file; every function reads files and writes one file."""
