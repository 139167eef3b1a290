"""What makes int8 faithful: corrected weights, layers kept in float, and what is measured to decide."""
