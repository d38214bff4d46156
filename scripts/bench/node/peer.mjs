// The AI SDK as the app uses it: streamText, fullStream. A job per line of stdin, a result per line of stdout.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { streamText } from "ai";

const { version } = createRequire(import.meta.url)("ai/package.json");

const models = {
  "openai-chat": (baseURL, apiKey) => createOpenAICompatible({ name: "bench", baseURL, apiKey })("bench-model"),
  responses: (baseURL, apiKey) => createOpenAI({ baseURL, apiKey }).responses("gpt-4.1"),
  anthropic: (baseURL, apiKey) => createAnthropic({ baseURL, apiKey })("claude-sonnet-4-20250514"),
  google: (baseURL, apiKey) => createGoogleGenerativeAI({ baseURL, apiKey })("gemini-2.5-flash"),
};

async function consume({ dialect, base, key }) {
  const started = performance.now();
  let first = 0;
  let chars = 0;
  const { fullStream } = streamText({
    model: models[dialect](base, key),
    messages: [{ role: "user", content: "hi" }],
    maxRetries: 0,
    onError: () => {},
  });
  for await (const part of fullStream) {
    if (part.type === "error") throw part.error;
    if (part.type === "text-delta") {
      first ||= performance.now();
      chars += part.text.length;
    }
  }
  return { ttft: first - started, chars };
}

process.stdout.write(
  `${JSON.stringify({ version: `ai ${version}, node ${process.version}`, dialects: Object.keys(models) })}\n`,
);
for await (const line of createInterface({ input: process.stdin })) {
  const job = JSON.parse(line);
  const before = process.cpuUsage();
  const done = await Promise.all(Array.from({ length: job.streams }, () => consume(job)));
  const used = process.cpuUsage(before);
  const result = {
    cpu_s: (used.user + used.system) / 1e6,
    ttft_ms: done.map((one) => one.ttft),
    chars: done.reduce((sum, one) => sum + one.chars, 0),
  };
  process.stdout.write(`${JSON.stringify(result)}\n`);
}
