"""`edgefeat extract`: writes features to a file or, with --into, to a database."""
