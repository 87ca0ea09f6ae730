from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.errors import ExchangeLineError
from detectors.model import DetectorIdentity, Exchange, ExchangeScores, Span, assessed, not_assessed
from detectors.offline import parse_line, render, score_lines

TOXICITY = DetectorIdentity("toxicity/test", "1.0.0", "sha256:" + "a" * 64)
SUPPORT = DetectorIdentity("hallucination/test", "2.0.0", "sha256:" + "b" * 64)


class CountingScorer:
    """Answers with the number of exchanges in the call, so that batches can be seen."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def score(self, exchanges: Sequence[Exchange]) -> list[ExchangeScores]:
        self.calls.append(len(exchanges))
        return [ExchangeScores(e.id, (assessed("toxicity", 0.5, TOXICITY),), ()) for e in exchanges]


class TestParseLine:
    def test_reads_all_fields(self) -> None:
        line = b'{"id": "a", "prompt": "p", "response": "r", "contexts": ["c", "d"], "samples": ["s"], "model": "m"}'
        assert parse_line(line, 1) == Exchange("a", "p", "r", ("c", "d"), None, ("s",))

    @pytest.mark.parametrize("line", ['{"id": "a"}', '{"id": "a", "prompt": null, "response": null, "contexts": null}'])
    def test_takes_absent_and_null_as_no_text(self, line: str) -> None:
        assert parse_line(line, 1) == Exchange("a", None, None)

    def test_takes_a_byte_order_mark(self) -> None:
        assert parse_line(b'\xef\xbb\xbf{"id": "a"}', 1).id == "a"

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            (b"\xff{}", "line 7: not UTF-8 (byte 0 of the line); save the file as UTF-8"),
            ('{"id": "a"', "line 7: not JSON: Expecting ',' delimiter at column 11; each line is one object"),
            ("[" * 100_000, "line 7: JSON nested too deeply or with a number too long; simplify the line"),
            ("1" * 5_000, "line 7: JSON nested too deeply or with a number too long; simplify the line"),
            ("[]", "line 7: must be an object with an 'id', got an array"),
            ("null", "line 7: must be an object with an 'id', got null"),
            ("{}", "line 7, field 'id': is missing; every exchange needs one"),
            ('{"id": ""}', "line 7, field 'id': must be a non-empty string, got an empty string"),
            ('{"id": 4}', "line 7, field 'id': must be a non-empty string, got a number"),
            ('{"id": "\\ud800"}', "line 7, field 'id': holds half a surrogate pair and could not be written out"),
            ('{"id": "a", "prompt": true}', "line 7, field 'prompt': must be a string or null, got a boolean"),
            ('{"id": "a", "response": {}}', "line 7, field 'response': must be a string or null, got an object"),
            ('{"id": "a", "contexts": "c"}', "line 7, field 'contexts': must be an array of strings, got a string"),
            ('{"id": "a", "samples": [null]}', "line 7, field 'samples[0]': must be a string, got null"),
            ('{"id": "a", "contexts": ["c", 1.5]}', "line 7, field 'contexts[1]': must be a string, got a number"),
        ],
    )
    def test_says_what_is_wrong_and_where(self, line: bytes | str, message: str) -> None:
        with pytest.raises(ExchangeLineError) as caught:
            parse_line(line, 7)
        assert str(caught.value) == message
        assert caught.value.line_no == 7

    def test_never_quotes_the_text(self) -> None:
        with pytest.raises(ExchangeLineError) as caught:
            parse_line('{"id": "a", "prompt": ["my secret"]}', 1)
        assert "secret" not in str(caught.value)

    @given(st.one_of(st.binary(max_size=60), st.text(max_size=60)))
    def test_lets_only_its_own_error_escape(self, line: bytes | str) -> None:
        with contextlib.suppress(ExchangeLineError):
            assert parse_line(line, 1).id

    @given(
        st.text(st.characters(codec="utf-8"), min_size=1),
        st.none() | st.text(),
        st.none() | st.text(),
        st.lists(st.text()),
    )
    def test_reads_back_what_json_wrote(
        self, identifier: str, prompt: str | None, response: str | None, contexts: list[str]
    ) -> None:
        line = json.dumps({"id": identifier, "prompt": prompt, "response": response, "contexts": contexts})
        assert parse_line(line, 1) == Exchange(identifier, prompt, response, tuple(contexts))


class TestRender:
    def test_gives_the_documented_object(self) -> None:
        scores = ExchangeScores(
            "a",
            (
                assessed("hallucination", 0.83, SUPPORT, spans=(Span(17, 42, 0.91),)),
                assessed("toxicity", 0.02, TOXICITY, labels={"identity_attack": 0.01}),
                not_assessed("prompt_toxicity", "no_prompt_text", TOXICITY),
            ),
            (),
        )
        assert render(scores) == {
            "id": "a",
            "scores": {
                "hallucination": {
                    "value": 0.83,
                    "state": "assessed",
                    "spans": [{"start": 17, "end": 42, "value": 0.91}],
                },
                "toxicity": {"value": 0.02, "state": "assessed", "labels": {"identity_attack": 0.01}},
                "prompt_toxicity": {"value": None, "state": "not_assessed", "reason": "no_prompt_text"},
            },
            "detectors": [
                {"name": "hallucination/test", "version": "2.0.0", "digest": "sha256:" + "b" * 64},
                {"name": "toxicity/test", "version": "1.0.0", "digest": "sha256:" + "a" * 64},
            ],
        }

    def test_gives_any_metric_s_spans_if_it_has_some(self) -> None:
        maker = DetectorIdentity("inconsistency/test", "1.0.0", "sha256:" + "c" * 64)
        scores = (assessed("inconsistency", 0.5, maker, spans=(Span(0, 2, 0.75),)), assessed("other", 0.5, maker))
        rendered = render(ExchangeScores("a", scores, ()))["scores"]
        assert rendered["inconsistency"]["spans"] == [{"start": 0, "end": 2, "value": 0.75}]
        assert "spans" not in rendered["other"]

    def test_gives_an_assessed_hallucination_an_empty_list_of_spans(self) -> None:
        scores = ExchangeScores("a", (assessed("hallucination", 0.1, SUPPORT),), ())
        assert render(scores)["scores"]["hallucination"]["spans"] == []


class TestScoreLines:
    def test_answers_good_and_bad_lines_in_their_places(self) -> None:
        lines = [b'{"id": "a"}\n', b"oops\n", b"\n", b'{"id": "b"}']
        answers = list(score_lines(lines, CountingScorer()))
        assert [a.line_no if isinstance(a, ExchangeLineError) else a["id"] for a in answers] == ["a", 2, "b"]

    def test_counts_blank_lines_in_line_numbers(self) -> None:
        answers = list(score_lines(["\n", "  \n", "[]\n"], CountingScorer()))
        assert [str(answer) for answer in answers] == ["line 3: must be an object with an 'id', got an array"]

    def test_streams_in_batches(self) -> None:
        scorer = CountingScorer()
        taken: list[int] = []

        def lines() -> Iterator[str]:
            for number in range(7):
                taken.append(number)
                yield f'{{"id": "{number}"}}'

        answers = score_lines(lines(), scorer, batch=3)
        next(answers)
        assert taken == [0, 1, 2]
        assert len(list(answers)) == 6
        assert scorer.calls == [3, 3, 1]

    @pytest.mark.parametrize("lines", [[], ["\n", "\n"]])
    def test_answers_an_empty_file_with_nothing(self, lines: Iterable[str]) -> None:
        answers: list[dict[str, Any] | ExchangeLineError] = list(score_lines(lines, CountingScorer()))
        assert answers == []
