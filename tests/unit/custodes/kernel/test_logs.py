"""Logs: constant messages, fields beside them, and no value can forge a line."""

from __future__ import annotations

import io
import json
import logging
import math
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from custodes.kernel.logs import configure_logging, fields, get_logger


@pytest.fixture(autouse=True)
def restore_logging() -> Iterator[None]:
    """Put the loggers back as they were."""
    loggers = [logging.getLogger(name) for name in ("custodes", "detectors")]
    before = [(one.handlers[:], one.level, one.propagate) for one in loggers]
    yield
    for one, state in zip(loggers, before, strict=True):
        one.handlers[:], one.level, one.propagate = state


def write_line(message: str, *, json_lines: bool = False, **values: object) -> str:
    stream = io.StringIO()
    configure_logging("INFO", json_lines=json_lines, stream=stream)
    get_logger("part").info(message, extra=fields(**values))
    return stream.getvalue()


class TestTextLines:
    def test_it_puts_time_level_part_message_and_fields_on_one_line(self) -> None:
        line = write_line("stored", spans=3, project="default")
        stamp, rest = line.split(" ", 1)
        assert stamp.endswith("Z")
        assert rest == "info    custodes.part: stored spans=3 project=default\n"

    @given(st.text())
    @example("\x85 next line, \u2028 line separator, \x9b2J control sequence, \x1b[2J escape")
    def test_it_keeps_any_value_on_its_line(self, value: str) -> None:
        line = write_line("stored", value=value)
        assert len(line.splitlines()) == 1
        assert "\x1b" not in line
        assert "\x9b" not in line


class TestJsonLines:
    @given(st.text(), st.one_of(st.integers(), st.booleans(), st.floats(), st.none()))
    def test_it_writes_one_object_a_line_that_any_reader_parses(self, text: str, value: object) -> None:
        line = write_line("stored", json_lines=True, text=text, value=value)

        def refuse(constant: str) -> None:
            raise AssertionError(f"{constant} is not JSON")

        parsed = json.loads(line, parse_constant=refuse)
        assert len(line.splitlines()) == 1
        assert parsed["message"] == "stored"
        assert parsed["part"] == "custodes.part"
        assert parsed["text"] == text

    def test_it_keeps_numbers_as_numbers(self) -> None:
        parsed = json.loads(write_line("stored", json_lines=True, n=3, ratio=0.5, ok=True, odd=math.nan))
        assert (parsed["n"], parsed["ratio"], parsed["ok"], parsed["odd"]) == (3, 0.5, True, "nan")

    def test_it_adds_the_exception(self) -> None:
        stream = io.StringIO()
        configure_logging("INFO", json_lines=True, stream=stream)
        try:
            raise KeyError("gone")
        except KeyError:
            get_logger("part").exception("failed")
        assert "KeyError: 'gone'" in json.loads(stream.getvalue())["exception"]


class TestConfigureLogging:
    def test_it_replaces_what_an_earlier_call_set_up(self) -> None:
        first, second = io.StringIO(), io.StringIO()
        configure_logging("INFO", json_lines=False, stream=first)
        configure_logging("INFO", json_lines=False, stream=second)
        get_logger("part").info("once")
        assert first.getvalue() == ""
        assert second.getvalue().count("once") == 1

    def test_it_leaves_out_what_is_less_severe(self) -> None:
        stream = io.StringIO()
        configure_logging("WARNING", json_lines=False, stream=stream)
        get_logger("part").info("not this")
        get_logger("part").warning("but this")
        assert "not this" not in stream.getvalue()
        assert "but this" in stream.getvalue()


class TestDetectors:
    def test_it_writes_what_detectors_log_with_their_plain_extras(self) -> None:
        stream = io.StringIO()
        configure_logging("WARNING", json_lines=True, stream=stream)
        logging.getLogger("detectors.composition").warning("a detector failed", extra={"detector": "x/y", "n": 3})
        line = json.loads(stream.getvalue())
        assert (line["part"], line["message"]) == ("detectors.composition", "a detector failed")
        assert (line["detector"], line["n"]) == ("x/y", 3)
        assert set(line) == {"time", "level", "part", "message", "detector", "n"}

    def test_it_writes_where_something_failed_in_another_process(self) -> None:
        stream = io.StringIO()
        configure_logging("WARNING", json_lines=False, stream=stream)
        record = logging.makeLogRecord({"name": "detectors.x", "levelno": 40, "levelname": "ERROR", "msg": "failed"})
        record.exc_text = '  File "a.py", line 1, in judge\nKeyError'
        logging.getLogger("detectors.x").handle(record)
        assert stream.getvalue().splitlines()[1:] == ['  File "a.py", line 1, in judge', "KeyError"]
