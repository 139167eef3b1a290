"""Putting a bundle on a board: what a board is, the file with everything it needs, and the way there by SSH."""
