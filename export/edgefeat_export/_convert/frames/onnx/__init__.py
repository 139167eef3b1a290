"""Put a camera frame in front of an ONNX file."""
