// VoltAgent: an agent that answers, and one for which the model calls a tool first. The model is a stand-in here.
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { BatchSpanProcessor } from "@opentelemetry/sdk-trace-base";
import { Agent, VoltAgentObservability, createTool } from "@voltagent/core";
import { MockLanguageModelV3 } from "ai/test";
import { z } from "zod";
import { MODEL, QUESTION, SESSION, SYSTEM, TOOL_RESULT, USER, otlpUrl, run } from "./scenario.mjs";

const exporter = new OTLPTraceExporter({ url: `${otlpUrl}/v1/traces` });
const processor = new BatchSpanProcessor(exporter);
const observability = new VoltAgentObservability({ serviceName: "voltagent-client", spanProcessors: [processor] });
const call = { type: "tool-call", toolCallId: "call_1", toolName: "look_up_hours", input: '{"place":"warehouse"}' };
const reply = (content, reason, asked, said) => ({
  content: [content],
  finishReason: { unified: reason },
  usage: { inputTokens: { total: asked }, outputTokens: { total: said } },
  warnings: [],
});
const model = new MockLanguageModelV3({
  provider: "openai",
  modelId: MODEL,
  doGenerate: async ({ prompt, tools }) => {
    const answered = prompt.some((message) => message.role === "tool");
    if (tools?.length && !answered) return reply(call, "tool-calls", 33, 12);
    return reply({ type: "text", text: "The warehouse opens at nine." }, "stop", 21, 7);
  },
});
const tool = createTool({
  name: "look_up_hours",
  description: "Look up opening hours.",
  parameters: z.object({ place: z.string() }),
  execute: async () => TOOL_RESULT,
});
const ask = async (...tools) => {
  const agent = new Agent({ name: "bot", instructions: SYSTEM, model, observability, tools });
  await agent.generateText(QUESTION, { userId: USER, conversationId: SESSION });
};

await run({ chat: () => ask(), tools: () => ask(tool) });
await processor.forceFlush();
process.exit(0);
