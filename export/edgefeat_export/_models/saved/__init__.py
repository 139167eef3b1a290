"""Saved models: what a file is, whether it is safe to load, the network in it, and how it scales its pixels."""
