// The Vercel AI SDK up to 6, whose telemetry is switched on per call.
import { createOpenAI } from "@ai-sdk/openai";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { detectResources, envDetector } from "@opentelemetry/resources";
import { BatchSpanProcessor, NodeTracerProvider } from "@opentelemetry/sdk-trace-node";
import { generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { MODEL, QUESTION, SESSION, SYSTEM, TOOL_RESULT, USER, openaiUrl, otlpUrl, run } from "./scenario.mjs";

const provider = new NodeTracerProvider({
  resource: detectResources({ detectors: [envDetector] }),
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter({ url: `${otlpUrl}/v1/traces` }))],
});
provider.register();

const model = createOpenAI({ baseURL: openaiUrl, apiKey: "test-key" }).chat(MODEL);
const asked = {
  model,
  system: SYSTEM,
  prompt: QUESTION,
  maxRetries: 0,
  experimental_telemetry: { isEnabled: true, metadata: { sessionId: SESSION, userId: USER } },
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
  tools: () => generateText({ ...asked, tools: { look_up_hours: lookUpHours }, stopWhen: stepCountIs(2) }),
});
await provider.shutdown();
