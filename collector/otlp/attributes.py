"""Attributes off the wire: the bytes of one ``KeyValue`` to a name and a plain value.

Short attributes that come again and again are remembered whole. Other texts, which most attributes are, are
recognised by comparing a few bytes with the only layout exporters write, and sliced out. Everything else goes through
the generated ``KeyValue`` class. All ways agree on every input.
"""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from collector.otlp.builder import RequestBuilder
from collector.otlp.spans import Attributes, Value
from collector.otlp.value_limits import Refused
from collector.otlp.values import read_value

_REMEMBERED_BYTES = 48
# A key of one letter and an empty text.
_LEAST = 6
_MAX_REMEMBERED = 8_192
_KEY_TAG, _VALUE_TAG, _STRING_TAG = 0x0A, 0x12, 0x0A
_SHORT = 124
# What stands between a name and a text of n bytes: the value's tag and length, the string's tag and length.
_HEADS = tuple(bytes([_VALUE_TAG, n + 2, _STRING_TAG, n]) for n in range(_SHORT))

Pair = tuple[str, Value]


class AttributeReader:
    """Reads attributes under the limits of a :class:`RequestBuilder`. Thread-safe.

    It remembers 8,192 names and as many short attributes. When either is full it is let go as a whole: a client that
    never repeats itself costs time, not memory.
    """

    def __init__(self) -> None:
        self._pairs: dict[bytes, Pair] = {}
        self._keys: dict[bytes, str] = {}

    def read(self, builder: RequestBuilder, encoded: Sequence[bytes]) -> Attributes:
        """Return the attributes of a span or an event; of a name that comes twice, the later value.

        Raises ``Refused`` when there are too many, or one is over a limit or no ``KeyValue``.
        """
        builder.check_count(len(encoded), "too_many_attributes")
        pairs, name_of = self._pairs, self._keys.get
        attributes: Attributes = {}
        # Written out in place: calls would be a third of the time.
        for one in encoded:
            pair = pairs.get(one)
            if pair is None:
                size = len(one)
                if size > _LEAST:
                    end = one[1] + 2
                    key = name_of(one[:end])
                    length = size - end - 4
                    if key is not None and 0 <= length < _SHORT and one[end : end + 4] == _HEADS[length]:
                        try:
                            value = attributes[key] = str(one[end + 4 :], "utf-8")
                        except UnicodeDecodeError as error:
                            raise Refused("malformed") from error
                        if size <= _REMEMBERED_BYTES:
                            self._remember(one, (key, value))
                        continue
                pair = self._read_pair(builder, one)
            attributes[pair[0]] = pair[1]
        return attributes

    def read_resource(self, builder: RequestBuilder, encoded: Sequence[bytes]) -> Attributes:
        """Return what can be read of a resource: a value over a limit is left out, its spans are not at fault."""
        resource: Attributes = {}
        for one in encoded[: builder.max_attributes]:
            try:
                key, value = self._read_pair(builder, one)
            except Refused:
                continue
            resource[key] = value
        return resource

    def _read_pair(self, builder: RequestBuilder, encoded: bytes) -> Pair:
        text = _find_text(encoded, len(encoded))
        if text is None:
            pair = read_pair(builder, encoded)
            # What is remembered is shared between spans, so it must not be something that can change.
            if len(encoded) <= _REMEMBERED_BYTES and not isinstance(pair[1], list | dict):
                self._remember(encoded, pair)
            return pair
        end, start = text
        builder.check_size(len(encoded) - start)
        name = encoded[:end]
        try:
            key = self._keys.get(name)
            if key is None:
                if len(self._keys) >= _MAX_REMEMBERED:
                    self._keys.clear()
                key = self._keys[name] = str(name[2:], "utf-8")
            return key, str(encoded[start:], "utf-8")
        except UnicodeDecodeError as error:
            raise Refused("malformed") from error

    def _remember(self, encoded: bytes, pair: Pair) -> None:
        if len(self._pairs) >= _MAX_REMEMBERED:
            self._pairs.clear()
        self._pairs[encoded] = pair


def _find_text(encoded: bytes, size: int) -> tuple[int, int] | None:
    """Return the end of the name and the start of the text, where ``encoded`` holds these two and no more.

    Only the layout every exporter writes is recognised: a name of at most 127 bytes, then a value that holds one
    string. ``None`` for any other, which is not for this function to judge.
    """
    if size < 4 or encoded[0] != _KEY_TAG or encoded[1] > 0x7F:
        return None
    end = 2 + encoded[1]
    if end + 2 > size or encoded[end] != _VALUE_TAG:
        return None
    value = _find_payload(encoded, end + 1, size)
    if value is None or value >= size or encoded[value] != _STRING_TAG:
        return None
    start = _find_payload(encoded, value + 1, size)
    return None if start is None else (end, start)


def _find_payload(encoded: bytes, at: int, size: int) -> int | None:
    """Return where the payload behind the length at ``at`` starts, if it reaches exactly to the end."""
    length = shift = 0
    while at < size and shift < 35:
        byte = encoded[at]
        at += 1
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            return at if at + length == size else None
        shift += 7
    return None


def read_pair(builder: RequestBuilder, encoded: bytes) -> Pair:
    """Return the name and the value of any encoded ``KeyValue``; raises ``Refused`` for one that is none."""
    # A value within the limit and its key, with room for lengths; nothing larger is worth parsing.
    if len(encoded) > 2 * builder.max_attribute_bytes + 1024:
        raise Refused("attribute_too_long")
    try:
        pair = KeyValue.FromString(encoded)
    except DecodeError as error:
        # upb says no more; nesting beyond 100 messages (some 30 lists) is one of the causes.
        raise Refused("malformed") from error
    return pair.key, read_value(builder, pair.value, 1)
