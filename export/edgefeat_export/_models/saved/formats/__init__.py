"""Load each format of a saved model: of Keras 2 and 3, in one file or in parts, and a serving signature."""
