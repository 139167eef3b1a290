"""Feature extraction for large photo collections, by worker processes into a database."""
