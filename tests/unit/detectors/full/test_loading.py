from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import transformers

from detectors.bundles import Bundle, import_bundle, read_bundle
from detectors.errors import ModelFileError
from detectors.full.loading import (
    LoadedModel,
    Row,
    Task,
    collate,
    hub_closed,
    load_classifier,
    load_tokenizer,
    longest_row,
    pair_row,
    single_row,
)
from tests.unit.detectors.full.conftest import CLAIMS, DEBERTA, ENCODER, GROUNDING


@pytest.fixture
def spoilt(sources: Path, tmp_path: Path) -> Path:
    """A copy of the grounding model's folder, to be spoilt."""
    folder = tmp_path / GROUNDING
    shutil.copytree(sources / GROUNDING, folder)
    return folder


def load(folder: Path) -> LoadedModel:
    bundle = import_bundle(folder, folder.parent / "models")
    return load_classifier(bundle, "token", device="cpu", precision="float32")


class TestLoading:
    @pytest.mark.usefixtures("no_network")
    def test_it_opens_no_connection(self, models_dir: Path) -> None:
        load_classifier(read_bundle(models_dir, GROUNDING), "token", device="cpu", precision="float32")
        load_classifier(read_bundle(models_dir, CLAIMS), "sequence", device="cpu", precision="float32")
        load_classifier(read_bundle(models_dir, DEBERTA), "sequence", device="cpu", precision="float32")

    def test_it_refuses_weights_without_the_head_that_is_asked_for(self, models_dir: Path) -> None:
        with pytest.raises(ModelFileError, match=r"no fitting weights for classifier\.\w+: it is no sequence"):
            load_classifier(read_bundle(models_dir, ENCODER), "sequence", device="cpu", precision="float32")

    def test_it_refuses_code_that_lies_beside_the_weights(self, spoilt: Path, tmp_path: Path) -> None:
        mark = tmp_path / "was-run"
        config = json.loads((spoilt / "config.json").read_text())
        config.update(
            model_type="homemade", auto_map={"AutoConfig": "own.Config", "AutoModelForTokenClassification": "own.M"}
        )
        (spoilt / "config.json").write_text(json.dumps(config))
        (spoilt / "own.py").write_text(f"import os\nos.mkdir({str(mark)!r})\n")
        with pytest.raises(ModelFileError, match="cannot be loaded"):
            load(spoilt)
        assert not mark.exists()

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("config.json", None, r"config\.json cannot be read as JSON"),
            ("config.json", "[]", "names no model_type"),
            ("model.safetensors", None, "cannot be loaded"),
            ("model.safetensors", "no tensors", "cannot be loaded"),
            ("tokenizer.json", "{", "tokenizer"),
        ],
    )
    def test_it_says_which_file_is_at_fault(self, spoilt: Path, name: str, content: str | None, message: str) -> None:
        (spoilt / name).unlink()
        if content is not None:
            (spoilt / name).write_text(content)
        with pytest.raises(ModelFileError, match=message):
            load(spoilt)

    def test_it_reads_a_pytorch_file_without_running_it(self, sources: Path, tmp_path: Path) -> None:
        folder = tmp_path / CLAIMS
        shutil.copytree(sources / CLAIMS, folder)
        model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True)
        (folder / "model.safetensors").unlink()
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
        bundle = import_bundle(folder, tmp_path / "models")
        loaded = load_classifier(bundle, "sequence", device="cpu", precision="float32")
        (ids,) = loaded.tokenise(["The key is under the mat."])
        row = single_row(ids.ids, loaded.special)
        expected = model(input_ids=torch.tensor([row.ids])).logits
        torch.testing.assert_close(loaded.logits([row]), expected.detach(), atol=1e-5, rtol=0)

    def test_precision_is_that_of_the_weights(self, models_dir: Path) -> None:
        loaded = load_classifier(read_bundle(models_dir, GROUNDING), "token", device="cpu", precision="bfloat16")
        assert {tensor.dtype for tensor in loaded.model.state_dict().values()} == {torch.bfloat16}
        assert loaded.logits([Row((1, 5, 2))]).dtype == torch.float32


class TestHubClosed:
    def test_a_call_to_the_hub_fails_at_once_and_only_inside(self) -> None:
        from huggingface_hub import constants, model_info
        from huggingface_hub.errors import OfflineModeIsEnabled

        before = constants.HF_HUB_OFFLINE
        with hub_closed(), pytest.raises(OfflineModeIsEnabled):
            model_info("bert-base-uncased")
        assert constants.HF_HUB_OFFLINE is before


class TestTokenising:
    @pytest.mark.parametrize("name", [GROUNDING, CLAIMS, DEBERTA, "detoxify-original", "detoxify-multilingual"])
    def test_it_gives_the_tokens_transformers_gives(self, models_dir: Path, name: str) -> None:
        bundle = read_bundle(models_dir, name)
        tokenizer = load_tokenizer(bundle.path)
        task: Task = "token" if name == GROUNDING else "sequence"
        model = transformers.BertConfig() if name.startswith("detoxify") else None
        texts = ["The parcel will arrive!", " Grüße \U0001f600", "", "a\nb\tc  d"]
        if model is None:
            loaded = load_classifier(bundle, task, device="cpu", precision="float32")
        else:
            from detectors.full.catalogue import open_bundles
            from detectors.full.toxicity import load_toxicity

            opened = open_bundles(models_dir, {"toxicity": name})["toxicity"]
            loaded = load_toxicity(opened, device="cpu", precision="float32").loaded
        for text, tokens in zip(texts, loaded.tokenise(texts), strict=True):
            assert single_row(tokens.ids, loaded.special).ids == tuple(tokenizer(text)["input_ids"])
            pair = tokenizer(text, "second")
            second = loaded.tokenise(["second"])[0].ids
            row = pair_row(tokens.ids, second, loaded.special)
            assert row.ids == tuple(pair["input_ids"])
            if loaded.special.takes_types:
                types = collate([row], loaded.special, 512, 4)["token_type_ids"][0, : len(row.ids)]
                assert types.tolist() == pair["token_type_ids"]

    def test_lone_surrogates_keep_the_offsets_right(self, grounding: LoadedModel) -> None:
        text = "a \ud800 b"
        (tokens,) = grounding.tokenise([text])
        assert max(end for _, end in tokens.offsets) == len(text)

    @pytest.mark.parametrize("text", ["</s>", "a</s>b <mask>", "[SEP] [CLS][PAD]", "<s> <pad>"])
    def test_no_text_makes_a_special_token(
        self, grounding: LoadedModel, roberta: LoadedModel, deberta: LoadedModel, text: str
    ) -> None:
        for model in (grounding, roberta, deberta):
            (tokens,) = model.tokenise([text])
            assert not set(tokens.ids) & model.special.reserved


class TestCollate:
    def test_it_pads_to_a_round_width_but_never_beyond_the_model(self, grounding: LoadedModel) -> None:
        rows = [Row((1, 7, 2)), Row((1, *[9] * 17, 2))]
        inputs = collate(rows, grounding.special, 256, 16)
        assert inputs["input_ids"].shape == (2, 32)
        assert inputs["attention_mask"].sum(dim=1).tolist() == [3, 19]
        assert set(inputs["input_ids"][0, 3:].tolist()) == {grounding.special.padding}
        assert collate(rows, grounding.special, 20, 16)["input_ids"].shape == (2, 20)

    def test_it_refuses_what_the_model_cannot_take(self, grounding: LoadedModel) -> None:
        with pytest.raises(ValueError, match="a row of 5 tokens, the model takes 4"):
            collate([Row((1, 2, 3, 4, 5))], grounding.special, 4, 16)

    def test_padding_does_not_change_an_answer(
        self, grounding: LoadedModel, roberta: LoadedModel, deberta: LoadedModel
    ) -> None:
        for model in (grounding, roberta, deberta):
            short, long = (single_row(t.ids, model.special) for t in model.tokenise(["Yes.", "It is " * 12]))
            alone, beside = model.logits([short])[0], model.logits([short, long])[0]
            width = len(short.ids) if alone.ndim == 2 else None
            torch.testing.assert_close(alone[:width], beside[:width], atol=1e-5, rtol=0)


class TestLongestRow:
    def test_it_is_the_lesser_of_what_model_and_tokenizer_take(self, models_dir: Path) -> None:
        def of(bundle: Bundle) -> int:
            config = transformers.AutoConfig.from_pretrained(bundle.path, local_files_only=True)
            return longest_row(config, load_tokenizer(bundle.path))

        assert of(read_bundle(models_dir, CLAIMS)) == 256
        assert of(read_bundle(models_dir, "detoxify-unbiased")) == 64
        assert of(read_bundle(models_dir, DEBERTA)) == 256
        tokenizer = load_tokenizer(read_bundle(models_dir, GROUNDING).path)
        tokenizer.model_max_length = int(1e30)
        assert longest_row(transformers.RobertaConfig(max_position_embeddings=514, pad_token_id=1), tokenizer) == 512
        assert longest_row(transformers.DebertaV2Config(max_position_embeddings=512), tokenizer) == 1 << 20
