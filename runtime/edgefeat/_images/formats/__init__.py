"""The image formats, each with its checks before decoding."""
