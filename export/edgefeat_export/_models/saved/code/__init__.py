"""Code in a saved model: what is refused, and how the rest of the model is loaded without it."""
