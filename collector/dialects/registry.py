"""Every dialect, in the order in which they are asked.

The more a vocabulary says about one client, the earlier it comes; the conventions many clients share come
last, so that they fill what the others left open.
"""

from __future__ import annotations

from collector.dialects import (
    anthropic_sdk,
    claude_code,
    cloudflare,
    custodes,
    envoy,
    genkit,
    google_adk,
    laminar,
    langfuse,
    langsmith,
    litellm,
    livekit,
    logfire,
    logfire_agents,
    mlflow,
    openinference,
    openlit,
    openllmetry,
    otel_genai,
    pydantic_ai,
    semantic_kernel,
    span_events,
    spring_ai,
    strands,
    traceloop,
    vercel,
    vercel_legacy,
    vllm,
    voltagent,
)
from collector.dialects.reading import Dialect

DIALECTS: tuple[Dialect, ...] = (
    custodes.DIALECT,
    strands.DIALECT,
    vercel.DIALECT,
    vercel_legacy.DIALECT,
    semantic_kernel.DIALECT,
    spring_ai.DIALECT,
    litellm.RAW,
    litellm.DIALECT,
    cloudflare.DIALECT,
    google_adk.DIALECT,
    laminar.DIALECT,
    envoy.DIALECT,
    livekit.DIALECT,
    voltagent.DIALECT,
    claude_code.DIALECT,
    anthropic_sdk.DIALECT,
    genkit.DIALECT,
    openinference.DIALECT,
    langfuse.DIALECT,
    mlflow.DIALECT,
    langsmith.DIALECT,
    logfire_agents.DIALECT,
    logfire.DIALECT,
    pydantic_ai.DIALECT,
    openlit.DIALECT,
    openllmetry.DIALECT,
    traceloop.DIALECT,
    vllm.DIALECT,
    span_events.DIALECT,
    otel_genai.DIALECT,
    langfuse.CONTEXT,
)
