"""HTTP: connections, access, bodies and answers."""
