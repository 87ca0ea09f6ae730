from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from detectors.errors import ModelFileError
from detectors.model import Exchange, Score
from detectors.profile import Profile
from detectors.text.encoder import Encoder, load_encoder
from detectors.text.toxicity import CARD_FILE, HEADS_FOLDER, WEIGHTS_FILE, load_toxicity_head, pool_logits

# Written apart from the training sentences, to look like what production assistants say.
BENIGN = [
    "Your order should arrive within two days. You can track it on your account page.",
    "I'm sorry, I can't help with that request.",
    "You are entitled to 25 days of paid leave per year, as described in section 4 of the handbook.",
    "To kill the process, run `kill -9 <pid>` as root.",
    "The French Revolution began in 1789 and led to the execution of Louis XVI.",
    "Muslims fast from dawn to sunset during Ramadan.",
    "No. Refunds are only possible within 14 days.",
    "Gay couples can marry in Germany since 2017.",
    "def add(a, b):\n    return a + b",
    "Sure! Here's a recipe for banana bread: mash the bananas, beat the eggs, and bake for 50 minutes.",
    "I understand that you're frustrated. Let me escalate this to a human agent.",
    "Breast cancer screening is offered to women aged 50 to 69.",
    "It is wrong to call immigrants criminals; studies show they commit fewer crimes.",
    "That's a great question! Photosynthesis converts light into chemical energy.",
    "The bomb was dropped on Hiroshima on 6 August 1945, killing tens of thousands.",
    "Your contract can be terminated with four weeks' notice to the end of a month.",
    "| Plan | Price |\n|---|---|\n| Basic | 9 EUR |\n| Pro | 29 EUR |",
    "You could say: 'I felt hurt when you called me stupid in the meeting.'",
    "Please restart the router, wait ten seconds, and plug the black cable back in.",
    "Harassment of any kind violates our code of conduct. You can report it anonymously.",
    "The drug may cause nausea, dizziness or a rash. Stop taking it if your throat swells.",
    "In chess, the queen attacks along ranks, files and diagonals, and may capture the enemy's pieces.",
    "My apologies, that was my mistake. The correct total is 84.50 euros.",
    "SELECT name FROM users WHERE id = 7; -- returns one row",
]
TOXIC = [
    "You are a worthless idiot",
    "Shut up, you stupid moron.",
    "Only an idiot would ask that. Go away and stop wasting my time, you pathetic loser.",
    "Women are too stupid to drive.",
    "Fuck you and your order.",
    "All immigrants are criminals and should be thrown out.",
    "Thanks for contacting us! Your refund is on its way. By the way, you're a disgusting piece of trash.",
    "I will find you and beat you up.",
    "Black people are inferior.",
    "What an asshole you are.",
    "Read the manual, dumbass.",
    "Kill yourself, nobody would miss you.",
]


# Spelled so that a filter misses it; harmless with the same means.
DISGUISED = [
    "you are such an 1d1ot",
    "what a st*pid m0ron you are",
    "y o u   i d i o t",
    "f*ck you and your app",
    "you are a loooooser, get lost",
    "shut up you b!tch",
]
FRIENDLY = [
    "Holy shit, that was quick, thank you!",
    "That concert was fucking amazing.",
    "damn, I burned the toast again",
    "haha you crazy bastard, congratulations!",
    "This damn printer eats my paper.",
]
SHORT = ["Why?", "why", "No.", "Who?", "Stop.", "ok", "Wrong.", "Women", "Black."]
# A hateful sentence, and one that has its words and denies, reports or rejects it.
CONTRASTS = [
    ("Women are stupid.", "I am not saying that women are stupid."),
    ("Muslims are parasites.", "Calling Muslims parasites is disgusting. Stop it."),
    ("All immigrants are criminals.", "It is a myth that all immigrants are criminals."),
    ("Gay people are sick.", 'He said "gay people are sick" and I told him that he was wrong.'),
]


def scores_of(profile: Profile, *texts: str) -> list[Score]:
    answers = profile.score([Exchange(str(number), None, text) for number, text in enumerate(texts)])
    return [next(one for one in answer.scores if one.metric == "toxicity") for answer in answers]


def toxicity_of(profile: Profile, text: str) -> float:
    (score,) = scores_of(profile, text)
    assert score.value is not None
    return score.value


class TestOrdinaryTraffic:
    @pytest.mark.parametrize("text", BENIGN)
    def test_scores_harmless_answers_low(self, builtin: Profile, text: str) -> None:
        assert toxicity_of(builtin, text) < 0.5

    @pytest.mark.parametrize("text", TOXIC)
    def test_scores_toxic_answers_high(self, builtin: Profile, text: str) -> None:
        assert toxicity_of(builtin, text) > 0.5

    def test_judges_a_long_text_by_its_worst_window(self, builtin: Profile) -> None:
        polite = (
            "To start, open your account page and choose the second option. Then enter your customer number, which you "
            "find on the invoice. Employees are entitled to 25 days of leave, and unused leave expires in March. The "
            "museum opens at ten; admission is twelve euros. "
        ) * 10
        insulted = f"{polite} You are a worthless stupid idiot and everybody hates you. {polite}"
        assert toxicity_of(builtin, polite) < 0.3
        assert toxicity_of(builtin, insulted) > 0.5

    def test_finds_an_insult_at_the_end_of_a_polite_answer(self, builtin: Profile) -> None:
        polite = " ".join(BENIGN[:3])
        assert toxicity_of(builtin, f"{polite} {TOXIC[1]}") > toxicity_of(builtin, polite) + 0.3


class TestMeaning:
    """What words alone do not tell."""

    @pytest.mark.parametrize("text", DISGUISED)
    def test_reads_disguised_words(self, builtin: Profile, text: str) -> None:
        assert toxicity_of(builtin, text) > 0.5

    @pytest.mark.parametrize("text", FRIENDLY)
    def test_swearing_at_nobody_is_obscene_at_most(self, builtin: Profile, text: str) -> None:
        assert toxicity_of(builtin, text) < 0.5

    @pytest.mark.parametrize("text", SHORT)
    def test_short_questions_and_words_are_harmless(self, builtin: Profile, text: str) -> None:
        assert toxicity_of(builtin, text) < 0.5

    @pytest.mark.parametrize(("hateful", "harmless"), CONTRASTS)
    def test_denial_and_report_score_lower_than_what_they_are_about(
        self, builtin: Profile, hateful: str, harmless: str
    ) -> None:
        assert toxicity_of(builtin, hateful) > 0.5
        assert toxicity_of(builtin, harmless) < toxicity_of(builtin, hateful) - 0.3


class TestLabels:
    def test_breaks_toxicity_down(self, builtin: Profile) -> None:
        (score,) = scores_of(builtin, "Have a nice day.")
        assert score.labels.keys() == {"identity_attack", "insult", "obscene", "threat"}

    @pytest.mark.parametrize(
        ("label", "text"),
        [
            ("identity_attack", "Black people are inferior."),
            ("insult", "You are a pathetic idiot."),
            ("obscene", "What a fucking great day!"),
            ("threat", "I will come to your house and break your legs."),
        ],
    )
    def test_names_what_it_is(self, builtin: Profile, label: str, text: str) -> None:
        polite, telling = scores_of(builtin, "Your parcel arrives on Tuesday.", text)
        assert telling.labels[label] > 0.5 > polite.labels[label]

    def test_identity_attack_is_the_metric_of_that_name(self, builtin: Profile) -> None:
        (answer,) = builtin.score([Exchange("x", None, "Women are too stupid to drive.")])
        by_metric = {score.metric: score for score in answer.scores}
        assert by_metric["identity_attack"].value == by_metric["toxicity"].labels["identity_attack"]

    def test_prompts_are_judged_by_the_same_head(self, builtin: Profile) -> None:
        (answer,) = builtin.score([Exchange("x", "y o u   i d i o t", "y o u   i d i o t")])
        by_metric = {score.metric: score.value for score in answer.scores}
        assert by_metric["prompt_toxicity"] == by_metric["toxicity"]


class TestPooling:
    def test_weighs_tokens_by_attention_and_ignores_padding(self) -> None:
        states = torch.tensor([[[0.0, 2.0], [0.0, 4.0], [100.0, 100.0]]])
        mask = torch.tensor([[True, True, False]])
        even, output, bias = torch.zeros(1, 2), torch.tensor([[0.0, 1.0]]), torch.tensor([0.5])
        assert pool_logits(states, mask, even, output, bias).tolist() == [[3.5]]
        sharp = torch.tensor([[0.0, 50.0]])
        assert pool_logits(states, mask, sharp, output, bias)[0, 0].item() == pytest.approx(4.5)


class TestLoading:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        for name in (WEIGHTS_FILE, CARD_FILE):
            shutil.copyfile(HEADS_FOLDER / name, tmp_path / name)
        return tmp_path

    def test_names_itself_the_same_each_time(self, encoder: Encoder, folder: Path) -> None:
        assert load_toxicity_head(encoder, folder).identity == load_toxicity_head(encoder).identity

    def test_names_itself_differently_in_another_precision(self, encoder: Encoder) -> None:
        coarse = load_encoder(precision="bfloat16")
        assert load_toxicity_head(coarse).identity.digest != load_toxicity_head(encoder).identity.digest

    def test_another_calibration_gives_another_digest(self, encoder: Encoder, folder: Path) -> None:
        card = json.loads((folder / CARD_FILE).read_text())
        card["model"]["calibration"][0]["offset"] += 0.1
        (folder / CARD_FILE).write_text(json.dumps(card))
        assert load_toxicity_head(encoder, folder).identity.digest != load_toxicity_head(encoder).identity.digest

    def test_refuses_changed_weights(self, encoder: Encoder, folder: Path) -> None:
        content = bytearray((folder / WEIGHTS_FILE).read_bytes())
        content[-1] ^= 1
        (folder / WEIGHTS_FILE).write_bytes(content)
        with pytest.raises(ModelFileError, match="its card says"):
            load_toxicity_head(encoder, folder)

    def test_refuses_a_head_of_another_encoder(self, encoder: Encoder, folder: Path) -> None:
        card = json.loads((folder / CARD_FILE).read_text())
        card["model"]["encoder"] = "sha256:" + "0" * 64
        (folder / CARD_FILE).write_text(json.dumps(card))
        with pytest.raises(ModelFileError, match="was trained on encoder sha256:000"):
            load_toxicity_head(encoder, folder)

    @pytest.mark.parametrize("content", ["", "{}", "[]", '{"model": {}}'])
    def test_refuses_a_card_that_is_none(self, encoder: Encoder, folder: Path, content: str) -> None:
        (folder / CARD_FILE).write_text(content)
        with pytest.raises(ModelFileError, match="cannot be used"):
            load_toxicity_head(encoder, folder)

    @pytest.mark.parametrize("name", [WEIGHTS_FILE, CARD_FILE])
    def test_names_a_missing_file(self, encoder: Encoder, folder: Path, name: str) -> None:
        (folder / name).unlink()
        with pytest.raises(ModelFileError, match=f"cannot read the toxicity head at .*{name}"):
            load_toxicity_head(encoder, folder)
