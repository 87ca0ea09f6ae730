"""Benchmarks: how fast, measured on this machine. Run by ``python -m bench``, not by pytest."""
