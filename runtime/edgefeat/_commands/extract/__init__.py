"""`edgefeat extract`: features into a file, or with --into into a database."""
