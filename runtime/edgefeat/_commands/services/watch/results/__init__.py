"""Where the features go: a database, or a file of JSON lines."""
