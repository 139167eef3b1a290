"""`edgefeat bench`: the time for each step on this device."""
