"""What to change in a client so that its telemetry can be judged: the exact setting, by dialect and by reason.

Facts come from the clients' own sources and documentation; ``docs/coverage.md`` has the same list for people.
"""

from __future__ import annotations

from types import MappingProxyType

_OPENINFERENCE = (
    "unset OPENINFERENCE_HIDE_INPUTS, OPENINFERENCE_HIDE_OUTPUTS, OPENINFERENCE_HIDE_INPUT_MESSAGES, "
    "OPENINFERENCE_HIDE_OUTPUT_MESSAGES and their kin"
)
_TRACELOOP = "set TRACELOOP_TRACE_CONTENT=true, or unset it: it is on by default"
_PYDANTIC = "instrument with include_content=True, which is the default: InstrumentationSettings(include_content=True)"
_VERCEL = (
    "switch on recordInputs and recordOutputs: experimental_telemetry: "
    "{isEnabled: true, recordInputs: true, recordOutputs: true}"
)

TEXT_REMEDIES: MappingProxyType[str, str] = MappingProxyType(
    {
        "custodes": "set CUSTODES_SDK_CAPTURE_TEXT=true, or unset it: it is on by default",
        "openinference": _OPENINFERENCE,
        "otel_genai": (
            "set OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=span_only so that spans carry their messages; "
            "instrumentations from before 2026 want true there, and "
            "OTEL_SEMCONV_STABILITY_OPT_IN=gen_ai_latest_experimental"
        ),
        "openllmetry": _TRACELOOP,
        "traceloop": _TRACELOOP,
        "langfuse": (
            "set LANGFUSE_OBSERVE_DECORATOR_IO_CAPTURE_ENABLED=true or unset it, and remove "
            "capture_input=False, capture_output=False and any mask function that empties them"
        ),
        "mlflow": (
            "call mlflow.<library>.autolog(), which records inputs and outputs, or set them on your own spans with "
            "span.set_inputs(…) and span.set_outputs(…)"
        ),
        "logfire": f"{_PYDANTIC}, or logfire.instrument_pydantic_ai(include_content=True)",
        "pydantic_ai": _PYDANTIC,
        "langsmith": "unset LANGSMITH_HIDE_INPUTS and LANGSMITH_HIDE_OUTPUTS",
        "openlit": "call openlit.init(capture_message_content=True), which is the default",
        "strands": (
            "take gen_ai_unredacted_attributes=… out of OTEL_SEMCONV_STABILITY_OPT_IN, and leave "
            "OTEL_SPAN_EVENT_COUNT_LIMIT at its default: Strands sends messages as span events"
        ),
        "vercel": _VERCEL,
        "vercel_legacy": _VERCEL,
        "semantic_kernel": "set SEMANTICKERNEL_EXPERIMENTAL_GENAI_ENABLE_OTEL_DIAGNOSTICS_SENSITIVE=true",
        "spring_ai": (
            "Spring AI writes prompts and answers to the application's log only: put custodes proxy, or a gateway "
            "that sends text, between it and the model"
        ),
        "litellm": (
            "set LITELLM_OTEL_V2=true and OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=span_only "
            "(span_and_event loses the text), and take turn_off_message_logging out of litellm_settings"
        ),
        "cloudflare": "let the gateway's OpenTelemetry export carry gen_ai.prompt_json and gen_ai.completion_json",
        "google_adk": "set ADK_CAPTURE_MESSAGE_CONTENT_IN_SPANS=true, or unset it: it is on by default",
        "laminar": "set LMNR_TRACE_CONTENT=true, or unset it: it is on by default",
        "envoy": f"{_OPENINFERENCE} in the gateway, and set AI_GATEWAY_TRACING_SEMCONV=openinference",
        "vllm": (
            "vLLM's own spans never carry text: start it with --middleware custodes_sdk.vllm.Capture, or instrument "
            "the application or gateway in front of it"
        ),
        "livekit": "leave the recording of transcripts on: the text is in lk.user_input and lk.response.text",
        "voltagent": "leave input and output recording on: the text is in the span's input and output attributes",
        "claude_code": (
            "set OTEL_LOG_USER_PROMPTS=1, ENABLE_BETA_TRACING_DETAILED=1 and BETA_TRACING_ENDPOINT to this server: "
            "calls of models carry text in detailed traces alone"
        ),
        "genkit": "set disableLoggingInputAndOutput: false in its telemetry plugin",
    }
)
"""How each dialect's client is made to send text."""

ANY_TEXT_REMEDY = "switch on content capture in its GenAI instrumentation, or wrap the call with custodes_sdk.exchange"
"""The same for dialects without a remedy of their own."""

DROPPED_REMEDY = (
    "its SDK dropped attributes or events that carry text: raise OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT (and "
    "OTEL_ATTRIBUTE_COUNT_LIMIT), for text on span events OTEL_SPAN_EVENT_COUNT_LIMIT and "
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT; long conversations need more than the default of 128"
)
UNREADABLE_REMEDY = (
    "its messages or documents arrive cut off or unreadable, and such exchanges are not assessed: raise "
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT and OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT, or unset them"
)
LOGS_ONLY_REMEDY = (
    "messages of its calls arrive as log events, but the spans they belong to do not: export traces to this server "
    "too (OTEL_TRACES_EXPORTER=otlp), and sample none away (OTEL_TRACES_SAMPLER=parentbased_always_on)"
)
INCOMPLETE_REMEDY = (
    "calls arrive without an end or a start: end every span, also after errors, and call "
    "force_flush() or shutdown() of the tracer provider before the process stops"
)
USAGE_REMEDY = "calls arrive without token usage; for streamed OpenAI calls set stream_options={'include_usage': true}"
AHEAD_REMEDY = "its clock is ahead of this server's: synchronise both by NTP (check with: chronyc tracking)"
BEHIND_REMEDY = (
    "its clock is behind this server's, or it exports late: synchronise both by NTP, and lower "
    "OTEL_BSP_SCHEDULE_DELAY (5000 ms by default) if the clocks agree"
)

REJECTION_REMEDIES: MappingProxyType[str, str] = MappingProxyType(
    {
        "zero_trace_id": "the client sends spans without an identity; use an OpenTelemetry SDK to make them",
        "zero_span_id": "the client sends spans without an identity; use an OpenTelemetry SDK to make them",
        "bad_trace_id": "a trace id is 16 bytes: 32 hex digits in JSON, or base64 of 16 bytes",
        "bad_span_id": "a span id is 8 bytes: 16 hex digits in JSON, or base64 of 8 bytes",
        "clock_in_future": "synchronise the client's clock by NTP, or raise CUSTODES_INGEST__MAX_FUTURE_S",
        "too_many_attributes": "send fewer attributes a span, or raise CUSTODES_INGEST__MAX_ATTRIBUTES",
        "too_many_events": "send fewer events a span, or raise CUSTODES_INGEST__MAX_ATTRIBUTES",
        "attribute_too_long": "shorten the value at the client, or raise CUSTODES_INGEST__MAX_ATTRIBUTE_BYTES",
        "too_deep": "flatten the nested value, or raise CUSTODES_INGEST__MAX_DEPTH",
        "malformed_span": "a field has the wrong type in JSON; send protobuf, or compare with the OTLP/JSON mapping",
        "malformed_record": "a field has the wrong type in JSON; send protobuf, or compare with the OTLP/JSON mapping",
        "too_many_series": "its metrics carry an attribute that is new with every request; drop it in a metric view",
    }
)
"""What to do about spans that are refused, by the reason in the loss ledger."""

REFUSAL_REMEDIES: MappingProxyType[str, str] = MappingProxyType(
    {
        "400": "the body is not what its Content-Type or Content-Encoding say; see the server's log for the reason",
        "401": (
            "a client sends no key or a wrong one: set OTEL_EXPORTER_OTLP_HEADERS=x-api-key=KEY with a key of role "
            "ingester (custodes key create --role ingester); custodes key list shows expired and revoked ones"
        ),
        "403": "a client's key may not send traffic: give it one made by custodes key create --role ingester",
        "413": (
            "requests are too large: send smaller batches (OTEL_BSP_MAX_EXPORT_BATCH_SIZE), or raise "
            "CUSTODES_INGEST__MAX_BODY_BYTES and CUSTODES_INGEST__MAX_DECOMPRESSED_BYTES"
        ),
        "415": "set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf or http/json, and gzip or no compression",
        "408": "the body took too long: look at the network, or raise CUSTODES_INGEST__BODY_TIMEOUT_S",
        "503": (
            "the intake was full, or a key went beyond its rate or its concurrent requests: exporters send again; "
            "if it persists, add a collector process, or make a key with higher limits"
        ),
    }
)
"""What to do about whole OTLP requests that are refused, by HTTP status."""
