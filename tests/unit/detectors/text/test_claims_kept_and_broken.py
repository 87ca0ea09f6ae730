"""Everyday answers with a wrong figure, with none at all, and with the right one in other words.

None of these texts took part in fitting; they say what operators must be able to rely on.
"""

from __future__ import annotations

import pytest

from detectors.model import Score
from detectors.text.encoder import Encoder
from detectors.text.hallucination import HallucinationDetector, load_hallucination_detector

TERMS = (
    "The fee for cash advances is 5 euros. The interest rate is 2.5 percent a year. Invoices are due within 30 days. "
    "Refunds take 14 days. Express delivery costs 9.90 euros and takes 3 to 5 working days. The shop opens at 14:00. "
    "Purchases above 1,000 euros need a signature. The lift carries at most eight people."
)
WRONG_NUMBERS = [
    ("The fee is 25 euros.", "25"),
    ("The interest rate is 7.5 percent.", "7.5"),
    ("Invoices are due within 60 days.", "60"),
    ("Refunds take 41 days.", "41"),
    ("Express delivery costs \u20ac19.90.", "19.90"),
    ("Delivery takes seven to nine working days.", "seven"),
    ("The shop opens at 16:00.", "16"),
    ("Purchases above 10,000 euros need a signature.", "10,000"),
    ("The lift carries at most 18 people.", "18"),
    ("Sorry about that! Invoices are due within ninety days.", "ninety"),
    ("The interest rate is 25% a year.", "25"),
    ("I could not find the opening hours, but the fee is 6 euros.", "6"),
    ("The fee for cash advances is 30 euros.", "30"),
    ("The fee for cash advances was raised to 5 euros in 2019.", "2019"),
]
ABSTENTIONS = [
    "I could not find this information in the provided context.",
    "the documents don't mention that",
    "I'm sorry that you are upset.",
    "Let me know if you have any other questions.",
    "Sure, happy to help!",
    "I don't know.",
    "Unfortunately, the provided documents do not contain information about parental discounts.",
    "There is no information about parking in the context.",
    "Based on the context, I cannot determine the warranty period.",
    "I'm afraid I don't have enough details to answer your question.",
    "The text does not specify who founded the company.",
    "I apologize for the confusion. That must be frustrating.",
    "I was unable to locate any mention of gift cards in the sources.",
    "The colour of the lamp isn't mentioned in the article. Would you like me to look elsewhere?",
    "No information about opening hours on holidays was provided.",
]
GROUNDED = [
    ("The refund takes 14 days.", None),
    ("I am sorry that you are upset. The refund takes 14 days.", None),
    ("Delivery takes three to five working days.", None),
    ("Express delivery costs \u20ac9.90.", None),
    ("Purchases above 1000 euros need a signature.", None),
    ("Purchases above one thousand euros need a signature.", None),
    ("The interest rate is 2.5% a year.", None),
    ("Refunds take two weeks.", None),
    ("The shop opens at 2 pm.", None),
    ("The lift carries at most 8 people.", None),
    ("Invoices are due within thirty days.", None),
    ("Your order 4711 is refunded within 14 days.", "Where is the refund for order 4711?"),
    ("1. Invoices are due within 30 days.\n2. Refunds take 14 days.", None),
    ("Express delivery takes 3\u20135 working days [2].", None),
    ("I could not find the warranty period, but refunds take 14 days.", None),
]


@pytest.fixture(scope="module")
def detector(encoder: Encoder) -> HallucinationDetector:
    return load_hallucination_detector(encoder)


def judge(detector: HallucinationDetector, answer: str, prompt: str | None = None) -> Score:
    return detector.score(answer, (TERMS,), prompt)


class TestWrongNumbers:
    @pytest.mark.parametrize(("answer", "figure"), WRONG_NUMBERS)
    def test_exceed_one_half_with_a_span_over_the_figure(
        self, detector: HallucinationDetector, answer: str, figure: str
    ) -> None:
        score = judge(detector, answer)
        assert score.value is not None
        assert score.value > 0.5
        assert any(figure in answer[span.start : span.end] for span in score.spans)


class TestAbstentions:
    @pytest.mark.parametrize("answer", ABSTENTIONS)
    def test_claim_nothing(self, detector: HallucinationDetector, answer: str) -> None:
        assert judge(detector, answer).reason == "no_checkable_claim"


class TestGroundedFigures:
    @pytest.mark.parametrize(("answer", "prompt"), GROUNDED)
    def test_stay_low_without_spans(self, detector: HallucinationDetector, answer: str, prompt: str | None) -> None:
        score = judge(detector, answer, prompt)
        assert score.value is not None
        assert score.value < 0.5
        assert score.spans == ()


class TestLoneWords:
    def test_one_ordinary_word_is_no_verdict(self, detector: HallucinationDetector) -> None:
        score = judge(detector, "Refunds are cumbersome.")
        assert score.value is not None
        assert score.value < 0.5

    @pytest.mark.parametrize("answer", ["Refunds come from Rotterdam.", "Cumbersome paperwork annoys accountants."])
    def test_a_name_or_a_second_word_is_one(self, detector: HallucinationDetector, answer: str) -> None:
        score = judge(detector, answer)
        assert score.value is not None
        assert score.value > 0.5
