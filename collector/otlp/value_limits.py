"""The limits on attribute values, the same for spans, log records and data points."""

from __future__ import annotations

from custodes.kernel.settings import IngestSettings


class Refused(Exception):
    """A span, log record or data point that breaks a rule; never leaves ``collector.otlp``.

    ``reason`` is ``malformed`` where the kind of what was refused belongs into the name of the reason.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ValueLimits:
    """Checks values against ``settings``; whatever is over a limit raises :class:`Refused`."""

    def __init__(self, settings: IngestSettings) -> None:
        self.max_depth = settings.max_depth
        self.max_attributes = settings.max_attributes
        self.max_attribute_bytes = settings.max_attribute_bytes
        self._nested_bytes = 0

    def check_text(self, text: str) -> str:
        """Return ``text`` unless its UTF-8 form is longer than an attribute value may be."""
        limit = self.max_attribute_bytes
        # A character takes at most four bytes, so most texts need no encoding to be measured.
        if len(text) * 4 > limit and len(text.encode()) > limit:
            raise Refused("attribute_too_long")
        return text

    def check_size(self, size: int) -> None:
        """Refuse an attribute value of more bytes than one may have."""
        if size > self.max_attribute_bytes:
            raise Refused("attribute_too_long")

    def check_bytes(self, content: bytes) -> bytes:
        """Return ``content`` unless it is longer than an attribute value may be."""
        self.check_size(len(content))
        return content

    def check_count(self, count: int, reason: str) -> None:
        """Refuse, for ``reason``, more attributes or events than one may have."""
        if count > self.max_attributes:
            raise Refused(reason)

    def check_attributes(self, count: int) -> None:
        """Refuse more attributes than one may have."""
        self.check_count(count, "too_many_attributes")

    def open_nested(self, depth: int, count: int) -> None:
        """Note a list of ``count`` values inside an attribute value, ``depth`` levels below what carries it.

        An attribute's nested values count together towards the length of one value: two bytes each, as
        the least they take on the wire, and what :meth:`add_nested` adds.
        """
        if depth >= self.max_depth:
            raise Refused("too_deep")
        if depth == 1:
            self._nested_bytes = 0
        self.add_nested(2 * count)

    def add_nested(self, size: int) -> None:
        """Count ``size`` further bytes of the attribute that is being read."""
        self._nested_bytes += size
        self.check_size(self._nested_bytes)
