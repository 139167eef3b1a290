"""The steps of an export, the worker processes that run them, and the decisions between steps."""
