"""The network that is exported: a backbone or saved model, cut at its layers, with its head baked in."""
