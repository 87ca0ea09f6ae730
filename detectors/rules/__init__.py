"""Detectors that judge by rules of our own and need no model and no torch."""
