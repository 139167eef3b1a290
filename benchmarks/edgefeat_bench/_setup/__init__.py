"""What a run works with: bundle, photos, Keras model, tuned engines."""
