"""Put a camera frame in front of a model file: colours, rotation, fit and resize become part of the graph."""
