"""English word lists of the lexical detectors. Their content decides scores, so it is part of the detector's digest."""

from __future__ import annotations

from typing import Final

_FUNCTION_WORDS: Final = """
a an the this that these those such and or but nor so yet if then else than as at by for from in into of off on onto
out over to under up down with within without about above after again against all also am is are was were be been
being do does did doing done have has had having he her hers him his i it its itself me my mine our ours she they
them their theirs we us you your yours yourself himself herself themselves who whom whose which what when where why
how can could may might must shall should will would not no n't cannot there here just only very more most much many
some any each every both either neither other another same own too between during before because while until though
although however therefore thus since per via etc one's s t re ve ll d m let's that's it's he's she's there's what's
i'm you're we're they're i've you've we've they've i'll you'll we'll they'll isn't aren't wasn't weren't don't
doesn't didn't can't couldn't won't wouldn't shouldn't hasn't haven't hadn't get got pm p
"""
_TALK_WORDS: Final = """
hello hi hey dear thanks thank welcome sorry apologies apologize please sure certainly course absolutely yes yeah ok
okay great happy glad pleased help helps helpful hope hopefully assist assistance support let know feel free contact
reach ask question questions answer answers further additional anything else need needs like want regarding based
according provided provide context document documents information source sources text passage mentioned stated
states says say said summary summarize brief briefly short note important however overall conclusion following
follows understand understandable frustrating inconvenience patience good day best regards wish unfortunately detail
details specific specifically available currently right step steps simply able would
"""
_ABBREVIATIONS: Final = """
mr mrs ms dr prof sr jr st vs etc e.g i.e cf al fig no nos vol pp p approx dept est inc ltd co corp gen col lt sgt
rep sen gov rev hon u.s u.k u.n d.c a.m p.m jan feb mar apr jun jul aug sep sept oct nov dec
"""
_COUNTING_WORDS: Final = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
eighteen nineteen twenty
"""

# Words that carry grammar and no content.
FUNCTION_WORDS: Final = frozenset(_FUNCTION_WORDS.split())
# What an assistant says around its answer: greetings, offers, references to "the documents". No fact rests on these.
TALK_WORDS: Final = frozenset(_TALK_WORDS.split())
# Words that end in a full stop without ending a sentence.
ABBREVIATIONS: Final = frozenset(_ABBREVIATIONS.split())

NUMBER_WORDS: Final = {word: value for value, word in enumerate(_COUNTING_WORDS.split())} | {
    "thirty": 30,
    "forty": 40,
    "fifty": 50,
    "sixty": 60,
    "seventy": 70,
    "eighty": 80,
    "ninety": 90,
    "dozen": 12,
    "hundred": 100,
    "thousand": 1000,
    "million": 1_000_000,
    "billion": 1_000_000_000,
}

# Without "may", which is far more often a verb, and "march", which is too often a walk.
MONTHS: Final = {
    name: str(number)
    for number, names in {
        1: ("january", "jan"),
        2: ("february", "feb"),
        4: ("april", "apr"),
        6: ("june", "jun"),
        7: ("july", "jul"),
        8: ("august", "aug"),
        9: ("september", "sep", "sept"),
        10: ("october", "oct"),
        11: ("november", "nov"),
        12: ("december", "dec"),
    }.items()
    for name in names
}

# Names of days, money and measures, each first by the key that all its spellings share.
_UNITS: Final = """
second seconds; minute minutes; hour hours; day days; week weeks; month months; year years; decade decades;
century centuries; night nights; euro euros eur; dollar dollars usd; pound pounds gbp; franc francs chf; yen jpy;
cent cents; percent pct; kilometre kilometres kilometer kilometers; metre metres meter meters; mile miles; foot feet;
inch inches; centimetre centimetres centimeter centimeters; millimetre millimetres millimeter millimeters;
kilogram kilograms kilo kilos; gram grams; tonne tonnes ton tons; litre litres liter liters; degree degrees;
kilobyte kilobytes; megabyte megabytes; gigabyte gigabytes; terabyte terabytes; watt watts; volt volts
"""
_UNIT_SHORT_FORMS: Final = """
s sec secs second; min mins minute; h hr hrs hour; wk wks week; yr yrs year; km kilometre; m metre; cm centimetre;
mm millimetre; ft foot; mi mile; kg kilogram; g gram; l litre; kb kilobyte; mb megabyte; gb gigabyte; tb terabyte;
w watt; v volt
"""
CURRENCIES: Final = {
    "\u20ac": "euro",
    "$": "dollar",
    "\u00a3": "pound",
    "\u00a5": "yen",
    "eur": "euro",
    "usd": "dollar",
    "gbp": "pound",
    "chf": "franc",
}
UNIT_NAMES: Final = (
    {name: names.split()[0] for names in _UNITS.split(";") for name in names.split()} | CURRENCIES | {"%": "percent"}
)
UNIT_ABBREVIATIONS: Final = {
    form: forms.split()[-1] for forms in _UNIT_SHORT_FORMS.split(";") for form in forms.split()[:-1]
}
# Exact ratios between units: one of the first is so many of the last.
UNIT_RATIOS: Final = (
    ("minute", 60, "second"), ("hour", 60, "minute"), ("day", 24, "hour"), ("week", 7, "day"), ("year", 12, "month"),
    ("decade", 10, "year"), ("century", 100, "year"), ("kilometre", 1000, "metre"), ("metre", 100, "centimetre"),
    ("kilogram", 1000, "gram"), ("euro", 100, "cent"), ("dollar", 100, "cent"),
)  # fmt: skip
# "Million" after figures: the power of ten it adds.
SCALE_WORDS: Final = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9}
# A figure after these words says which, not how many.
ENUMERATORS: Final = frozenset(
    {"step", "option", "document", "documents", "doc", "source", "sources", "passage", "excerpt", "context"}
)
# Without "second", which is far more often a time.
ORDINALS: Final = {
    "first": "1", "third": "3", "fourth": "4", "fifth": "5", "sixth": "6", "seventh": "7", "eighth": "8",
    "ninth": "9", "tenth": "10",
}  # fmt: skip
# The word key of each month by number; May is no word here, as "may" is grammar.
MONTH_KEYS: Final = {int(number): f"month-{number}" for number in MONTHS.values()} | {3: "march"}
