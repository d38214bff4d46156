/** The wire carried by somebody else's code: the stdio transports of the official MCP SDK, on either side. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import type { JSONRPCMessage } from "@modelcontextprotocol/sdk/types.js";
import { safeStorageSecrets, type DecryptSecretsParams } from "@scalix/sidecar-client";

import { Answer, Installation, KEY, NO_SIDECAR } from "./installation.js";
import { fake, withClient } from "./support.js";

type Message = { id?: string | number; method?: string; params?: Record<string, unknown>; result?: Record<string, unknown> };

test("the MCP SDK's client transport talks with the sidecar, both ways", { timeout: 60_000, skip: NO_SIDECAR }, async () => {
  const installation = await Installation.create();
  const { sidecar } = installation;
  const transport = new StdioClientTransport({ ...sidecar, env: sidecar.env as Record<string, string>, stderr: "inherit" });
  const secrets = safeStorageSecrets(installation.safeStorage);
  const answers = new Map<number, (result: Record<string, unknown>) => void>();
  const heard: Message[] = [];
  let ended: () => void = () => undefined;
  const end = new Promise<void>((resolve) => (ended = resolve));
  transport.onmessage = (raw: JSONRPCMessage) => {
    const message = raw as Message;
    heard.push(message);
    if (message.method === "host:decrypt-secrets") {
      const signal = new AbortController().signal;
      const result = secrets["host:decrypt-secrets"](message.params as unknown as DecryptSecretsParams, signal);
      void transport.send({ jsonrpc: "2.0", id: message.id ?? 0, result: result as unknown as Record<string, unknown> });
    } else if (message.method === "chat:response:end") ended();
    else if (message.method === undefined) answers.get(message.id as number)?.(message.result ?? {});
  };
  let lastId = 0;
  const ask = (method: string, params: Record<string, unknown>): Promise<Record<string, unknown>> => {
    const id = ++lastId;
    const answer = new Promise<Record<string, unknown>>((resolve) => answers.set(id, resolve));
    void transport.send({ jsonrpc: "2.0", id, method, params });
    return answer;
  };
  try {
    await transport.start();
    const greeting = await ask("initialize", { protocolVersion: 1, capabilities: { secrets: true, chunks: "patch" } });
    assert.equal(greeting["protocolVersion"], 1);
    assert.deepEqual(await ask("ping", {}), {});
    const [chat = 0] = installation.chats;
    const answer = new Answer(["carried ", "by others"]);
    installation.script(answer);
    // The SDK's own schema takes objects as results only; the chat id that answers this is dropped there.
    void ask("chat:stream", { chatId: chat, prompt: "hi" });
    await end;
    assert.equal((await answer.asked).authorization, `Bearer ${KEY}`);
    const patches = heard.filter(({ method }) => method === "chat:response:chunk").slice(1);
    const text = patches.map(({ params }) => (params?.["streamingPatch"] as { content: string }).content).join("");
    assert.equal(text, "carried by others");
  } finally {
    await transport.close();
    installation.close();
  }
});

test("this client talks with a sidecar built on the MCP SDK's server transport, both ways", { timeout: 20_000 }, () =>
  withClient(
    {
      command: process.execPath,
      args: [fake("mcp-sidecar.mjs")],
      hostHandlers: {
        "host:check-problems": ({ response }) => ({
          problems: [{ file: response, line: 1, column: 2, code: 3, message: "😀\u2028" }],
        }),
      },
    },
    async (client) => {
      await client.start();
      assert.deepEqual(await client.call("ask", { chatId: 1, response: "a.ts" }), {
        problems: [{ file: "a.ts", line: 1, column: 2, code: 3, message: "😀\u2028" }],
      });
    },
  ));
