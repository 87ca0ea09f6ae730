"""Standard Webhooks 1.0.0 signatures: ``v1`` (HMAC-SHA256) and ``v1a`` (Ed25519).

What is signed is ``<webhook-id>.<webhook-timestamp>.<body>``. An endpoint may hold several keys, separated by
spaces, and then gets several signatures, which is how a key is replaced without a gap. Key forms:
``whsec_`` + base64 of 24 to 64 bytes (HMAC), ``whsk_`` + base64 of a 32-byte Ed25519 seed, and for receivers
``whpk_`` + base64 of the 32-byte public key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from policies.errors import EndpointError

TOLERANCE_S = 300
_HMAC_BYTES = range(24, 65)
_SEED_BYTES = 32


@dataclass(frozen=True, slots=True)
class HmacKey:
    """A shared ``whsec_`` secret."""

    secret: bytes = field(repr=False)

    def sign(self, content: bytes) -> str:
        """Return ``v1,<base64>``."""
        return "v1," + base64.b64encode(hmac.new(self.secret, content, hashlib.sha256).digest()).decode()

    def verify(self, content: bytes, signature: str) -> bool:
        """Return whether ``signature`` is the one this key gives, compared in constant time."""
        return hmac.compare_digest(self.sign(content).encode(), signature.encode())


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """An Ed25519 ``whsk_`` key."""

    seed: bytes = field(repr=False)

    def sign(self, content: bytes) -> str:
        """Return ``v1a,<base64>``."""
        return "v1a," + base64.b64encode(Ed25519PrivateKey.from_private_bytes(self.seed).sign(content)).decode()

    def public_text(self) -> str:
        """Return the ``whpk_`` text a receiver verifies with."""
        public = Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw()
        return "whpk_" + base64.b64encode(public).decode()


@dataclass(frozen=True, slots=True)
class PublicKey:
    """An Ed25519 ``whpk_`` key."""

    raw: bytes

    def verify(self, content: bytes, signature: str) -> bool:
        """Return whether ``signature`` was made by the private half."""
        version, _, encoded = signature.partition(",")
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(base64.b64decode(encoded, validate=True), content)
        except (InvalidSignature, ValueError):
            return False
        return version == "v1a"


def generate_secret() -> str:
    """Return a fresh ``whsec_`` secret of 32 random bytes."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def generate_private_key() -> str:
    """Return a fresh ``whsk_`` Ed25519 key."""
    return "whsk_" + base64.b64encode(secrets.token_bytes(_SEED_BYTES)).decode()


def parse_secrets(text: str) -> tuple[HmacKey | PrivateKey, ...]:
    """Return the signing keys in ``text``, at least one; raise ``EndpointError`` (never showing them) otherwise."""
    keys = tuple(_parse_secret(part) for part in text.split())
    if not keys:
        raise EndpointError("an endpoint needs a signing secret: whsec_… or whsk_…")
    return keys


def parse_verifier(text: str) -> HmacKey | PublicKey:
    """Return the receiver's key: ``whsec_…`` or ``whpk_…``; raise ``EndpointError`` otherwise."""
    if text.startswith("whpk_"):
        raw = _decode(text.removeprefix("whpk_"))
        if len(raw) != _SEED_BYTES:
            raise EndpointError(f"a whpk_ key has {_SEED_BYTES} bytes, not {len(raw)}")
        return PublicKey(raw)
    key = _parse_secret(text)
    if isinstance(key, PrivateKey):
        raise EndpointError("a whsk_ key signs; receivers verify with whsec_ or whpk_")
    return key


def sign_headers(secret: str, message_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """Return the three Standard Webhooks headers for one attempt."""
    content = _signed_content(message_id, str(timestamp_s), body)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": " ".join(key.sign(content) for key in parse_secrets(secret)),
    }


def verify_headers(verifiers: Sequence[str], headers: Mapping[str, str], body: bytes, now_s: int) -> bool:
    """Return whether any of the receiver's keys made any signature in ``headers``, at most 5 minutes from ``now_s``.

    Header names are matched without regard to case. Missing or malformed headers give False. Raises
    ``EndpointError`` for an unusable key, because that is the receiver's own mistake.
    """
    lowered = {name.lower(): value for name, value in headers.items()}
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    message_id, timestamp, signatures = (lowered.get(name, "") for name in names)
    keys = [parse_verifier(text) for text in verifiers]
    if not message_id or not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 16):
        return False
    if abs(now_s - int(timestamp)) > TOLERANCE_S:
        return False
    content = _signed_content(message_id, timestamp, body)
    return any(key.verify(content, signature) for signature in signatures.split() for key in keys)


def _signed_content(message_id: str, timestamp: str, body: bytes) -> bytes:
    if not message_id or "." in message_id:
        raise EndpointError("a webhook id is not empty and holds no dot, or the signed content would be ambiguous")
    return f"{message_id}.{timestamp}.".encode() + body


def _parse_secret(text: str) -> HmacKey | PrivateKey:
    if text.startswith("whsk_"):
        seed = _decode(text.removeprefix("whsk_"))
        # Some tools store the public half behind the seed.
        if len(seed) not in (_SEED_BYTES, 2 * _SEED_BYTES):
            raise EndpointError(f"a whsk_ key has {_SEED_BYTES} bytes, not {len(seed)}")
        return PrivateKey(seed[:_SEED_BYTES])
    if not text.startswith("whsec_"):
        raise EndpointError("a signing secret starts with whsec_ or whsk_")
    secret = _decode(text.removeprefix("whsec_"))
    if len(secret) not in _HMAC_BYTES:
        raise EndpointError(f"a whsec_ secret has 24 to 64 bytes, not {len(secret)}")
    return HmacKey(secret)


def _decode(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise EndpointError("a webhook key is base64 after its prefix; this one is not") from error
