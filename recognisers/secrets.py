"""Keys, tokens and passwords: what their issuers mark, and what is assigned to a name that says it is secret.

A random-looking text alone is no secret: digests, ids and pictures in Base64 look the same. So either the issuer's
prefix or the name beside it must say so. Where only a name does, the value must look made up: enough entropy, and not a
word, a placeholder or a reference to a variable.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Final

from recognisers.recogniser import Found, Recogniser

SECRET: Final = "secret"

_BEFORE: Final = r"(?<![A-Za-z0-9])"
_AFTER: Final = r"(?![A-Za-z0-9])"

# Name, how it begins (any of these must stand in the text), shortest length, pattern.
_MARKED: Final[tuple[tuple[str, tuple[str, ...], int, str], ...]] = (
    ("openai_key", ("sk-",), 19, r"sk-(?:(?:proj|svcacct|admin|None)-)?[A-Za-z0-9_-]{16,256}"),
    ("anthropic_key", ("sk-ant-",), 24, r"sk-ant-[A-Za-z0-9_-]{16,256}"),
    ("stripe_key", ("k_live_", "k_test_", "whsec_"), 22, r"(?:[rs]k_(?:live|test)|whsec)_[A-Za-z0-9+/=]{16,128}"),
    ("github_token", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"), 34,
     r"(?:gh[pousr]_[A-Za-z0-9]{30,255}|github_pat_[A-Za-z0-9_]{40,255})"),
    ("gitlab_token", ("glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glsoat-", "glft-", "gloas-"), 25,
     r"gl(?:pat|dt|rt|cbt|ptt|soat|ft|oas)-[A-Za-z0-9_-]{20,64}"),
    ("slack_token", ("xox", "xapp-"), 15, r"(?:xox[abeoprs]|xapp)-[A-Za-z0-9-]{10,255}"),
    ("slack_webhook", ("hooks.slack.com",), 50,
     r"hooks\.slack\.com/services/T[A-Z0-9]{6,16}/B[A-Z0-9]{6,16}/[A-Za-z0-9]{16,40}"),
    ("discord_webhook", ("/api/webhooks/",), 80,
     r"discord(?:app)?\.com/api/webhooks/[0-9]{15,22}/[A-Za-z0-9_-]{50,100}"),
    ("telegram_token", (":AA",), 44, r"[0-9]{8,10}:AA[A-Za-z0-9_-]{33}"),
    ("aws_access_key", ("AKIA", "ASIA", "ABIA", "ACCA"), 20, r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}"),
    ("google_api_key", ("AIza",), 39, r"AIza[A-Za-z0-9_-]{35}"),
    ("google_oauth", ("ya29.", "GOCSPX-"), 25, r"(?:ya29\.[A-Za-z0-9_-]{20,1024}|GOCSPX-[A-Za-z0-9_-]{20,40})"),
    ("azure_key", ("AccountKey=", "SharedAccessKey=", "8Q~", "sig="), 31,
     r"(?:(?:AccountKey|SharedAccessKey)=[A-Za-z0-9+/]{40,88}={0,2}|[A-Za-z0-9_~.-]{3}8Q~[A-Za-z0-9_~.-]{31,34}"
     r"|(?<=[?&])sig=[A-Za-z0-9%+/]{40,128}={0,2})"),
    ("hugging_face_token", ("hf_",), 33, r"hf_[A-Za-z0-9]{30,64}"),
    ("npm_token", ("npm_",), 40, r"npm_[A-Za-z0-9]{36}"),
    ("pypi_token", ("pypi-",), 55, r"pypi-[A-Za-z0-9_-]{50,255}"),
    ("rubygems_key", ("rubygems_",), 57, r"rubygems_[0-9a-f]{48}"),
    ("sendgrid_key", ("SG.",), 36, r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}"),
    ("mailgun_key", ("key-",), 36, r"key-[0-9a-f]{32}"),
    ("mailchimp_key", ("-us",), 36, r"[0-9a-f]{32}-us[0-9]{1,2}"),
    ("twilio_key", ("SK",), 34, r"SK[0-9a-f]{32}"),
    ("square_token", ("sq0atp-", "sq0csp-", "EAAA"), 29,
     r"(?:sq0(?:atp|csp)-[A-Za-z0-9_-]{22,43}|EAAA[A-Za-z0-9_-]{60})"),
    ("shopify_token", ("shpat_", "shpca_", "shppa_", "shpss_"), 38, r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),
    ("digitalocean_token", ("dop_v1_", "doo_v1_", "dor_v1_"), 71, r"do[opr]_v1_[0-9a-f]{64}"),
    ("databricks_token", ("dapi",), 36, r"dapi[0-9a-f]{32}(?:-[0-9])?"),
    ("atlassian_token", ("ATATT3", "ATCTT3"), 60, r"AT[AC]TT3[A-Za-z0-9_=+/-]{50,255}"),
    ("vault_token", ("hvs.", "hvb.", "hvr."), 28, r"hv[sbr]\.[A-Za-z0-9_-]{24,255}"),
    ("grafana_token", ("glsa_", "glc_"), 36, r"(?:glsa_[A-Za-z0-9]{32}_[0-9a-f]{8}|glc_[A-Za-z0-9+/=]{32,400})"),
    ("service_token",
     ("lin_api_", "ntn_", "figd_", "NRAK-", "sntrys_", "sntryu_", "pscale_", "PMAK-", "pul-", "sbp_", "gsk_", "pplx-",
      "r8_", "xai-", "tvly-", "dp.pt.", "fo1_", "nvapi-", "AGE-SECRET-KEY-1", "lsv2_"), 23,
     r"(?:(?:lin_api_|ntn_|figd_|sntry[su]_|pscale_(?:tkn|pw|oauth)_|pul-|sbp_|gsk_|pplx-|r8_|xai-|tvly-|dp\.pt\.|fo1_"
     r"|nvapi-|lsv2_(?:pt|sk)_)[A-Za-z0-9_-]{20,255}|(?:NRAK|PMAK)-[A-Za-z0-9-]{20,80}|AGE-SECRET-KEY-1[A-Z0-9]{50,64})"),
    ("json_web_token", ("eyJ",), 30, r"eyJ[A-Za-z0-9_-]{8,4096}\.eyJ[A-Za-z0-9_-]{8,8192}\.[A-Za-z0-9_-]{8,2048}"),
)  # fmt: skip

_BEARER: Final = r"[Bb]earer [A-Za-z0-9._~+/=-]{16,4096}"
_BASIC: Final = r"(?<=uthorization: )[Bb]asic [A-Za-z0-9+/]{8,512}={0,2}"

_PRIVATE_KEY: Final = re.compile(r"-----BEGIN ([A-Z ]{0,32}PRIVATE KEY(?: BLOCK)?)-----")
_URL_PASSWORD: Final = re.compile(
    r"[a-z][a-z0-9+.-]{1,20}://[^\s/:@\"'<>]{0,64}:([^\s/:@\"'<>]{3,128})@(?=[\w\[])", re.ASCII
)

# How names of secrets end, and what must stand before those that name other things too.
_STEMS: Final[tuple[tuple[str, re.Pattern[str] | None], ...]] = (
    ("pass", None), ("pwd", None), ("secret", None), ("credential", None), ("kennwort", None), ("wachtwoord", None),
    ("contrase\u00f1a", None), ("has\u0142o", None),
    ("key", re.compile(r"(?:api|access|secret|private|encryption|signing|auth|master|account)[_ -]?\Z")),
    ("token", re.compile(r"(?:api|access|auth|refresh|session|bearer|bot|secret)[_ -]?\Z")),
)  # fmt: skip
_ASSIGNED: Final = re.compile(
    r"(?:word|wd|phrase|code|wort|e|s)?(?:[_ -]?(?:access)?[_ -]?key)?[\"'`)\]]{0,2} {0,3}"
    r"(?:=>?|:=?| is| lautet| es| est) {0,3}[\"'`]?([^\s\"'`,;<>()\[\]{}]{8,200})",
)
_LOWER: Final = {upper: upper + 32 for upper in range(65, 91)}
_REFERENCE: Final = re.compile(
    r"\A(?:\$|%|<|\{|os\.|process\.|env\.|getenv|config\.|settings\.|https?:|[A-Za-z_.]+\()|\.\.\.|\*\*|xxx",
    re.IGNORECASE,
)
_PLACEHOLDER: Final = re.compile(
    r"your|example|changeme|placeholder|redacted|dummy|insert|replace|todo|sample|1234567", re.IGNORECASE
)
_LEAST_BITS: Final = 2.75
_AWS_SECRET: Final = re.compile(r"(?<![A-Za-z0-9/+=])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])")
_AWS_REACH: Final = 160


def entropy_bits(text: str) -> float:
    """Return the Shannon entropy of the characters of ``text``, in bits a character; 0 for an empty text."""
    size = len(text)
    return -sum(n / size * math.log2(n / size) for n in Counter(text).values())


def find_private_keys(text: str) -> Found:
    """Private keys in PEM, from head to foot, or to the end of the text where the foot is cut off."""
    done = 0
    for match in _PRIVATE_KEY.finditer(text):
        if match.start() >= done:
            foot = f"-----END {match[1]}-----"
            end = text.find(foot, match.end())
            done = len(text) if end < 0 else end + len(foot)
            yield match.start(), done


def find_url_passwords(text: str) -> Found:
    """Passwords within addresses, such as those of databases; not placeholders."""
    for match in _URL_PASSWORD.finditer(text):
        if _REFERENCE.search(match[1]) is None and match[1].lower() not in {"password", "pass", "pwd", "secret"}:
            yield match.span(1)


def find_assigned(text: str) -> Found:
    """Values assigned to a name such as ``password`` or ``api_key`` that look made up rather than written."""
    # Of the same length as the text, whatever it holds.
    low = text.lower() if text.isascii() else text.translate(_LOWER)
    found: set[tuple[int, int]] = set()
    for stem, before in _STEMS:
        place = low.find(stem)
        while place >= 0:
            behind = place + len(stem)
            following = behind
            match = _ASSIGNED.match(low, behind)
            if match is not None and (before is None or before.search(low, max(0, place - 12), place)):
                start, following = match.span(1)
                value = text[start:following].rstrip(".:!?")
                if looks_secret(value):
                    found.add((start, start + len(value)))
            place = low.find(stem, following)
    done = 0
    for start, end in sorted(found):
        if start >= done:
            yield start, end
            done = end


def looks_secret(value: str) -> bool:
    """Return whether a value beside a telling name is a secret rather than a word, a placeholder or a reference."""
    if len(value) < 8 or _REFERENCE.search(value) or _PLACEHOLDER.search(value):
        return False
    digits = any(one.isdigit() for one in value)
    letters = any(one.isalpha() for one in value)
    others = any(not one.isalnum() and one not in "-_.@/" for one in value)
    mixed = (digits and letters) or (letters and others and len(set(value)) > 6)
    return mixed and entropy_bits(value) >= _LEAST_BITS


def find_aws_secrets(text: str) -> Found:
    """The secret that belongs to an AWS access key close before it: 40 characters of Base64 with high entropy."""
    for key in re.finditer(r"(?:AKIA|ASIA)[A-Z0-9]{16}", text):
        reach = text[key.end() : key.end() + _AWS_REACH]
        match = _AWS_SECRET.search(reach)
        # The text may go on behind what is in reach.
        if match is not None and match.end() < _AWS_REACH and entropy_bits(match[0]) >= 4.0:
            yield key.end() + match.start(), key.end() + match.end()


def _find_marked(pattern: re.Pattern[str], *, mixed: bool) -> Callable[[str], Found]:
    def find(text: str) -> Found:
        for match in pattern.finditer(text):
            if not mixed or (any(one.isdigit() for one in match[0]) and len(set(match[0])) > 8):
                yield match.span()

    return find


def _hint(name: str, beginnings: Sequence[str]) -> str:
    return _HINTS.get(name) or f"(?:{'|'.join(map(re.escape, beginnings))})[A-Za-z0-9_.=+/~%-]{{8}}"


# Of those whose beginning stands in ordinary words.
_HINTS: Final = MappingProxyType(
    {"mailgun_key": "key-[0-9a-f]{8}", "mailchimp_key": "[0-9a-f]{8}-us[0-9]", "twilio_key": "SK[0-9a-f]{8}"}
)
_STEM_HINT: Final = "|".join("".join(one if one.isascii() else ".." for one in stem) for stem, _ in _STEMS)
_ASSIGNED_HINT: Final = (
    rf"(?i:(?:{_STEM_HINT})(?:word|wd|phrase|code|wort|e|s)?(?:[_ -]?(?:access)?[_ -]?key)?"
    r"[\"'`)\]\\]{0,4} {0,3}(?:=|:| is| lautet| es| est))"
)
_URL_PASSWORD_HINT: Final = r"[a-z0-9+.-]://[^\s/:@\"'<>]*:[^\s/:@\"'<>]+@"
# Where the rest of a prefix is words in a style sheet ("sk-folding-cube-container"), a digit must say that it is a key.
_MIXED: Final = frozenset({"openai_key", "service_token", "slack_token"})

SECRETS: Final = (
    Recogniser("private_key", SECRET, 26, "-----BEGIN [A-Z ]*PRIVATE KEY", find_private_keys),
    *(
        Recogniser(
            name,
            SECRET,
            shortest,
            _hint(name, hints),
            _find_marked(re.compile(rf"{_BEFORE}(?:{pattern}){_AFTER}"), mixed=name in _MIXED),
        )
        for name, hints, shortest, pattern in _MARKED
    ),
    Recogniser(
        "bearer_token",
        SECRET,
        23,
        r"earer [A-Za-z0-9._~+/=-]{8}",
        _find_marked(re.compile(rf"{_BEFORE}{_BEARER}{_AFTER}"), mixed=True),
    ),
    Recogniser(
        "basic_credentials",
        SECRET,
        14,
        r"asic [A-Za-z0-9+/]{8}",
        _find_marked(re.compile(f"{_BASIC}{_AFTER}"), mixed=False),
    ),
    Recogniser("aws_secret_key", SECRET, 40, "(?:AKIA|ASIA)[A-Z0-9]{8}", find_aws_secrets),
    Recogniser("url_password", SECRET, 3, _URL_PASSWORD_HINT, find_url_passwords),
    Recogniser("assigned_secret", SECRET, 8, _ASSIGNED_HINT, find_assigned),
)
