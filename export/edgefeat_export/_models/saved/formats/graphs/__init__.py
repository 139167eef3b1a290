"""Graphs of TensorFlow without layers of Keras: read them, and make layers of their operations or scopes."""
