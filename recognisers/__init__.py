"""Where personal data and secrets stand in a text. Imports nothing of ours, and of libraries RE2 alone."""

from recognisers.recogniser import Recogniser
from recognisers.sieve import Sieve, sieve_of, to_bytes
from recognisers.table import KINDS, PERSONAL_KINDS, RECOGNISERS, Value, find_chosen, find_values

__all__ = [
    "KINDS",
    "PERSONAL_KINDS",
    "RECOGNISERS",
    "Recogniser",
    "Sieve",
    "Value",
    "find_chosen",
    "find_values",
    "sieve_of",
    "to_bytes",
]
