"""What spans of any vocabulary, or none, may say: whose they are and to which session they belong.

No dialect of its own: ``normalise`` looks for these on every span and on its resource, behind all dialects, and calls
a span ``generic`` that speaks none.
"""

from __future__ import annotations

NAME = "generic"
SESSION = ("session.id",)
USER = ("user.id", "enduser.id", "enduser.pseudo.id")
