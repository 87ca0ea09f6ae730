"""Guarded actions: proposals that people or rules agree to, carried out once, and verified afterwards."""
