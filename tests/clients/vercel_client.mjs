// The Vercel AI SDK 7 with @ai-sdk/otel: an answer, a streamed one, and one for which the model calls a tool first.
//
// Environment: TELEMETRY=legacy for the names of earlier releases, OTLP=protobuf for that encoding instead of JSON.
import { createOpenAI } from "@ai-sdk/openai";
import { LegacyOpenTelemetry, OpenTelemetry } from "@ai-sdk/otel";
import { OTLPTraceExporter as JsonExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as ProtobufExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { detectResources, envDetector } from "@opentelemetry/resources";
import { BatchSpanProcessor, NodeTracerProvider } from "@opentelemetry/sdk-trace-node";
import { generateText, isStepCount, registerTelemetry, streamText, tool } from "ai";
import { z } from "zod";
import { MODEL, QUESTION, SESSION, SYSTEM, TOOL_RESULT, USER, openaiUrl, otlpUrl, run } from "./scenario.mjs";

const Exporter = process.env.OTLP === "protobuf" ? ProtobufExporter : JsonExporter;
const provider = new NodeTracerProvider({
  resource: detectResources({ detectors: [envDetector] }),
  spanProcessors: [new BatchSpanProcessor(new Exporter({ url: `${otlpUrl}/v1/traces` }))],
});
provider.register();
const legacy = process.env.TELEMETRY === "legacy";
registerTelemetry(
  legacy
    ? new LegacyOpenTelemetry()
    : new OpenTelemetry({ enrichSpan: () => ({ "session.id": SESSION, "user.id": USER }) }),
);

const model = createOpenAI({ baseURL: openaiUrl, apiKey: "test-key" }).chat(MODEL);
const asked = {
  model,
  system: SYSTEM,
  prompt: QUESTION,
  maxRetries: 0,
  runtimeContext: { sessionId: SESSION, userId: USER },
  telemetry: { functionId: "answer", includeRuntimeContext: { sessionId: true, userId: true } },
};
const lookUpHours = tool({
  description: "Look up opening hours.",
  inputSchema: z.object({ place: z.string() }),
  execute: async () => TOOL_RESULT,
});

await run({
  chat: () => generateText(asked),
  stream: async () => {
    for await (const _ of streamText(asked).textStream);
  },
  tools: () => generateText({ ...asked, tools: { look_up_hours: lookUpHours }, stopWhen: isStepCount(2) }),
});
await provider.shutdown();
