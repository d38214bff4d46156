/** The AI SDK itself, versions 5, 6 and 7, on top of the real sidecar and a provider that speaks the vendors' bytes. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { createScalixProvider, safeStorageSecrets, SidecarClient, type ModelRef, type SidecarClientOptions } from "@scalix/sidecar-client";
import * as ai5 from "ai5";
import { MockLanguageModelV2, simulateReadableStream } from "ai5/test";
import * as ai6 from "ai6";
import * as ai7 from "ai7";
import { z } from "zod";

import { Answer, Frames, Installation, NO_SIDECAR } from "./installation.js";
import { next, withClient } from "./support.js";
import { anthropic, gemini, responses } from "./vendors.js";

type Ai = typeof ai5;
type Scalix = (model: string) => ai5.LanguageModel;

const REAL = { timeout: 60_000, skip: NO_SIDECAR };
const CLAUDE = "anthropic/claude-sonnet-4-20250514";
const CUSTOM = "custom::testing/test-model";
const PNG = Uint8Array.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

interface Place {
  readonly ai: Ai;
  readonly client: SidecarClient;
  readonly scalix: Scalix;
  readonly installation: Installation;
}

/** A sidecar of its own for one test. */
async function withPlace(sdk: Sdk, body: (place: Place) => Promise<void>, options: Partial<SidecarClientOptions> = {}): Promise<void> {
  const place = await open(sdk, options);
  try {
    await body(place);
  } finally {
    await close(place);
  }
}

async function open(sdk: Sdk, options: Partial<SidecarClientOptions> = {}): Promise<Place> {
  const installation = await Installation.create();
  const { vendors, safeStorage } = installation;
  const client = new SidecarClient({
    ...vendors,
    hostHandlers: safeStorageSecrets(safeStorage),
    restart: { initialDelayMs: 10 },
    ...options,
    env: { ...vendors.env, ...options.env },
  });
  await client.start();
  return { ai: sdk.ai, client, scalix: sdk.provide(client), installation };
}

async function close({ client, installation }: Place): Promise<void> {
  await client.stop();
  installation.close();
}

interface Sdk {
  readonly name: string;
  readonly ai: Ai;
  provide(client: SidecarClient): Scalix;
  /** A picture in a tool's output, in this version's words. */
  picture(data: string): { type: "media"; data: string; mediaType: string };
}

const mediaType = "image/png";
const v3 = (client: SidecarClient): Scalix =>
  createScalixProvider(client, { specificationVersion: "v3" }) as unknown as Scalix;

// What is used of the three is the same but for details of their types; each model is assigned to its own type below.
const SDKS: readonly Sdk[] = [
  {
    name: "ai 5",
    ai: ai5,
    provide: (client) => createScalixProvider(client),
    picture: (data) => ({ type: "media", data, mediaType }),
  },
  {
    name: "ai 6",
    ai: ai6 as unknown as Ai,
    provide: v3,
    picture: (data) => ({ type: "image-data", data, mediaType }) as never,
  },
  {
    name: "ai 7",
    ai: ai7 as unknown as Ai,
    provide: v3,
    picture: (data) => ({ type: "file", data: { type: "data", data }, mediaType }) as never,
  },
];
(globalThis as { AI_SDK_LOG_WARNINGS?: boolean }).AI_SDK_LOG_WARNINGS = false;

test("the models are what each version calls a language model", () => {
  const client = new SidecarClient({ command: "/nowhere" });
  const five: ai5.LanguageModel = createScalixProvider(client)(CLAUDE);
  const six: ai6.LanguageModel = createScalixProvider(client, { specificationVersion: "v3" })(CLAUDE);
  const seven: ai7.LanguageModel = createScalixProvider(client, { specificationVersion: "v3" })(CLAUDE);
  const registered = ai5.createProviderRegistry({ scalix: createScalixProvider(client) }).languageModel(`scalix:${CLAUDE}`);
  for (const model of [five, six, seven, registered] as { modelId: string; provider: string }[]) {
    assert.deepEqual([model.modelId, model.provider], [CLAUDE, "scalix.anthropic"]);
  }
});

test("what names no model is said at once, in the SDK's own error", () => {
  const scalix = createScalixProvider(new SidecarClient({ command: "/nowhere" }));
  for (const name of ["claude", "/x", "anthropic/", ""]) {
    assert.throws(() => scalix(name), (error) => ai5.NoSuchModelError.isInstance(error) && ai6.NoSuchModelError.isInstance(error));
  }
  assert.throws(() => scalix.imageModel("dall-e"), (error) => ai7.NoSuchModelError.isInstance(error));
  assert.equal(scalix({ provider: "auto", name: "auto" }).modelId, "auto/auto");
  assert.equal(scalix("openrouter/qwen/qwen3-coder").modelId, "openrouter/qwen/qwen3-coder");
});

test("where the sidecar is off or not running, the app's own model answers; without one it is an error", REAL, async () => {
  const asked: string[] = [];
  const own = new MockLanguageModelV2({
    doGenerate: () => {
      asked.push("own");
      const usage = { inputTokens: 1, outputTokens: 1, totalTokens: 2 };
      return Promise.resolve({ content: [{ type: "text", text: "own" }], finishReason: "stop", usage, warnings: [] });
    },
    doStream: () => Promise.resolve({ stream: simulateReadableStream<never>({ chunks: [] }) }),
  });
  const dead = new SidecarClient({ command: "/nowhere" });
  const ask = async (model: ai5.LanguageModel): Promise<string> => (await ai5.generateText({ model, prompt: "hi" })).text;
  const names: ModelRef[] = [];
  const legacy = (model: ModelRef): MockLanguageModelV2 => (names.push(model), own);
  assert.equal(await ask(createScalixProvider(dead, { legacy })(CLAUDE)), "own");
  assert.deepEqual(names, [{ provider: "anthropic", name: "claude-sonnet-4-20250514" }]);
  assert.deepEqual((await createScalixProvider(dead, { legacy })(CLAUDE).doStream({ prompt: [] })).stream instanceof ReadableStream, true);
  await assert.rejects(ask(createScalixProvider(dead)(CLAUDE)), (error) => {
    assert.ok(ai5.APICallError.isInstance(error));
    return !error.isRetryable && /not running/.test(error.message);
  });
  const off = { env: { LITE_LLM_ENABLED: "false" } };
  await withPlace(SDKS[0] as Sdk, async ({ client }) => assert.equal(await ask(createScalixProvider(client, { legacy })(CLAUDE)), "own"), off);
  await withPlace(SDKS[0] as Sdk, async ({ client, installation }) => {
    installation.script(new Frames(anthropic([{ text: ["the sidecar"] }])));
    let on = false;
    const model = createScalixProvider(client, { legacy, enabled: () => on })(CLAUDE);
    assert.equal(await ask(model), "own");
    on = true;
    assert.equal(await ask(model), "the sidecar");
    installation.script(new Answer([], false, 401));
    await assert.rejects(ask(model), ai5.APICallError.isInstance, "a provider's refusal is no reason to ask twice");
  });
  assert.equal(asked.length, 3);
});

test("a reader that leaves closes the upstream connection", REAL, () =>
  withPlace(SDKS[0] as Sdk, async ({ client, installation }) => {
    const answer = new Answer(["Once upon"], true);
    installation.script(answer);
    const prompt = [{ role: "user" as const, content: [{ type: "text", text: "hi" }] }];
    const { stream } = await createScalixProvider(client)(CUSTOM).doStream({ prompt });
    await stream.cancel();
    await answer.hungUp;
  }));

test("a part that is lost is an error, not a text with a hole", { timeout: 20_000 }, () =>
  withClient({}, async (client) => {
    await client.start();
    await assert.rejects(ai5.generateText({ model: createScalixProvider(client)("fake/gap"), prompt: "hi" }), /part of the answer was lost/);
    assert.equal((await ai5.generateText({ model: createScalixProvider(client)("fake/whole"), prompt: "hi" })).text, "Hello");
  }));

for (const sdk of SDKS) describe(sdk.name, () => {
  let shared: Place | undefined;
  before(async () => (shared = NO_SIDECAR === false ? await open(sdk) : undefined));
  after(async () => shared && close(shared));
  /** In a sidecar all share, or in one of its own where it is to suffer. */
  const check = (what: string, body: (place: Place) => Promise<void>, own?: Partial<SidecarClientOptions>): void => {
    void test(what, REAL, () => (own === undefined ? body(shared as Place) : withPlace(sdk, body, own)));
  };

  check("streamText streams text, settings and headers reach the provider, usage and model come back", async ({ ai, scalix, installation }) => {
    const answer = new Frames(anthropic([{ text: ["Grü", "ße 😀"] }]));
    installation.script(answer);
    const result = ai.streamText({
      model: scalix(CLAUDE),
      system: "Be brief.",
      prompt: "hi",
      temperature: 0.5,
      maxOutputTokens: 100,
      headers: { "x-test": "yes" },
    });
    const pieces: string[] = [];
    for await (const piece of result.textStream) pieces.push(piece);
    assert.equal(pieces.join(""), "Grüße 😀");
    assert.equal(await result.finishReason, "stop");
    const usage = await result.usage;
    assert.deepEqual([usage.inputTokens, usage.outputTokens, usage.totalTokens], [16, 30, 46]);
    if (sdk.name === "ai 5") assert.equal(usage.cachedInputTokens, 4);
    else {
      const { inputTokenDetails } = usage as unknown as { inputTokenDetails: Record<string, number> };
      assert.deepEqual({ ...inputTokenDetails }, { noCacheTokens: 10, cacheReadTokens: 4, cacheWriteTokens: 2 });
      assert.equal(await (result as unknown as { rawFinishReason: Promise<string> }).rawFinishReason, "end_turn");
    }
    assert.equal((await result.response).modelId, "claude-sonnet-4-20250514");
    assert.deepEqual(await result.warnings, []);
    const { body, headers } = await answer.asked;
    assert.deepEqual([body.temperature, body.max_tokens, body.system[0].text], [0.5, 100, "Be brief."]);
    assert.equal(headers["x-test"], "yes");
    const metadata = (await result.providerMetadata) as { scalix: { attempts: { outcome: string }[] } };
    assert.equal(metadata.scalix.attempts[0]?.outcome, "ok");
  });

  check("generateText, from every dialect", async ({ ai, scalix, installation }) => {
    const signed = anthropic([{ thinking: ["hm"], signature: "c2lnbmVk" }, { text: ["from Anthropic"] }]);
    installation.script(new Frames(signed), new Frames(responses(["from ", "OpenAI"])), new Frames(gemini(["hm"], ["from ", "Gemini"])), new Answer(["from ", "elsewhere"]));
    const ask = async (model: string): Promise<string[]> => {
      const { text, reasoningText = "" } = await ai.generateText({ model: scalix(model), prompt: "hi" });
      return [text, reasoningText];
    };
    const { text, reasoning } = await ai.generateText({ model: scalix(CLAUDE), prompt: "hi" });
    assert.deepEqual([text, reasoning[0]?.text], ["from Anthropic", "hm"]);
    assert.deepEqual(reasoning[0]?.providerMetadata, { anthropic: { signature: "c2lnbmVk" } });
    assert.deepEqual(await ask("openai/gpt-4.1"), ["from OpenAI", ""]);
    assert.deepEqual(await ask("google/gemini-2.5-flash"), ["from Gemini", "hm"]);
    assert.deepEqual(await ask(CUSTOM), ["from elsewhere", ""]);
  });

  check("a tool loop: arguments as they are written, thinking sent back signed, the answer of the second step", async ({ ai, scalix, installation }) => {
    const first = new Frames(
      anthropic(
        [
          { thinking: ["let me ", "look"], signature: "c2lnbmVk" },
          { text: ["Looking."] },
          { call: "weather", id: "toolu_1", input: ['{"city":', '"Rome"}'] },
          { call: "weather", id: "toolu_2", input: ['{"city":"Oslo"}'] },
        ],
        "tool_use",
      ),
    );
    const second = new Frames(anthropic([{ text: ["Sunny there."] }]));
    installation.script(first, second);
    const result = ai.streamText({
      model: scalix(CLAUDE),
      prompt: "weather?",
      tools: {
        weather: ai.tool({
          description: "The weather",
          inputSchema: z.object({ city: z.string() }),
          execute: ({ city }) => Promise.resolve(city === "Rome" ? { degrees: 30 } : `cold in ${city}`),
        }),
      },
      stopWhen: ai.stepCountIs(3),
      providerOptions: { anthropic: { thinking: { type: "enabled", budgetTokens: 2000 } } },
    });
    const kinds: string[] = [];
    const written: string[] = [];
    for await (const part of result.fullStream) {
      if (part.type === "tool-input-delta") written.push((part as unknown as { delta: string }).delta);
      if (kinds.at(-1) !== part.type) kinds.push(part.type);
    }
    assert.equal(written.join(""), '{"city":"Rome"}{"city":"Oslo"}');
    assert.ok(kinds.join(" ").includes("reasoning-start reasoning-delta reasoning-end text-start"), kinds.join(" "));
    const steps = await result.steps;
    assert.deepEqual(steps.map(({ finishReason }) => finishReason), ["tool-calls", "stop"]);
    assert.deepEqual(steps.map(({ text }) => text), ["Looking.", "Sunny there."]);
    assert.equal(steps[0]?.reasoningText, "let me look");
    assert.equal((await result.totalUsage).outputTokens, 60);
    const { body } = await second.asked;
    assert.deepEqual(body.messages[1].content, [
      { type: "thinking", thinking: "let me look", signature: "c2lnbmVk" },
      { type: "text", text: "Looking." },
      { type: "tool_use", id: "toolu_1", name: "weather", input: { city: "Rome" } },
      { type: "tool_use", id: "toolu_2", name: "weather", input: { city: "Oslo" } },
    ]);
    assert.deepEqual(body.messages[2].content.map((block: { content: string }) => block.content), ['{"degrees":30}', "cold in Oslo"]);
    assert.equal((await first.asked).body.thinking.budget_tokens, 2000);
  });

  check("a tool may give back an image; a tool that throws is an error the model reads", async ({ ai, scalix, installation }) => {
    const called = anthropic(
      [
        { call: "look", id: "toolu_1", input: ["{}"] },
        { call: "fail", id: "toolu_2", input: ["{}"] },
      ],
      "tool_use",
    );
    const second = new Frames(anthropic([{ text: ["A picture."] }]));
    installation.script(new Frames(called), second);
    const image = Buffer.from(PNG).toString("base64");
    const { text } = await ai.generateText({
      model: scalix(CLAUDE),
      prompt: "look",
      tools: {
        look: ai.tool({
          inputSchema: z.object({}),
          execute: () => Promise.resolve("seen"),
          toModelOutput: () => ({
            type: "content",
            value: [
              { type: "text", text: "Here:" },
              sdk.picture(image),
            ],
          }),
        }),
        fail: ai.tool({ inputSchema: z.object({}), execute: (): Promise<string> => Promise.reject(new Error("no such file")) }),
      },
      stopWhen: ai.stepCountIs(2),
    });
    assert.equal(text, "A picture.");
    const [looked, failed] = (await second.asked).body.messages[2].content;
    assert.deepEqual(looked.content, [
      { type: "text", text: "Here:" },
      { type: "image", source: { type: "base64", media_type: "image/png", data: image } },
    ]);
    assert.equal(failed.is_error, true);
    assert.match(failed.content, /no such file/);
  });

  check("generateObject gives an object that fits its schema", async ({ ai, scalix, installation }) => {
    const answer = new Answer(['{"city":', '"Rome"}']);
    installation.script(answer);
    const { object } = await ai.generateObject({ model: scalix(CUSTOM), schema: z.object({ city: z.string() }), prompt: "where?" });
    assert.deepEqual(object, { city: "Rome" });
    const { response_format: format } = (await answer.asked).body;
    assert.equal(format.type, "json_schema");
    assert.deepEqual(format.json_schema.schema.required, ["city"]);
  });

  check("images go along, whatever they are given as", async ({ ai, scalix, installation }) => {
    const answer = new Answer(["a dot"]);
    installation.script(answer);
    const data = `data:image/png;base64,${Buffer.from(PNG).toString("base64")}`;
    await ai.generateText({
      model: scalix(CUSTOM),
      messages: [
        {
          role: "user",
          content: [
            { type: "text", text: "What is it?" },
            { type: "image", image: PNG },
            { type: "file", data: new URL(data), mediaType: "image/png" },
          ],
        },
      ],
    });
    const [message] = (await answer.asked).body.messages;
    assert.deepEqual(message.content.slice(1).map((part: { image_url: { url: string } }) => part.image_url.url), [data, data]);
  });

  check("what the model will not do is a warning", async ({ ai, scalix, installation }) => {
    installation.script(new Frames(anthropic([{ text: ["hi"] }])));
    const { warnings } = await ai.generateText({ model: scalix(CLAUDE), prompt: "hi", seed: 7 });
    const named = (warnings as { setting?: string; feature?: string }[]).map(({ setting, feature }) => setting ?? feature);
    assert.deepEqual(named, ["seed"]);
  });

  check("an abort in mid-stream closes the upstream connection and ends the call; others go on", async ({ ai, scalix, installation }) => {
    const other = new Answer(["go ", "on"], true);
    const stopped = new Answer(["Once upon"], true);
    const controller = new AbortController();
    installation.script(other);
    const going = ai.generateText({ model: scalix(CUSTOM), prompt: "b" });
    await other.asked;
    installation.script(stopped);
    const result = ai.streamText({ model: scalix(CUSTOM), prompt: "a", abortSignal: controller.signal });
    const kinds: string[] = [];
    for await (const part of result.fullStream) {
      kinds.push(part.type);
      if (part.type === "text-delta") controller.abort();
    }
    assert.equal(kinds.at(-1), "abort");
    await stopped.hungUp;
    other.release();
    assert.equal((await going).text, "go on");
  });

  check("an abort before the first token rejects with the signal's reason; one that comes first asks nobody", async ({ ai, scalix, installation }) => {
    const silent = new Answer([], true);
    installation.script(silent);
    const before = installation.requests;
    const controller = new AbortController();
    const waiting = ai.generateText({ model: scalix(CUSTOM), prompt: "a", abortSignal: controller.signal });
    await silent.asked;
    controller.abort();
    await assert.rejects(waiting, { name: "AbortError" });
    await silent.hungUp;
    await assert.rejects(ai.generateText({ model: scalix(CUSTOM), prompt: "a", abortSignal: controller.signal }), { name: "AbortError" });
    assert.equal(installation.requests, before + 1);
  });

  check("a refused key is an APICallError with the provider's status and sentence, and is not repeated", async ({ ai, scalix, installation }) => {
    installation.script(new Answer([], false, 401));
    const before = installation.requests;
    const error: unknown = await ai.generateText({ model: scalix(CUSTOM), prompt: "hi" }).catch((reason: unknown) => reason);
    assert.ok(ai.APICallError.isInstance(error), String(error));
    assert.deepEqual([error.statusCode, error.isRetryable], [401, false]);
    assert.match(error.message, /The key is not valid\./);
    assert.match(error.responseBody ?? "", /invalid_api_key/);
    assert.equal((error.data as { code: string }).code, "AUTHENTICATION_FAILED");
    assert.equal(installation.requests, before + 1);
  });

  check("an overloaded provider is asked three times in all: the sidecar repeats, the SDK does not", async ({ ai, scalix, installation }) => {
    const busy = (): Frames => new Frames([JSON.stringify({ error: { message: "Overloaded." } })], { status: 503 });
    installation.script(busy(), busy(), busy());
    const error: unknown = await ai.generateText({ model: scalix(CUSTOM), prompt: "hi" }).catch((reason: unknown) => reason);
    assert.ok(ai.APICallError.isInstance(error), String(error));
    assert.deepEqual([error.statusCode, installation.requests], [503, 3]);
  }, {});

  check("a stream that breaks reports its error, keeps what came, and finishes as failed", async ({ ai, scalix, installation }) => {
    // The frames that say how it ended are missing.
    installation.script(new Frames(anthropic([{ text: ["half of", " it"] }]).slice(0, -1), { cut: true }));
    const errors: unknown[] = [];
    const result = ai.streamText({ model: scalix(CLAUDE), prompt: "hi", onError: ({ error }) => void errors.push(error) });
    const pieces: string[] = [];
    for await (const part of result.fullStream) if (part.type === "text-delta") pieces.push((part as unknown as { text: string }).text);
    assert.equal(pieces.join(""), "half of it");
    assert.equal(await result.finishReason, "error");
    assert.ok(ai.APICallError.isInstance(errors[0]));
    assert.equal((errors[0].data as { code: string }).code, "STREAM_INTERRUPTED");
  }, {});

  check("twenty calls at once, each with its own answer", async ({ ai, scalix, installation }) => {
    const answers = Array.from({ length: 20 }, (_, index) => new Answer([`${index}:`, "x".repeat(index)], true));
    const texts = [];
    for (const [index, answer] of answers.entries()) {
      installation.script(answer);
      texts.push(ai.streamText({ model: scalix(CUSTOM), prompt: String(index) }).text);
      await answer.asked;
    }
    for (const answer of answers.toReversed()) answer.release();
    assert.deepEqual(await Promise.all(texts), answers.map((_, index) => `${index}:${"x".repeat(index)}`));
  });

  check("a sidecar that dies in mid-stream is an error of that call; the next one finds it again", async ({ ai, client, scalix, installation }) => {
    installation.script(new Answer(["Once upon"], true), new Answer(["here again"]));
    const errors: unknown[] = [];
    const result = ai.streamText({ model: scalix(CUSTOM), prompt: "hi", onError: ({ error }) => void errors.push(error) });
    for await (const part of result.fullStream) if (part.type === "text-delta") process.kill(client.pid ?? 0, "SIGKILL");
    assert.ok(ai.APICallError.isInstance(errors[0]));
    assert.match(errors[0].message, /stopped unexpectedly/);
    assert.equal((await ai.generateText({ model: scalix(CUSTOM), prompt: "hi" })).text, "here again");
  }, {});

  check("a sidecar that dies before the first token is asked again by the SDK", async ({ ai, client, scalix, installation }) => {
    const silent = new Answer([], true);
    installation.script(silent, new Answer(["second try"]));
    const text = ai.generateText({ model: scalix(CUSTOM), prompt: "hi" });
    await silent.asked;
    const back = next(client, "ready");
    process.kill(client.pid ?? 0, "SIGKILL");
    await back;
    assert.equal((await text).text, "second try");
  }, {});

  check("a path that is switched off is an error at once that names who should serve", async ({ ai, scalix, installation }) => {
    const error: unknown = await ai.generateText({ model: scalix(CUSTOM), prompt: "hi" }).catch((reason: unknown) => reason);
    assert.ok(ai.APICallError.isInstance(error), String(error));
    assert.equal((error.data as { delegate: string }).delegate, "legacyAISDK");
    assert.equal(installation.requests, 0);
  }, { env: { LITE_LLM_ENABLED: "false" } });
});
