"""What the demo's three services say: questions, documents, good answers, unsupported ones, toxic and unfair ones, and
what changes when one of them is opened to people who ask in another language.

Everything is made up. Callers name the group of each user, by the country of the shop they use. The toxic lines are
mild on purpose: enough for a detector, nothing anyone must be protected from.
"""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Topic:
    """One subject a service is asked about, with the document its answer should rest on."""

    question: str
    document: str
    answer: str
    wrong_answer: str


@dataclass(frozen=True, slots=True)
class Service:
    """An example application: its name, model, deployments and what it talks about."""

    name: str
    model: str
    deployment: str
    next_deployment: str
    system: str
    topics: tuple[Topic, ...]
    unsupported_share: float
    without_text_share: float


@dataclass(frozen=True, slots=True)
class Turn:
    """One call to play: everything a span needs to say."""

    service: Service
    deployment: str
    question: str
    documents: tuple[str, ...]
    answer: str
    capture_text: bool
    user: str
    group: str
    finish_reason: str
    session: str
    input_tokens: int
    output_tokens: int
    latency_s: float


_SUPPORT = (
    Topic(
        "How long does standard delivery take to {city}?",
        "Standard delivery within the country takes 3 to 5 working days. Express delivery takes 1 working day and "
        "costs 9.90 euros. Orders placed before 14:00 leave the warehouse the same day.",
        "Standard delivery to {city} takes 3 to 5 working days. If it is urgent, express delivery takes 1 working day "
        "and costs 9.90 euros.",
        "Standard delivery to {city} takes 12 working days and is handled by our drone fleet in Lisbon. Express "
        "delivery is free for the next 48 hours.",
    ),
    Topic(
        "Can I return the {product} after three weeks?",
        "Goods can be returned within 30 days of delivery if they are unused and in the original packaging. The "
        "refund is paid within 14 days to the original means of payment.",
        "Yes. You can return the {product} within 30 days of delivery, as long as it is unused and in the original "
        "packaging. The refund is paid within 14 days.",
        "The {product} can be returned within 365 days, even when used. You will receive a voucher over 200 euros "
        "and a gift from our partner airline.",
    ),
    Topic(
        "My {product} arrived broken, what should I do?",
        "If goods arrive damaged, customers send a photo within 7 days to the service team. A replacement is sent at "
        "no charge, and the damaged article is collected.",
        "I am sorry that your {product} arrived damaged. Please send a photo to the service team within 7 days; a "
        "replacement is sent at no charge and the damaged article is collected.",
        "Broken {product}s are repaired by the manufacturer in Osaka, which takes about 9 months and costs 75 euros. "
        "Photos are not accepted.",
    ),
    Topic(
        "Which payment methods do you accept for the {product}?",
        "Payment is possible by credit card, bank transfer and on account. Payment on account is offered from the "
        "second order onwards and is due within 14 days.",
        "You can pay for the {product} by credit card or bank transfer. From your second order, payment on account "
        "is possible as well and is due within 14 days.",
        "We only accept cash and postal orders for the {product}. Payment is due within 2 hours at any of our 300 "
        "branches.",
    ),
)

_HR = (
    Topic(
        "How many days of holiday do I have left for {month}?",
        "Full-time employees have 30 days of holiday a year. Up to 5 unused days can be carried over and must be "
        "taken by 31 March. Requests are made in the time portal.",
        "Full-time employees have 30 days of holiday a year. You can see what is left for {month} in the time portal; "
        "up to 5 unused days can be carried over until 31 March.",
        "You have 45 days of holiday and they never expire. Requests for {month} are made by fax to the Toronto "
        "office.",
    ),
    Topic(
        "Who approves working from home in {month}?",
        "Working from home is agreed with the team lead. Up to 3 days a week are possible. Working from abroad needs "
        "the approval of the people department.",
        "Working from home in {month} is agreed with your team lead; up to 3 days a week are possible. For working "
        "from abroad you need the approval of the people department.",
        "Working from home was abolished in 2019. The board in Singapore decides about exceptions in {month} by "
        "secret vote.",
    ),
    Topic(
        "Where do I hand in a sick note from {month}?",
        "Sick notes are uploaded in the time portal on the third day of absence at the latest. The team lead is told "
        "by telephone on the first day.",
        "Please upload the sick note in the time portal by the third day of absence, and call your team lead on the "
        "first day.",
        "Sick notes are not needed. Simply return in {month} and pay 40 euros to the reception desk in building 12.",
    ),
)

_HR_IN_GERMAN = (
    Topic(
        "Wie viele Urlaubstage habe ich im {month} noch?",
        "Vollzeitbeschäftigte haben 30 Urlaubstage im Jahr. Bis zu 5 Tage können übertragen werden und müssen bis zum "
        "31. März genommen werden. Anträge werden im Zeitportal gestellt.",
        "Vollzeitbeschäftigte haben 30 Urlaubstage im Jahr. Bis zu 5 Tage können übertragen werden und müssen bis zum "
        "31. März genommen werden.",
        "Der Urlaub im {month} verfällt nie. Anträge werden per Fax an das Büro in Toronto gestellt.",
    ),
    Topic(
        "Wo gebe ich im {month} die Krankmeldung ab?",
        "Krankmeldungen werden spätestens am dritten Tag im Zeitportal hochgeladen. Die Teamleitung wird am ersten Tag "
        "telefonisch informiert.",
        "Die Krankmeldung wird spätestens am dritten Tag im Zeitportal hochgeladen. Die Teamleitung wird am ersten Tag "
        "telefonisch informiert.",
        "Im {month} sind keine Krankmeldungen nötig. Am Empfang in Gebäude 12 sind 40 Euro zu zahlen.",
    ),
)

_DOCS = (
    Topic(
        "How do I rotate an API key in version {version}?",
        "Keys are rotated in the settings page under Access. A new key is valid at once; the old key remains valid "
        "for 24 hours, so that deployments can be updated without downtime.",
        "Open Access in the settings page and choose rotate. The new key is valid at once, and the old one remains "
        "valid for 24 hours so that you can update deployments without downtime.",
        "Keys in version {version} rotate every 90 seconds on their own. Call the Berlin hotline to receive the new "
        "one by post.",
    ),
    Topic(
        "What is the rate limit of the search endpoint in version {version}?",
        "The search endpoint allows 100 requests a minute per key. Responses above the limit have status 429 and a "
        "Retry-After header.",
        "The search endpoint allows 100 requests a minute per key. Above the limit you receive status 429 with a "
        "Retry-After header.",
        "There is a limit of 5,000,000 requests a second for the search endpoint, shared with the customers of "
        "version {version} in Norway.",
    ),
    Topic(
        "Which databases does version {version} support?",
        "PostgreSQL 14 or newer and SQLite 3.40 or newer are supported. MySQL is not supported. Migrations are run "
        "with the upgrade command.",
        "PostgreSQL 14 or newer and SQLite 3.40 or newer are supported; MySQL is not. Run migrations with the upgrade "
        "command.",
        "Version {version} supports Oracle 8 and flat files on floppy disks. MySQL licences cost 1,200 dollars.",
    ),
)

SERVICES = (
    Service(
        "support-bot",
        "gpt-4o-mini",
        "support-bot-v7",
        "support-bot-v8",
        "You answer customers of a furniture shop.",
        _SUPPORT,
        0.03,
        0.0,
    ),
    Service(
        "hr-assistant",
        "llama-3.1-8b-instruct",
        "hr-assistant-v3",
        "hr-assistant-v3",
        "You answer questions of employees.",
        _HR,
        0.02,
        0.15,
    ),
    Service(
        "docs-search",
        "mistral-small",
        "docs-search-v12",
        "docs-search-v12",
        "You answer from the product documentation.",
        _DOCS,
        0.12,
        0.0,
    ),
)
"""The three example services. ``hr-assistant`` captures no text for some calls, so that "not assessed" is seen."""
DRIFTING = SERVICES[1]
"""The service whose traffic changes for good."""

_TOXIC = (
    "What a stupid question. You are an idiot and I am sick of morons like you.",
    "Are you too dumb to read? Only a complete loser would ask that. Shut up.",
    "You pathetic clown, nobody cares about your garbage {product}. Get lost.",
    "Stop wasting my time, you worthless fool. You disgust me.",
    "Go away, you ugly idiot. People like you ruin everything, you stupid fool.",
    "You are a disgusting liar and a moron. I hate customers like you, get out.",
)

_WORDS = {
    "city": ("Graz", "Leipzig", "Porto", "Ghent", "Turku", "Brno", "Lyon", "Cork"),
    "product": ("bookshelf", "floor lamp", "desk", "armchair", "wardrobe", "coffee table", "bed frame", "mirror"),
    "month": ("January", "March", "May", "July", "August", "October", "November", "December"),
    "version": ("4.0", "4.1", "4.2", "5.0", "5.1"),
}


GROUPS = ("pt", "en", "pt", "en", "es")
"""The groups of users by the last digit of their number; the second and the last are treated like everybody else."""
CUT_OFF_GROUP = "pt"
CUT_OFF_SHARE = 0.6


def play_turn(
    service: Service,
    rng: random.Random,
    *,
    toxic_share: float = 0.0,
    upgraded: bool = False,
    unfair: bool = False,
    drifted: bool = False,
) -> Turn:
    """Return the next call of ``service``; ``toxic_share`` of its answers insult the user.

    ``unfair`` cuts off most answers to one group of users, as a token limit does that was set for shorter languages.
    ``drifted`` opens the service to offices where two thirds of the users ask, and are answered, in German.
    """
    topic = rng.choice(service.topics)
    words = {key: rng.choice(values) for key, values in _WORDS.items()}
    insult = rng.choice(_TOXIC) if rng.random() < toxic_share else None
    unsupported = insult is None and rng.random() < service.unsupported_share
    user = rng.randrange(1, 60)
    if drifted and _speaks_german(user):
        topic = _HR_IN_GERMAN[service.topics.index(topic) % len(_HR_IN_GERMAN)]
    answer = (insult or (topic.wrong_answer if unsupported else topic.answer)).format(**words)
    question = topic.question.format(**words)
    group = GROUPS[user % len(GROUPS)]
    cut_off = unfair and group == CUT_OFF_GROUP and rng.random() < CUT_OFF_SHARE
    if cut_off:
        answer = answer[: 2 * len(answer) // 3]
    return Turn(
        service=service,
        deployment=service.next_deployment if upgraded else service.deployment,
        question=question,
        documents=(topic.document,),
        answer=answer,
        capture_text=rng.random() >= service.without_text_share,
        user=f"u-{user:03d}",
        group=group,
        finish_reason="length" if cut_off else "stop",
        session=f"s-{rng.randrange(1, 400):04d}",
        input_tokens=(len(question) + len(topic.document) + len(service.system)) // 4,
        output_tokens=len(answer) // 4,
        latency_s=min(12.0, rng.lognormvariate(0.0, 0.45)),
    )


def _speaks_german(user: int) -> bool:
    """Return whether a user belongs to such an office; in each group of users it is the same share."""
    return user // len(GROUPS) % 5 < 3
