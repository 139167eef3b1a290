"""`edgefeat serve`: features over HTTP."""
