"""``custodes proxy``: passes calls of an OpenAI-compatible API on, and captures what passes."""
