"""Convert the network's SavedModel into each variant's file. Every function reads files and writes one file."""
