"""The files of a bundle other than the models: manifest, golden vectors, metadata and card."""
