"""The steps of an export, the processes they run in, and the decisions between them."""
