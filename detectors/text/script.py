"""Which texts the English detectors can read at all."""

from __future__ import annotations

from typing import Final

FOREIGN_LETTER_SHARE: Final = 0.5
_LAST_LATIN: Final = "\u024f"


def has_foreign_letters(text: str) -> bool:
    """Return whether more than half of the letters lie outside the Latin alphabet.

    The heads learned from English only. On other scripts they would answer low whatever is said, and that would pass
    for an all-clear. Other languages in Latin letters are not recognised here.
    """
    if text.isascii():
        return False
    letters = [character for character in text if character.isalpha()]
    foreign = sum(character > _LAST_LATIN for character in letters)
    return foreign > FOREIGN_LETTER_SHARE * len(letters)
