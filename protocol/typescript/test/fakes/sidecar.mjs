// A stand-in for the sidecar that does what its argument and the methods it is asked say. No dependency on the client.
import { spawn } from "node:child_process";
import { closeSync } from "node:fs";
import { createInterface } from "node:readline";

const behaviour = process.argv[2] ?? "normal";
const send = (message) => process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
const waiting = new Map();
let streams = 0;

if (behaviour === "stubborn") process.on("SIGTERM", () => undefined);
if (behaviour === "stubborn") setInterval(() => undefined, 1000);

const methods = {
  initialize: () => ({
    protocolVersion: behaviour === "another-version" ? 2 : 1,
    serverInfo: { name: "fake", version: "0", build: "test" },
    features: {},
    capabilities: { methods: [], notifications: [], chunks: ["messages", "patch"] },
    database: { path: "", exists: false, schemaVersion: null, writable: false },
  }),
  ping: () => (behaviour === "deaf" ? new Promise(() => undefined) : {}),
  shutdown: () => {
    send({ method: "settings:migrated", params: { improvements: [{ id: "last", title: "words" }] } });
    return null;
  },
  echo: (params) => params ?? null,
  crash: () => {
    process.stderr.write("the last words\n");
    process.exit(3);
  },
  "crash-in-frame": () => {
    process.stdout.write('{"jsonrpc":"2.0","id":1,"resu', () => process.kill(process.pid, "SIGKILL"));
    return new Promise(() => undefined);
  },
  hang: () => new Promise(() => undefined),
  noise: () => {
    process.stdout.write("Give Feedback / Get Help\n");
    return "after";
  },
  flood: () => {
    const chunk = "x".repeat(1 << 16);
    const pour = () => process.stdout.write(chunk, pour);
    pour();
    return new Promise(() => undefined);
  },
  "close-stdin": () => {
    setImmediate(() => {
      process.stdin.destroy(); // lets go of descriptor 0 without closing it
      closeSync(0);
    });
    setInterval(() => undefined, 1000);
    return true;
  },
  child: () => spawn(process.execPath, ["-e", "setInterval(() => 0, 1000)"], { stdio: "inherit" }).pid,
  "ask-host": ({ method, params, cancel }) =>
    new Promise((resolve) => {
      waiting.set("fake-1", resolve);
      send({ id: "fake-1", method, params });
      if (cancel) send({ method: "$/cancelRequest", params: { id: "fake-1" } });
    }),
  fail: ({ code, message, data }) => {
    throw { code, message, data };
  },
  notify: ({ messages }) => {
    for (const { method, params } of messages) send({ method, params });
    return true;
  },
  "get-language-model-providers": () => [{ id: "openai", name: "OpenAI", type: "cloud" }],
  "get-language-models": () => {
    throw { code: -32000, message: 'Provider with ID "nope" not found', data: { code: "NOT_FOUND" } };
  },
  "get-user-settings": () => {
    throw { code: -32000, message: "The settings cannot be read.", data: { code: "SETTINGS_UNREADABLE" } };
  },
  "get-user-budget": () => ({ usedCredits: 1, totalCredits: 2, budgetResetDate: "2026-01-31T12:00:00.000Z" }),
  "delete-custom-model": () => null,
  "chat:count-tokens": () => methods.crash(),
  "chat:cancel": () => true,
  "help:chat:start": ({ sessionId }) => {
    send({ method: "help:chat:response:chunk", params: { sessionId, delta: "Hm", type: "text" } });
    return { ok: true };
  },
  "help:chat:cancel": (session) => ({ ok: session === "s" }),
  "llm:stream": ({ callId, model }) => {
    const say = (seq, part) => send({ method: "llm:part", params: { callId, seq, part } });
    say(0, { type: "text-start", id: "0" });
    say(1, { type: "text-delta", id: "0", delta: "Hello" });
    if (model.name === "gap") say(3, { type: "text-delta", id: "0", delta: "you" });
    if (model.name === "gap") return methods.hang();
    say(2, { type: "text-end", id: "0" });
    say(3, { type: "finish", finishReason: "stop", usage: {} });
    return { finishReason: "stop", usage: {}, warnings: [], model, attempts: [] };
  },
  "chat:stream": ({ chatId, prompt }) => {
    if (prompt === "off") throw { code: -32000, message: "Off.", data: { code: "FEATURE_DISABLED", delegate: "legacyAISDK" } };
    if (prompt === "unknown") throw { code: -32000, message: `Chat not found: ${chatId}`, data: { code: "NOT_FOUND" } };
    const streamId = `stream-${++streams}`;
    const createdAt = "2026-01-31T12:00:00.000Z";
    const row = (id, role, content) => ({ id, chatId, role, content, approvalState: null, commitHash: null, createdAt });
    const owner = { chatId, streamId };
    const chunk = (seq, rest) => send({ method: "chat:response:chunk", params: { ...owner, seq, ...rest } });
    chunk(0, { messages: [row(1, "user", prompt), row(2, "assistant", "")] });
    chunk(1, { streamingMessageId: 2, streamingPatch: { offset: 0, content: "Hello" } });
    if (prompt === "crash") return methods.crash();
    if (prompt === "hang") return methods.hang();
    chunk(2, { streamingMessageId: 2, streamingPatch: { offset: 5, content: ", you.", prefixHash: hash("Hello") } });
    if (prompt === "fail") {
      send({ method: "chat:response:error", params: { ...owner, seq: 3, error: "Sorry, there was an error from the AI: no", code: "NETWORK" } });
      return "error";
    }
    send({ method: "chat:response:end", params: { ...owner, seq: 3, updatedFiles: false } });
    return chatId;
  },
};

function hash(text) {
  let value = 5381;
  for (let index = 0; index < text.length; index += 1) value = (Math.imul(value, 33) ^ text.charCodeAt(index)) >>> 0;
  return value;
}

const cancelled = new Map();
const lines = createInterface({ input: process.stdin });
lines.on("line", async (line) => {
  const { id, method, params, result, error } = JSON.parse(line);
  if (method === undefined) return waiting.get(id)?.({ result, error });
  if (method === "$/cancelRequest") return cancelled.get(params.id)?.();
  if (method === "exit") return process.exit(0);
  if (id === undefined) return undefined;
  const answer = Promise.resolve().then(() => methods[method]?.(Array.isArray(params) ? params[0] : params));
  const cancel = new Promise((_, reject) => cancelled.set(id, () => reject({ code: -32800, message: "Request cancelled" })));
  try {
    send({ id, result: (await Promise.race([answer, cancel])) ?? null });
  } catch (failure) {
    send({ id, error: { code: failure.code ?? -32603, message: failure.message, data: failure.data ?? {} } });
  }
});
process.stdin.on("end", () => {
  if (behaviour !== "stubborn") process.exit(0);
});
