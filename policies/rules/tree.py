"""Strict YAML: one plain document with the line of every value, and nothing else YAML can do.

Anchors, aliases, tags, merge keys, duplicate keys, several documents, deep nesting and files over
64 kB are refused, so a small file can never grow into a large value and no two readers disagree
about what it says. Scalars follow the YAML 1.2 core schema: ``on`` and ``yes`` are words, ``1:30``
is text, and NaN and infinities are refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from policies.errors import PolicyError
from policies.rules.finding import Finding

MAX_FILE_BYTES = 64 * 1024
MAX_DEPTH = 16
Path = tuple[str | int, ...]

_INT = re.compile(r"[-+]?[0-9]{1,18}", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_NOT_A_NUMBER = re.compile(r"[-+]?\.(inf|nan)", re.IGNORECASE)
_CONSTANTS: dict[str, bool | None] = {"": None, "~": None, "null": None, "true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Tree:
    """A parsed document: ``root`` in plain Python values, ``lines`` from path to line (from 1)."""

    filename: str
    root: object
    lines: dict[Path, int]

    def line_of(self, path: Path) -> int:
        """Return the line of ``path``, or of its nearest ancestor that the file contains."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def parse_tree(text: str, filename: str) -> Tree:
    """Return the one document in ``text``; raise ``PolicyError`` for anything outside the strict subset."""
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_FILE_BYTES:
        raise _error(filename, 1, (), f"the file has {size} bytes; a policy has at most {MAX_FILE_BYTES}")
    try:
        return _Builder(filename, yaml.parse(text, Loader=yaml.SafeLoader)).build()
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        said = problem.problem or problem.context or "unreadable"
        raise _error(filename, mark.line + 1 if mark else 1, (), f"not valid YAML: {said}") from problem
    except yaml.YAMLError as problem:
        raise _error(filename, 1, (), "not valid YAML: the file holds characters YAML forbids") from problem


@dataclass(slots=True)
class _Builder:
    """Builds plain values from parser events; the depth limit bounds its recursion."""

    filename: str
    events: Iterator[yaml.Event]
    lines: dict[Path, int] = field(default_factory=dict)

    def build(self) -> Tree:
        next(self.events)  # The stream start, which carries nothing.
        event = next(self.events)
        if isinstance(event, yaml.StreamEndEvent):
            raise _error(self.filename, 1, (), "the file is empty")
        root = self._value(next(self.events), ())
        next(self.events)  # The document's end.
        event = next(self.events)
        if not isinstance(event, yaml.StreamEndEvent):
            raise _error(self.filename, _line(event), (), "a second document starts here; write one policy per file")
        return Tree(self.filename, root, self.lines)

    def _value(self, event: yaml.Event, path: Path) -> object:
        line = _line(event)
        self.lines.setdefault(path, line)
        if isinstance(event, yaml.AliasEvent):
            raise _error(self.filename, line, path, "aliases are not allowed; write the value out")
        if not isinstance(event, yaml.NodeEvent):
            raise _error(self.filename, line, path, "not valid YAML: a value is missing")
        if event.anchor is not None:
            raise _error(self.filename, line, path, "anchors are not allowed; write the value out")
        if len(path) >= MAX_DEPTH:
            raise _error(self.filename, line, path, f"nested deeper than {MAX_DEPTH} levels")
        tag = getattr(event, "tag", None)
        if tag is not None and tag != "!":
            raise _error(self.filename, line, path, "tags are not allowed; write a plain value")
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(path)
        return self._mapping(path)

    def _sequence(self, path: Path) -> list[object]:
        values: list[object] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            values.append(self._value(event, (*path, len(values))))
        return values

    def _mapping(self, path: Path) -> dict[str, object]:
        values: dict[str, object] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            line = _line(event)
            if not isinstance(event, yaml.ScalarEvent) or event.anchor is not None or event.tag is not None:
                raise _error(self.filename, line, path, "a key must be a plain word")
            key = event.value
            if key == "<<":
                raise _error(self.filename, line, path, "merge keys are not allowed; write the fields out")
            if key in values:
                raise _error(self.filename, line, (*path, key), "this key stands here twice; keep one")
            self.lines[(*path, key)] = line
            values[key] = self._value(next(self.events), (*path, key))
        return values

    def _scalar(self, event: yaml.ScalarEvent, path: Path) -> object:
        text: str = event.value
        if not event.implicit[0]:
            return text
        if text.lower() in _CONSTANTS:
            return _CONSTANTS[text.lower()]
        if _INT.fullmatch(text):
            return int(text)
        if _NOT_A_NUMBER.fullmatch(text):
            raise _error(self.filename, _line(event), path, f"{text} is not a number a policy can hold")
        if _FLOAT.fullmatch(text):
            number = float(text)
            if not math.isfinite(number):
                raise _error(self.filename, _line(event), path, f"{text} is too large for a number")
            return number
        return text


def _line(event: yaml.Event) -> int:
    mark = event.start_mark
    return 1 if mark is None else int(mark.line) + 1


def path_to_field(path: Path) -> str:
    """Return a path as people write it: ``actions[0].endpoint``."""
    field_name = ""
    for part in path:
        field_name += f"[{part}]" if isinstance(part, int) else f".{part}" if field_name else part
    return field_name


def _error(filename: str, line: int, path: Path, message: str) -> PolicyError:
    return PolicyError((Finding(filename, line, path_to_field(path), message),))
