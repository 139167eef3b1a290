"""A run, from what is asked for to the contenders called in turn and the results written down."""
