"""`edgefeat watch`: features of the photos that arrive in folders."""
