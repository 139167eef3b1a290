"""The sources of a network: named backbones, saved models, weight files, and the preprocessing of each."""
