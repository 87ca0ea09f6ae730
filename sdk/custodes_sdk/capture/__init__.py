"""Captures calls of an OpenAI-compatible HTTP API: one core for the vLLM middleware and ``custodes proxy``."""
