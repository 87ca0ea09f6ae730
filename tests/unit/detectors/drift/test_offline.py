import json
from pathlib import Path

import numpy as np
import pytest

from detectors.drift.explanation import explain
from detectors.drift.files import read_embedded_file
from detectors.drift.offline import render_episode, run_offline
from detectors.drift.reference import Reference
from detectors.errors import DetectorError, DriftInputError, OtherEncoderError
from tests.unit.detectors.drift.conftest import DIM, ENCODER, usual


def never(texts: list[str]) -> tuple[np.ndarray, str]:
    raise AssertionError(f"{len(texts)} texts were embedded")


class TestRunOffline:
    def test_it_tells_one_episode_with_its_explanation(self, reference: Reference) -> None:
        rng = np.random.default_rng(1)
        rows = usual(rng, 1500)
        new = rng.random(500) < 0.4
        rows[1000:][new] = 8.0 * np.eye(DIM)[4] + rng.normal(size=(int(new.sum()), DIM))
        run = run_offline(reference, rows, encoder=ENCODER, alpha=1e-4, first=50)
        (episode,) = run.episodes
        assert 1050 <= episode.at < 1110
        assert abs(episode.onset - 1050) < 40
        assert episode.repeats > 3
        assert episode.last > 1400
        told = episode.explanation
        assert told.separation > 0.6
        assert 0.25 < told.novel < 0.55
        grown = [one for one in told.clusters if one.since > one.before]
        assert grown
        assert new[np.array(grown[0].examples) - 1050].all()
        assert new[np.array(told.examples) - 1050].all()
        assert json.loads(json.dumps(render_episode(episode)))["explanation"]["map"]["current"]

    def test_it_says_nothing_about_a_quiet_stream(self, reference: Reference) -> None:
        run = run_offline(reference, usual(np.random.default_rng(2), 2000), encoder=ENCODER, alpha=1e-5)
        assert run.episodes == ()
        assert len(run.statistic) == 2000

    def test_it_tells_two_episodes_apart(self, reference: Reference) -> None:
        rows = usual(np.random.default_rng(3), 4000)
        rows[500:600] += 4.0
        rows[3500:3600] -= 4.0
        run = run_offline(reference, rows, encoder=ENCODER, alpha=1e-6)
        assert [(one.at // 100, one.last // 100) for one in run.episodes] == [(5, 5), (35, 35)]

    def test_it_refuses_embeddings_of_another_kind(self, reference: Reference) -> None:
        with pytest.raises(OtherEncoderError):
            run_offline(reference, np.ones((5, DIM + 2)), encoder=ENCODER, alpha=0.01)


class TestExplain:
    def test_it_needs_an_embedding(self, reference: Reference) -> None:
        with pytest.raises(DriftInputError, match="without embeddings"):
            explain(reference, np.zeros((2, DIM)), [0, 1], onset=0)

    def test_it_explains_a_single_exchange(self, reference: Reference) -> None:
        told = explain(reference, np.ones((1, DIM)), [17], onset=17)
        assert (told.onset, told.since, told.separation, told.current_numbers) == (17, 1, 0.5, (17,))

    def test_it_reports_no_cluster_when_nothing_changed(self, reference: Reference) -> None:
        rows = usual(np.random.default_rng(4), 400)
        told = explain(reference, rows, np.arange(400), onset=0)
        assert len(told.clusters) <= 1
        assert abs(told.separation - 0.5) < 0.12


class TestReadEmbeddedFile:
    def test_it_reads_arrays(self, tmp_path: Path) -> None:
        np.save(tmp_path / "rows.npy", np.ones((3, 4), dtype=np.float16))
        assert read_embedded_file(tmp_path / "rows.npy", never).vectors.shape == (3, 4)

    def test_it_reads_embeddings_and_texts_of_lines(self, tmp_path: Path) -> None:
        rows, texts = tmp_path / "rows.jsonl", tmp_path / "texts.jsonl"
        rows.write_text('{"embedding": [1, 2.5]}\n\n{"embedding": [3, 4]}\n')
        texts.write_text('{"text": "a"}\n{"text": ""}\n')
        assert read_embedded_file(rows, never).vectors.tolist() == [[1.0, 2.5], [3.0, 4.0]]
        found = read_embedded_file(texts, lambda given: (np.ones((len(given), 2)), "e"))
        assert (found.texts, found.encoder) == (("a", ""), "e")

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("a.csv", b"1,2", "give a .npy"),
            ("a.npy", b"junk", "not an array"),
            ("a.jsonl", b"", "empty"),
            ("a.jsonl", b"{", "line 1: not JSON"),
            ("a.jsonl", b'{"text": "a"}\n[1]', "line 2: must be an object"),
            ("a.jsonl", b"\xff\xfe", "line 1: not UTF-8"),
            ("a.jsonl", b'{"text": 3}', "field 'text': must be a string"),
            ("a.jsonl", b'{"embedding": ["x"]}', "array of numbers"),
            ("a.jsonl", b'{"embedding": [true]}', "array of numbers"),
            ("a.jsonl", b'{"embedding": [1' + b"0" * 400 + b"]}", "too large"),
            ("a.jsonl", b'{"embedding": [1]}\n{"embedding": [1, 2]}', "different lengths"),
            ("a.jsonl", b'{"embedding": [1]}\n{"text": "a"}', "one kind"),
            ("a.jsonl", b'{"prompt": "a"}', "exactly one"),
            ("a.jsonl", b"[" * 100_000, "not JSON"),
        ],
    )
    def test_it_says_what_is_wrong_and_where(self, tmp_path: Path, name: str, content: bytes, message: str) -> None:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DetectorError, match=message):
            read_embedded_file(tmp_path / name, lambda given: (np.ones((len(given), 2)), "e"))

    @pytest.mark.parametrize("array", [np.ones(3), np.array([["a"]]), np.ones((2, 2), dtype=complex)])
    def test_it_refuses_arrays_that_hold_no_embeddings(self, tmp_path: Path, array: np.ndarray) -> None:
        np.save(tmp_path / "rows.npy", array)
        with pytest.raises(DriftInputError, match="two dimensions"):
            read_embedded_file(tmp_path / "rows.npy", never)
