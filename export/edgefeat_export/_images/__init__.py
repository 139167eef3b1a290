"""The photos and generated pictures that an export calibrates on and measures fidelity on."""
