// What every JavaScript client is made to say; the same conversation as scenario.py.
//
// Arguments: the OTLP base URL, the base URL of the OpenAI-compatible server, and the names of the scenarios to run.
export const MODEL = "gpt-4o-mini";
export const SYSTEM = "You are a helpful assistant.";
export const QUESTION = "When does the warehouse open?";
export const SESSION = "s-42";
export const USER = "u-7";
export const TOOL_RESULT = "Open from nine to five.";

export const [otlpUrl, openaiUrl, ...wanted] = process.argv.slice(2);

export async function run(scenarios) {
  for (const name of wanted.length ? wanted : Object.keys(scenarios)) {
    await scenarios[name]();
  }
}
