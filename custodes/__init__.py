"""Custodes watches large language models in production, and lets anyone check the watcher."""

__version__ = "0.1.0"
