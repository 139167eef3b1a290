"""Scripts that run on the board. `install.sh` and `check.py` need nothing of edgefeat."""
