"""Where personal data and secrets stand in a text. Imports the standard library only, and nothing of ours."""

from recognisers.outline import Outline, outline
from recognisers.recogniser import Recogniser
from recognisers.table import KINDS, PERSONAL_KINDS, RECOGNISERS, Value, choose, find_chosen, find_values

__all__ = [
    "KINDS",
    "PERSONAL_KINDS",
    "RECOGNISERS",
    "Outline",
    "Recogniser",
    "Value",
    "choose",
    "find_chosen",
    "find_values",
    "outline",
]
