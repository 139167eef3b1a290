"""The bundle on disk: its manifest, files, golden vectors and fidelity figures."""
