"""The traffic that speed and size are measured on: traces of four spans with text that is no trick to compress.

A trace is a retrieval-augmented answer: an agent span, a retrieval span with three documents of 300 characters, a chat
span with a prompt of 1,200 characters and a response of 800, and a tool span. Every span has 20 attributes: names and
settings that repeat, as they do in life, beside ids, addresses and figures that do not.

Text is drawn word by word from some 2,200 word forms with Zipf's frequencies, in sentences of changing shape with names
and figures in between. Text of 1,200 characters, compressed alone, shrinks by a factor of 1.80 with zlib level 6 and of
1.74 with zstd level 3; English prose of that length, that of our own documentation, by 1.81 and 1.75. So figures
measured on it are not better than life. Whole bodies gzip by about 5, since attributes repeat and the vocabulary is
small: compare senders by spans a second, not by bytes on the wire.
"""

from __future__ import annotations

import bisect
import itertools
import json
import random
from dataclasses import dataclass
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

SPANS_PER_TRACE = 4
PROMPT_CHARACTERS = 1_200
RESPONSE_CHARACTERS = 800
DOCUMENT_CHARACTERS = 300

_WORDS = Path(__file__).with_name("corpus_words.txt")
_PREFIXES = ("re", "un", "over", "under", "mis", "pre")
_MODELS = ("gpt-5-mini", "claude-sonnet-5", "mistral-large-3", "llama-4-70b-instruct")
_SERVICES = ("shop-assistant", "claims-desk", "library-guide", "field-support", "tariff-bot")


@dataclass(frozen=True, slots=True)
class Texts:
    """Writes text word by word; one instance is shared by a whole corpus."""

    glue: tuple[str, ...]
    words: tuple[str, ...]
    reach: tuple[float, ...]
    first_names: tuple[str, ...]
    last_names: tuple[str, ...]

    def write(self, rng: random.Random, characters: int) -> str:
        """Return text of exactly ``characters`` characters."""
        pieces: list[str] = []
        length = 0
        while length < characters:
            sentence = self._sentence(rng)
            pieces.append(sentence)
            length += len(sentence) + 1
        return " ".join(pieces)[:characters]

    def _sentence(self, rng: random.Random) -> str:
        words: list[str] = []
        for _ in range(rng.randint(5, 24)):
            if rng.random() < 0.42:
                words.append(self.glue[int(len(self.glue) * rng.random() ** 2.5)])
            else:
                words.append(self.words[bisect.bisect(self.reach, rng.random())])
            if rng.random() < 0.06:
                words[-1] += rng.choice((",", ",", ";", ":", " –"))
        if rng.random() < 0.35:
            words.insert(rng.randrange(len(words)), f"{rng.choice(self.first_names)} {rng.choice(self.last_names)}")
        if rng.random() < 0.3:
            words.insert(rng.randrange(len(words)), str(rng.randint(2, 99_999)))
        text = " ".join(words)
        return text[0].upper() + text[1:] + rng.choice((".", ".", ".", ".", "?", ".\n"))


def make_texts(seed: int = 20_261_121) -> Texts:
    """Return the word stock; ``seed`` decides which of its words are common."""
    blocks = _WORDS.read_text(encoding="utf-8").split("\n\n")
    glue, nouns, verbs, qualities, first, last = (tuple(block.split()[1:]) for block in blocks)
    forms = {*nouns, *verbs, *qualities}
    forms |= {noun + "s" for noun in nouns}
    forms |= {verb.removesuffix("e") + ending for verb in verbs for ending in ("ed", "ing", "er", "able", "ment")}
    forms |= {quality + ending for quality in qualities for ending in ("ly", "ness", "er")}
    forms |= {prefix + verb for verb in verbs for prefix in _PREFIXES}
    forms |= {f"{one}-{two}" for one, two in zip(qualities, reversed(nouns), strict=False)}
    words = sorted(forms)
    random.Random(seed).shuffle(words)
    weights = [1 / (rank + 12) for rank in range(len(words))]
    total = sum(weights)
    reach = tuple(itertools.accumulate(weight / total for weight in weights))
    return Texts(glue, tuple(words), (*reach[:-1], 1.0), first, last)


def make_trace(rng: random.Random, texts: Texts, *, start_ns: int) -> list[Span]:
    """Return the four spans of one trace, children first, as exporters send them."""
    trace_id = rng.randbytes(16)
    root, retrieval, chat, tool = (rng.randbytes(8) for _ in range(4))
    question = texts.write(rng, 200)
    documents = [
        {"id": f"kb-{rng.randrange(10**6)}", "content": texts.write(rng, DOCUMENT_CHARACTERS), "score": rng.random()}
        for _ in range(3)
    ]
    instructions = "Answer from the passages below and say so when they do not hold the answer.\n\n"
    context = "\n\n".join(str(document["content"]) for document in documents)
    prompt = f"{instructions}{context}\n\n{texts.write(rng, PROMPT_CHARACTERS)}"
    prompt = f"{prompt[: PROMPT_CHARACTERS - len(question) - 1]}\n{question}"
    response = texts.write(rng, RESPONSE_CHARACTERS)
    session, user = f"sess-{rng.randbytes(8).hex()}", f"user-{rng.randrange(200_000)}"
    model = rng.choice(_MODELS)
    shared: dict[str, object] = {
        "session.id": session,
        "user.id": user,
        "thread.id": rng.randrange(10**14, 10**15),
        "thread.name": f"ThreadPoolExecutor-0_{rng.randrange(32)}",
        "code.function.name": "shop.agents.answer.AnswerAgent.run",
        "feature.flag.cohort": rng.choice(("control", "b", "c")),
    }
    seconds = 1_000_000_000
    end_ns = start_ns + rng.randrange(1, 4) * seconds + rng.randrange(seconds)

    def span(span_id: bytes, parent: bytes, name: str, attributes: dict[str, object]) -> Span:
        return Span(
            trace_id=trace_id,
            span_id=span_id,
            parent_span_id=parent,
            name=name,
            kind=Span.SPAN_KIND_CLIENT if parent else Span.SPAN_KIND_SERVER,
            start_time_unix_nano=start_ns + rng.randrange(seconds // 2),
            end_time_unix_nano=end_ns - rng.randrange(seconds // 2),
            attributes=[_attribute(key, value) for key, value in {**attributes, **shared}.items()],
        )

    return [
        span(retrieval, root, "retrieve knowledge-base", _retrieval(rng, question, documents)),
        span(tool, root, "execute_tool lookup_order", _tool(rng)),
        span(chat, root, f"chat {model}", _chat(rng, model, prompt, response)),
        span(root, b"", "POST /v1/answer", _agent(rng)),
    ]


def make_body(rng: random.Random, texts: Texts, *, traces: int, start_ns: int = 1_795_300_000_000_000_000) -> bytes:
    """Return one OTLP request in protobuf with ``traces`` traces of four spans, all from one service."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    attributes: dict[str, object] = {
        "service.name": rng.choice(_SERVICES),
        "service.version": "4.12.1",
        "deployment.environment.name": "production",
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "opentelemetry",
        "telemetry.sdk.version": "1.45.0",
        "host.name": f"node-{rng.randrange(40)}",
    }
    resource.resource.attributes.extend(_attribute(key, value) for key, value in attributes.items())
    scope = resource.scope_spans.add()
    scope.scope.name = "shop.tracing"
    for number in range(traces):
        scope.spans.extend(make_trace(rng, texts, start_ns=start_ns + number * 1_000_000))
    return request.SerializeToString()


def _agent(rng: random.Random) -> dict[str, object]:
    return {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "answer-agent",
        "gen_ai.agent.id": f"asst_{rng.randbytes(12).hex()}",
        "http.request.method": "POST",
        "http.route": "/v1/answer",
        "url.path": "/v1/answer",
        "url.scheme": "https",
        "http.response.status_code": rng.choice((200, 200, 200, 200, 429)),
        "http.request.body.size": rng.randrange(300, 9_000),
        "server.address": "answers.shop.example",
        "server.port": 443,
        "client.address": f"10.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(256)}",
        "user_agent.original": "shop-android/8.3 (okhttp 5.1)",
        "network.protocol.version": "2",
    }


def _retrieval(rng: random.Random, question: str, documents: list[dict[str, object]]) -> dict[str, object]:
    return {
        "gen_ai.operation.name": "retrieval",
        "openinference.span.kind": "RETRIEVER",
        "gen_ai.data_source.id": "knowledge-base",
        "gen_ai.retrieval.documents": json.dumps(documents),
        "gen_ai.retrieval.query.text": question,
        "db.system.name": "postgresql",
        "db.collection.name": "passages",
        "db.query.summary": "SELECT passages",
        "server.address": f"10.0.{rng.randrange(8)}.{rng.randrange(256)}",
        "server.port": 5432,
        "retrieval.top_k": 3,
        "retrieval.latency_ms": rng.uniform(3, 60),
        "retrieval.index.version": "2026-11-02",
        "retrieval.candidates": rng.randrange(40, 400),
    }


def _chat(rng: random.Random, model: str, prompt: str, response: str) -> dict[str, object]:
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": model,
        "gen_ai.response.model": f"{model}-2026-08-06",
        "gen_ai.response.id": f"chatcmpl-{rng.randbytes(14).hex()}",
        "gen_ai.request.temperature": rng.choice((0.0, 0.2, 0.7)),
        "gen_ai.request.max_tokens": 1024,
        "gen_ai.usage.input_tokens": rng.randrange(240, 420),
        "gen_ai.usage.output_tokens": rng.randrange(120, 260),
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.input.messages": json.dumps(
            [{"role": "user", "parts": [{"type": "text", "content": prompt}]}], ensure_ascii=False
        ),
        "gen_ai.output.messages": json.dumps(
            [{"role": "assistant", "parts": [{"type": "text", "content": response}], "finish_reason": "stop"}],
            ensure_ascii=False,
        ),
        "server.address": "api.models.example",
        "openai.response.system_fingerprint": f"fp_{rng.randbytes(5).hex()}",
    }


def _tool(rng: random.Random) -> dict[str, object]:
    order = rng.randrange(10**8, 10**9)
    state = rng.choice(("packed", "shipped", "delivered", "returned"))
    return {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "lookup_order",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": f"call_{rng.randbytes(12).hex()}",
        "gen_ai.tool.description": "Look up the state of an order by its number.",
        "gen_ai.tool.call.arguments": json.dumps({"order": order, "fields": ["state", "eta"]}),
        "gen_ai.tool.call.result": json.dumps({"order": order, "state": state, "eta_hours": rng.randrange(90)}),
        "rpc.system": "http",
        "http.request.method": "GET",
        "url.full": f"https://orders.shop.internal/v2/orders/{order}",
        "http.response.status_code": 200,
        "server.address": "orders.shop.internal",
        "server.port": 8443,
        "retry.count": rng.choice((0, 0, 0, 1)),
    }


def _attribute(key: str, value: object) -> KeyValue:
    return KeyValue(key=key, value=_any_value(value))


def _any_value(value: object) -> AnyValue:
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, list):
        return AnyValue(array_value=ArrayValue(values=[_any_value(one) for one in value]))
    return AnyValue(string_value=str(value))
