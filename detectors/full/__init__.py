"""The ``full`` profile: open models from local bundles. Nothing here is imported unless that profile is loaded."""

from __future__ import annotations
