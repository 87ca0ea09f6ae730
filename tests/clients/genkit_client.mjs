// Genkit: a flow with an answer, one for which the model calls a tool first, and one with documents. The model is a
// stand-in here.
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { BatchSpanProcessor } from "@opentelemetry/sdk-trace-base";
import { NodeTracerProvider } from "@opentelemetry/sdk-trace-node";
import { genkit, z } from "genkit";
import { MODEL, QUESTION, SYSTEM, TOOL_RESULT, otlpUrl, run } from "./scenario.mjs";

const exporter = new OTLPTraceExporter({ url: `${otlpUrl}/v1/traces` });
const provider = new NodeTracerProvider({ spanProcessors: [new BatchSpanProcessor(exporter)] });
provider.register();
const ai = genkit({});
const place = z.object({ place: z.string() });
const call = { toolRequest: { ref: "call_1", name: "look_up_hours", input: { place: "warehouse" } } };
const reply = (content, inputTokens, outputTokens) => ({
  message: { role: "model", content: [content] },
  finishReason: "stop",
  usage: { inputTokens, outputTokens },
});
const supports = { tools: true, multiturn: true, systemRole: true };
const model = ai.defineModel({ name: `openai/${MODEL}`, supports }, async (request) => {
  const answered = request.messages.some((message) => message.role === "tool");
  if (request.tools?.length && !answered) return reply(call, 33, 12);
  return reply({ text: "The warehouse opens at nine." }, 21, 7);
});
const described = { name: "look_up_hours", description: "Look up opening hours.", inputSchema: place };
const tool = ai.defineTool({ ...described, outputSchema: z.string() }, async () => TOOL_RESULT);
const texts = ["The warehouse opens at nine on weekdays.", "Deliveries go through gate four."];
const documents = texts.map((text) => ({ content: [{ text }] }));
const retriever = ai.defineRetriever({ name: "shelf" }, async () => ({ documents }));

const ask = (name, more) =>
  ai.defineFlow({ name, inputSchema: z.string(), outputSchema: z.string() }, async (question) => {
    const { text } = await ai.generate({ model, system: SYSTEM, prompt: question, ...(await more(question)) });
    return text;
  });
const chat = ask("chat", async () => ({}));
const tools = ask("tools", async () => ({ tools: [tool] }));
const retrieval = ask("retrieval", async (query) => ({ docs: await ai.retrieve({ retriever, query }) }));

await run({ chat: () => chat(QUESTION), tools: () => tools(QUESTION), retrieval: () => retrieval(QUESTION) });
await provider.shutdown();
process.exit(0);
