"""Search and duplicates, with their contact sheets."""
