from __future__ import annotations

import json
from pathlib import Path

import pytest

from detectors.errors import ModelFileError
from detectors.full.description import (
    ClaimDescription,
    EncoderDescription,
    GroundingDescription,
    Scripts,
    ToxicityDescription,
    read_description,
    reads_script,
)


def describe(folder: Path, value: object) -> None:
    (folder / "custodes.json").write_text(json.dumps(value))


class TestReadDescription:
    def test_there_may_be_none(self, tmp_path: Path) -> None:
        assert read_description(tmp_path) is None

    def test_it_fills_in_what_is_not_said(self, tmp_path: Path) -> None:
        describe(tmp_path, {"role": "grounding", "input": "triple"})
        assert read_description(tmp_path) == GroundingDescription("triple", 4096, 1, "latin")

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ({"role": "toxicity", "scripts": "any"}, ToxicityDescription("any")),
            (
                {"role": "claims", "input": "pair", "supported_label": 2, "chunk_tokens": 99, "window_tokens": 128},
                ClaimDescription("pair", 128, 99, 2),
            ),
            ({"role": "encoder"}, EncoderDescription()),
        ],
    )
    def test_it_reads_every_role(self, tmp_path: Path, value: object, expected: object) -> None:
        describe(tmp_path, value)
        assert read_description(tmp_path) == expected

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ([], 'needs a "role", one of toxicity, grounding, claims, encoder'),
            ({"input": "triple"}, 'needs a "role"'),
            ({"role": "grounding"}, "lacks the field 'input'"),
            ({"role": "grounding", "input": "qa"}, "field 'input': must be one of passages, request, triple, got 'qa'"),
            ({"role": "claims", "input": "pair", "window": 3}, "has a field 'window'; known are role, input"),
            (
                {"role": "claims", "input": "pair", "window_tokens": "9"},
                "field 'window_tokens': must be a whole number",
            ),
            ({"role": "claims", "input": "pair", "window_tokens": True}, "field 'window_tokens': must be a whole"),
        ],
    )
    def test_it_says_what_is_wrong(self, tmp_path: Path, value: object, message: str) -> None:
        describe(tmp_path, value)
        with pytest.raises(ModelFileError, match=r"custodes\.json") as caught:
            read_description(tmp_path)
        assert message in str(caught.value)

    def test_it_refuses_what_is_no_json(self, tmp_path: Path) -> None:
        (tmp_path / "custodes.json").write_text("{role")
        with pytest.raises(ModelFileError, match="cannot be read as JSON"):
            read_description(tmp_path)


class TestReadsScript:
    @pytest.mark.parametrize(
        ("text", "latin", "latin_cyrillic"),
        [
            ("Your parcel is late.", True, True),
            ("Ваша посылка опаздывает.", False, True),
            ("你的包裹晚了。", False, False),
            ("Grüße aus Łódź", True, True),
            ("\U0001f600 123", True, True),
            ("parcel 包裹", True, True),
        ],
    )
    def test_half_of_the_letters_decide(self, text: str, latin: bool, latin_cyrillic: bool) -> None:
        found: dict[Scripts, bool] = {"latin": latin, "latin_cyrillic": latin_cyrillic, "any": True}
        assert {scripts: reads_script(text, scripts) for scripts in found} == found
