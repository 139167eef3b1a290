"""Convert the float32 TFLite file to ONNX, in float32 and int8."""
