from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from detectors.errors import ModelFileError
from detectors.text.encoder import Encoder
from detectors.text.grounding import (
    CARD_FILE,
    COLUMNS,
    WEIGHTS_FILE,
    GroundingHead,
    Pair,
    dequantise,
    load_grounding_head,
    pad_pairs,
    pool_verdict,
    quantise,
)
from detectors.text.hallucination import HEADS_FOLDER


@pytest.fixture(scope="module")
def head(encoder: Encoder) -> GroundingHead:
    return load_grounding_head(encoder, HEADS_FOLDER)


def pair(encoder: Encoder, evidence: str, response: str) -> Pair:
    left, right = encoder.tokenise([evidence, response])
    return Pair(left.ids, right.ids)


class TestReading:
    def test_gives_a_row_for_each_response_token(self, encoder: Encoder, head: GroundingHead) -> None:
        pairs = [pair(encoder, "The shop opens at nine.", "It opens at nine."), pair(encoder, "", "Yes.")]
        assert [answer.shape for answer in head.read(pairs)] == [(len(one.response), COLUMNS) for one in pairs]

    def test_company_and_order_do_not_matter(self, encoder: Encoder, head: GroundingHead) -> None:
        probe = pair(encoder, "The key is under the mat.", "The key is in the car.")
        crowd = [pair(encoder, "Text. " * count, "Answer. " * count) for count in range(1, 30)]
        alone = head.read([probe])[0]
        assert np.allclose(alone, head.read([*crowd, probe])[-1], atol=2e-3)

    def test_takes_no_pairs_and_empty_responses(self, encoder: Encoder, head: GroundingHead) -> None:
        assert head.read([]) == []
        assert head.read([pair(encoder, "Something.", "")])[0].shape == (0, COLUMNS)

    def test_sees_a_turned_negation(self, encoder: Encoder, head: GroundingHead) -> None:
        evidence = "The library is open on Sunday. Members may borrow six books."
        kept, turned = (
            pool_verdict(head.read([pair(encoder, evidence, response)])[0])
            for response in ("The library is open on Sunday.", "The library is not open on Sunday.")
        )
        assert turned > kept + 1.0


class TestPadding:
    def test_puts_the_response_first_and_marks_it(self) -> None:
        ids, mask, of_response = pad_pairs([Pair((7, 8, 9), (5, 6)), Pair((7,), (5,))])
        assert ids[0, :8].tolist() == [101, 5, 6, 102, 7, 8, 9, 102]
        assert mask.sum(1).tolist() == [8, 5]
        assert of_response[0].nonzero().flatten().tolist() == [1, 2]


class TestPooling:
    def test_follows_the_attention(self) -> None:
        outputs = np.array([[0, 10, 3], [0, 0, -3]], np.float32)
        assert pool_verdict(outputs) == pytest.approx(3.0, abs=1e-3)
        assert pool_verdict(np.array([[0, 1, 3], [0, 1, -3]], np.float32)) == pytest.approx(0.0)


class TestQuantising:
    def test_keeps_each_weight_within_half_a_step_and_vectors_exactly(self) -> None:
        generator = torch.Generator().manual_seed(3)
        weights = {"matrix": torch.randn(5, 40, generator=generator), "vector": torch.arange(3.0)}
        back = dequantise(quantise(weights))
        step = weights["matrix"].abs().amax(1, keepdim=True) / 127
        assert ((back["matrix"] - weights["matrix"]).abs() <= 0.5001 * step).all()
        assert torch.equal(back["vector"], weights["vector"])

    def test_takes_a_row_of_zeros(self) -> None:
        assert torch.equal(dequantise(quantise({"m": torch.zeros(2, 3)}))["m"], torch.zeros(2, 3))


class TestLoading:
    def copy(self, folder: Path) -> Path:
        for name in (WEIGHTS_FILE, CARD_FILE):
            shutil.copyfile(HEADS_FOLDER / name, folder / name)
        return folder

    def test_refuses_changed_weights(self, encoder: Encoder, tmp_path: Path) -> None:
        with (self.copy(tmp_path) / WEIGHTS_FILE).open("ab") as file:
            file.write(b"\0")
        with pytest.raises(ModelFileError, match="SHA-256"):
            load_grounding_head(encoder, tmp_path)

    def test_refuses_another_encoder(self, encoder: Encoder, tmp_path: Path) -> None:
        card = json.loads((self.copy(tmp_path) / CARD_FILE).read_text())
        card["model"]["reader"]["encoder"] = "sha256:" + "0" * 64
        (tmp_path / CARD_FILE).write_text(json.dumps(card))
        with pytest.raises(ModelFileError, match="trained on encoder"):
            load_grounding_head(encoder, tmp_path)

    def test_refuses_a_card_without_a_reader(self, encoder: Encoder, tmp_path: Path) -> None:
        (self.copy(tmp_path) / CARD_FILE).write_text('{"model": {}}')
        with pytest.raises(ModelFileError, match="cannot be used"):
            load_grounding_head(encoder, tmp_path)

    def test_names_a_missing_file(self, encoder: Encoder, tmp_path: Path) -> None:
        with pytest.raises(ModelFileError, match="cannot read"):
            load_grounding_head(encoder, tmp_path)
