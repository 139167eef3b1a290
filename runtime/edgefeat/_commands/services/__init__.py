"""The commands that run until they are stopped: features over HTTP, and of photos that arrive in folders."""
