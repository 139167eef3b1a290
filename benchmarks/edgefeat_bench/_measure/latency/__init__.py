"""Time from photo to feature, contenders in turn."""
