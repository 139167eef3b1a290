"""Saved models: recognize a file, check that it is safe to load, load its network, and find how it scales pixels."""
