"""Put a camera frame in front of a TFLite file."""
