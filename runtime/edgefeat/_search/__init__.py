"""Search and duplicate detection in a feature database."""
