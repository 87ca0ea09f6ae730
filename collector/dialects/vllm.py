"""Inference servers' own spans: vLLM's ``llm_request`` and SGLang's ``Req …``.

They tell tokens and latencies and never text: the text of these exchanges must come from a gateway, from the client's
instrumentation or from the middleware of our SDK. Where a client's span of the same call is above one of them, the two
are one exchange. Triton and TGI send timings alone, under names that tell neither tokens nor text; those spans are kept
as they are. Source: vllm/tracing, sglang's request tracing.
"""

from __future__ import annotations

from collector.dialects.operations import known_operation
from collector.dialects.otel_genai import INPUT_TOKENS, MODEL, OPERATION, OUTPUT_TOKENS, REQUEST_MODEL
from collector.dialects.reading import (
    Dialect,
    Reading,
    Shape,
    first_amount,
    first_count,
    first_text,
    read_finish_reasons,
)
from collector.otlp.spans import RawSpan

_LATENCIES = "gen_ai.latency."
_TTFT_S = ("gen_ai.latency.time_to_first_token",)
_REQUEST_ID = ("gen_ai.request.id", "rid")
_SCOPES = ("vllm", "sglang")
_NAME = "llm_request"


def detect(shape: Shape) -> bool:
    """Return whether an inference server made the span."""
    return shape.scope.startswith(_SCOPES) or shape.has_prefix(_LATENCIES)


def read(span: RawSpan) -> Reading:
    """Return figures and model; the operation only for the span of a whole request."""
    attributes = span.attributes
    input_tokens = first_count(attributes, INPUT_TOKENS)
    output_tokens = first_count(attributes, OUTPUT_TOKENS)
    ttft_s = first_amount(attributes, _TTFT_S)
    whole = span.name == _NAME or input_tokens is not None or output_tokens is not None
    return Reading(
        operation=_operation(span) if whole else "span",
        provider="sglang" if span.name.startswith("Req ") or span.scope.startswith("sglang") else "vllm",
        model=first_text(attributes, MODEL),
        request_model=first_text(attributes, (REQUEST_MODEL,)),
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        finish_reasons=read_finish_reasons(attributes.get("gen_ai.response.finish_reasons")),
        ttft_ms=None if ttft_s is None else ttft_s * 1000.0,
    )


def _operation(span: RawSpan) -> str:
    """Return the operation; the ids of OpenAI-compatible servers begin with the API that was called."""
    named = known_operation(first_text(span.attributes, (OPERATION,)))
    if named is not None:
        return named
    request_id = first_text(span.attributes, _REQUEST_ID) or ""
    if request_id.startswith(("embd-", "pool-")):
        return "embeddings"
    if request_id.startswith(("score-", "rerank-", "classify-")):
        return "span"
    return "text_completion" if request_id.startswith("cmpl-") else "chat"


DIALECT = Dialect("vllm", detect, read)
