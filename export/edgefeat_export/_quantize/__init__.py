"""Make int8 faithful: correct weights, keep layers in float, and measure to decide between them."""
