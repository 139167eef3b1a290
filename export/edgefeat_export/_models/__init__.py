"""Where a network comes from: named backbones, saved models, files of weights, and how pixels are preprocessed."""
