"""What is in a bundle beside the model files: the manifest, golden vectors, metadata and the card."""
