"""From a request's headers to a principal, or to one clear ``AuthenticationError``.

A key may come as ``Authorization: Bearer``, as ``x-api-key`` or as the password of ``Authorization: Basic`` (what
Langfuse SDKs send). A key that was given and is wrong is refused in every mode; only the complete absence of
credentials can make a caller of ``--dev``.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import time
from collections.abc import Callable, Mapping
from urllib.parse import unquote, urlsplit

from collector.auth.keys import hash_key, parse_key
from collector.auth.principal import DEV_PRINCIPAL, Principal
from collector.auth.remembered import RememberedKey, RememberedKeys
from collector.auth.store import USE_INTERVAL_NS, KeyRecord, find_key, touch_key
from custodes.db import Database
from custodes.kernel.clock import SECOND_NS, Clock, ns_to_rfc3339
from custodes.kernel.errors import AuthenticationError, DatabaseError
from custodes.kernel.logs import fields, get_logger

REMEMBER_NS = 2 * SECOND_NS
"""How long a key that proved good is trusted without asking the database again."""

_PROXY_HEADERS = ("x-forwarded-for", "forwarded", "x-real-ip")
_log = get_logger("auth")


class Authenticator:
    """Checks credentials against the stored keys. Thread-safe.

    A key that proved good is remembered for :data:`REMEMBER_NS`, so that a busy sender costs no database read per
    request. A key that was revoked or rotated by this process is refused at its next request, because whoever
    changes a key calls :meth:`forget`; one that another process changed is refused at most :data:`REMEMBER_NS`
    later. ``timer`` gives monotonic nanoseconds, so that setting the wall clock back prolongs nothing.
    """

    def __init__(self, db: Database, clock: Clock, *, dev: bool, timer: Callable[[], int] = time.monotonic_ns) -> None:
        self._db = db
        self._clock = clock
        self._dev = dev
        self._timer = timer
        self._remembered = RememberedKeys()

    def authenticate(self, headers: Mapping[str, str], client_host: str | None) -> Principal:
        """Return the caller of a request with these lower-case headers; raise ``AuthenticationError`` otherwise.

        Reads the database unless the key was seen good just now.
        """
        text = read_key_text(headers)
        if text is None:
            if self._dev and is_direct_loopback(headers, client_host):
                return DEV_PRINCIPAL
            raise AuthenticationError(
                "no key was sent; send one as Authorization: Bearer KEY, as x-api-key, or as the Basic password"
            )
        return self._recall_text(text) or self._check_key(text)

    def recall(self, headers: Mapping[str, str]) -> Principal | None:
        """Return the caller if its key was seen good just now; ``None`` when only :meth:`authenticate` can tell.

        Never touches the database or blocks, so an event loop may call it. Raises ``AuthenticationError`` for
        headers that cannot hold a key.
        """
        text = read_key_text(headers)
        return None if text is None else self._recall_text(text)

    def forget(self, key_id: str) -> None:
        """Make the next request with this key read the database. Call it after the commit that changed the key."""
        self._remembered.forget(key_id)

    def _recall_text(self, text: str) -> Principal | None:
        # A remembered key is found by the hash of its whole text, so whoever lacks the secret always takes the way
        # through the database, whether the id exists or not, and time tells nothing about ids.
        found = self._remembered.get(hash_key(text)) if text.isascii() else None
        if found is None or self._timer() >= found.until or self._clock() >= found.trusted_until_ns:
            return None
        return found.principal

    def _check_key(self, text: str) -> Principal:
        parsed = parse_key(text)
        now_ns = self._clock()
        ticket = self._remembered.ticket()
        until = self._timer() + REMEMBER_NS
        with self._db.read() as tx:
            record = find_key(tx, parsed.id)
        # The comparison always runs over 32 bytes, whether or not the id exists.
        stored = record.hash if record is not None else bytes(32)
        if not hmac.compare_digest(stored, parsed.hash) or record is None:
            raise AuthenticationError("this key is not known here; it may belong to another server")
        if record.revoked_ns is not None:
            raise AuthenticationError(f"key {record.id} was revoked at {ns_to_rfc3339(record.revoked_ns)}")
        if record.expires_ns is not None and record.expires_ns <= now_ns:
            raise AuthenticationError(f"key {record.id} expired at {ns_to_rfc3339(record.expires_ns)}")
        principal = _record_to_principal(record)
        noted_ns = self._note_use(record, now_ns)
        # Trusted no longer than the key lives, nor than its use need not be noted again.
        trusted_until_ns = noted_ns + USE_INTERVAL_NS
        if record.expires_ns is not None:
            trusted_until_ns = min(trusted_until_ns, record.expires_ns)
        self._remembered.put(parsed.hash, RememberedKey(record.id, principal, until, trusted_until_ns), ticket)
        return principal

    def _note_use(self, record: KeyRecord, now_ns: int) -> int:
        """Write the time of use and return what is on record; a busy database must not turn a good key away."""
        if record.last_used_ns is not None and record.last_used_ns > now_ns - USE_INTERVAL_NS:
            return record.last_used_ns
        try:
            with self._db.write() as tx:
                touch_key(tx, record.id, now_ns)
        except DatabaseError:
            _log.warning("could not note the use of a key", extra=fields(key=record.id))
        return now_ns


def _record_to_principal(record: KeyRecord) -> Principal:
    return Principal(
        actor=f"key:{record.id}",
        project=record.project,
        role=record.role,
        roles=(record.role,),
        max_spans_per_s=record.limits.max_spans_per_s,
        max_concurrent=record.limits.max_concurrent,
    )


def read_key_text(headers: Mapping[str, str]) -> str | None:
    """Return the key's text from the headers, ``None`` when none was sent.

    Raises ``AuthenticationError`` for an ``Authorization`` header that cannot hold a key. Values of
    ``OTEL_EXPORTER_OTLP_HEADERS`` are URL-encoded and some exporters pass them on as they are, so ``Bearer%20KEY`` is
    read too.
    """
    written = headers.get("authorization", "").strip()
    other = headers.get("x-api-key", "").strip() or None
    if not written:
        return other
    scheme, _, rest = unquote(written).partition(" ") if "%20" in written else written.partition(" ")
    if scheme.lower() == "bearer" and rest.strip():
        return rest.strip()
    if scheme.lower() == "basic" and rest.strip():
        return _basic_password(rest.strip())
    if other is not None:
        return other
    raise AuthenticationError("the Authorization header holds no key; write Authorization: Bearer KEY")


def is_direct_loopback(headers: Mapping[str, str], client_host: str | None) -> bool:
    """Return whether a request comes from a program on this machine, not through a proxy and not from a web site.

    A page in the user's browser also connects from loopback, so the names in ``Host`` and ``Origin`` must be
    loopback too; otherwise DNS rebinding would hand any web site the rights of ``--dev``.
    """
    if any(name in headers for name in _PROXY_HEADERS) or not _is_loopback(client_host):
        return False
    names = [_host_name("//" + headers.get("host", "")), _host_name(headers.get("origin", ""))]
    return all(name is None or name == "localhost" or _is_loopback(name) for name in names)


def _host_name(address: str) -> str | None:
    """Return the host of an address; ``None`` only when the address is empty, and an unusable name for nonsense."""
    if address in ("", "//"):
        return None
    try:
        return urlsplit(address).hostname or "?"
    except ValueError:
        return "?"


def _is_loopback(host: str | None) -> bool:
    try:
        return host is not None and ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _basic_password(encoded: str) -> str:
    try:
        _, separator, password = base64.b64decode(encoded, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise AuthenticationError("the Basic credentials are not base64 of user:key") from error
    if not separator or not password:
        raise AuthenticationError("the Basic credentials hold no password; put the key there")
    return password
