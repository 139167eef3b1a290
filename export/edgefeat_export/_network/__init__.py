"""The network to export: a backbone or saved model, cut at its layers, with the head baked in."""
