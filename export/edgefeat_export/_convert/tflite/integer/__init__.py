"""Convert TFLite float32 to TFLite with integers alone: for NPUs and microcontrollers, which have no floats."""
