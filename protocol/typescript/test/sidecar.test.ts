import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import {
  registerSidecarIpc,
  SidecarClient,
  type LegacyHandlers,
  type RendererLike,
  type SidecarClientOptions,
} from "@scalix/sidecar-client";

import { Answer, CANCELLED, Installation, KEY, NO_SIDECAR } from "./installation.js";
import { AppRenderer, FakeIpcMain, FakeWebContents, gone, next } from "./support.js";

const REAL = { timeout: 60_000, skip: NO_SIDECAR };

interface App {
  readonly installation: Installation;
  readonly client: SidecarClient;
  readonly renderer: AppRenderer;
  readonly webContents: FakeWebContents;
}

/** The whole app but its window: the real sidecar behind the app's channels. */
async function withApp(
  body: (app: App) => Promise<void>,
  options: Partial<SidecarClientOptions> & { legacy?: LegacyHandlers<{ readonly sender: RendererLike }> } = {},
): Promise<void> {
  const { legacy = {}, ...rest } = options;
  const installation = await Installation.create();
  const { sidecar } = installation;
  const client = new SidecarClient({
    ...sidecar,
    restart: { initialDelayMs: 10 },
    ...rest,
    env: { ...sidecar.env, ...rest.env },
  });
  const ipcMain = new FakeIpcMain();
  const webContents = new FakeWebContents();
  const renderer = new AppRenderer(ipcMain, webContents);
  registerSidecarIpc({ ipcMain, client, webContents, safeStorage: installation.safeStorage, legacy });
  try {
    await client.start();
    await body({ installation, client, renderer, webContents });
  } finally {
    await client.stop();
    installation.close();
  }
}

test("a prompt is answered, shown and saved, with a key that only safeStorage can open", REAL, () =>
  withApp(async ({ installation, renderer, webContents }) => {
    const [chat = 0] = installation.chats;
    const answer = new Answer(["Grüße", " 😀", " aus <scalix-write path=\"a>b\">", "</scalix-write>"]);
    installation.script(answer);
    const { end } = await renderer.stream(chat, "hi");
    assert.equal(end?.updatedFiles, false);
    assert.equal(end?.["wasCancelled"], false);
    assert.equal((await answer.asked).authorization, `Bearer ${KEY}`);
    const text = 'Grüße 😀 aus <scalix-write path="a＞b"></scalix-write>';
    assert.equal(renderer.text(chat), text);
    assert.deepEqual(installation.rows(chat), [["user", "hi"], ["assistant", text]]);
    assert.ok(renderer.shown.get(chat)?.every(({ createdAt }) => createdAt instanceof Date));
    assert.deepEqual(renderer.toasts, []);
    assert.equal(webContents.payloads("chat:response:end").length, 1);
  }));

test("a cancel from the renderer ends the call upstream and keeps the text", REAL, () =>
  withApp(async ({ installation, client, renderer }) => {
    const [chat = 0] = installation.chats;
    const answer = new Answer(["Once upon"], true);
    installation.script(answer);
    const shown = next(client, "stream-changed", ({ text }) => text === "Once upon");
    const outcome = renderer.stream(chat, "hi");
    await shown;
    assert.equal(await renderer.invoke("chat:cancel", chat), true);
    assert.equal((await outcome).end?.["wasCancelled"], true);
    await answer.hungUp;
    assert.deepEqual(installation.rows(chat).at(-1), ["assistant", `Once upon\n\n${CANCELLED}`]);
    installation.script(new Answer(["again"]));
    assert.ok((await renderer.stream(chat, "more")).end);
  }));

test("an AbortSignal cancels a stream, which is answered with its chat", REAL, () =>
  withApp(async ({ installation, client }) => {
    const [chat = 0] = installation.chats;
    installation.script(new Answer(["Once"], true));
    const controller = new AbortController();
    const end = next(client, "chat:response:end");
    const shown = next(client, "stream-changed", ({ text }) => text === "Once");
    const answered = client
      .request("chat:stream", { chatId: chat, prompt: "hi" }, { signal: controller.signal })
      .catch((error: { code: string }) => error.code);
    await shown;
    controller.abort();
    assert.equal((await end).wasCancelled, true);
    assert.ok([chat, "CANCELLED"].includes(await answered));
  }));

test("two chats stream at once, each to its own end", REAL, () =>
  withApp(async ({ installation, renderer }) => {
    const [one = 0, two = 0] = installation.chats;
    const slow = new Answer(["slow"], true);
    installation.script(slow);
    const first = renderer.stream(one, "slow");
    await slow.asked;
    installation.script(new Answer(["quick"]));
    assert.ok((await renderer.stream(two, "quick")).end);
    assert.equal(renderer.text(two), "quick");
    slow.release();
    assert.ok((await first).end);
    assert.equal(renderer.text(one), "slow");
  }));

test("a refused key is the app's own sentence", REAL, () =>
  withApp(async ({ installation, renderer }) => {
    const [chat = 0] = installation.chats;
    installation.script(new Answer([], false, 401));
    const { error } = await renderer.stream(chat, "hi");
    assert.match(error ?? "", /^Sorry, there was an error from the AI: .*The key is not valid\./s);
  }));

test("errors of the other channels read as in the app", REAL, () =>
  withApp(async ({ renderer }) => {
    await assert.rejects(renderer.invoke("get-language-models", { providerId: "nope" }), {
      message:
        "Error invoking remote method 'get-language-models': " +
        'Error: [get-language-models] Error: Provider with ID "nope" not found',
    });
    await assert.rejects(renderer.invoke("get-language-models"), /Error: \[get-language-models\] Error: Invalid parameters: providerId \(string\) is required\.$/);
    await assert.rejects(renderer.invoke("create-custom-language-model", { displayName: "x" }), /Error: Model API name is required$/);
    assert.deepEqual(await renderer.stream(4711, "hi"), {
      error: "Sorry, there was an error processing your request: Error: Chat not found: 4711",
    });
  }));

test("providers and models come as the app shows them", REAL, () =>
  withApp(async ({ renderer }) => {
    const providers = (await renderer.invoke("get-language-model-providers")) as { id: string; type: string }[];
    assert.deepEqual([providers[0]?.id, providers.at(-1)?.id], ["openai", "custom::testing"]);
    const models = (await renderer.invoke("get-language-models-by-providers")) as Record<string, { apiName: string }[]>;
    assert.deepEqual(models["custom::testing"]?.map(({ apiName }) => apiName), ["test-model"]);
    const added = { apiName: "second", displayName: "Second", providerId: "custom::testing" };
    assert.equal(await renderer.invoke("create-custom-language-model", added), undefined);
    const after = (await renderer.invoke("get-language-models", { providerId: "custom::testing" })) as unknown[];
    assert.equal(after.length, 2);
  }));

test("settings reach the renderer in plain text and the disk locked", REAL, () =>
  withApp(async ({ installation, renderer }) => {
    type Settings = { providerSettings: Record<string, { apiKey?: { value: string } }> };
    const settings = (await renderer.invoke("get-user-settings")) as Settings;
    assert.equal(settings.providerSettings["custom::testing"]?.apiKey?.value, KEY);
    const providerSettings = { ...settings.providerSettings, openai: { apiKey: { value: "sk-new" } } };
    const written = (await renderer.invoke("set-user-settings", { providerSettings })) as Settings;
    assert.equal(written.providerSettings["openai"]?.apiKey?.value, "sk-new");
    const onDisk = readFileSync(installation.settingsFile, "utf8");
    assert.ok(!onDisk.includes("sk-new") && !onDisk.includes(KEY));
    assert.ok(onDisk.includes(installation.safeStorage.encryptString("sk-new").toString("base64")));
  }));

test("a sidecar killed in mid-stream: the text shown is reported and saved, the renderer told, the next prompt answered", REAL, () =>
  withApp(async ({ installation, client, renderer }) => {
    const [chat = 0] = installation.chats;
    installation.script(new Answer(["Once upon a time"], true));
    const shown = next(client, "stream-changed", ({ text }) => text === "Once upon a time");
    const interrupted = next(client, "stream-interrupted");
    const outcome = renderer.stream(chat, "hi");
    await shown;
    // Written at most every 150 ms: the row is seen before the process is killed.
    while (installation.rows(chat).at(-1)?.[1] !== "Once upon a time");
    process.kill(client.pid ?? 0, "SIGKILL");
    assert.match((await outcome).error ?? "", /^Sorry, there was an error from the AI: /);
    const report = await interrupted;
    assert.deepEqual([report.chatId, report.text], [chat, "Once upon a time"]);
    assert.equal(renderer.text(chat), "Once upon a time");
    assert.ok(installation.rows(chat).at(-1)?.[1].startsWith("Once upon a time"));
    installation.script(new Answer(["here again"]));
    assert.ok((await renderer.stream(chat, "more")).end);
    assert.equal(renderer.text(chat), "here again");
  }));

test("a stop in mid-stream saves the text and ends with exit code 0", REAL, () =>
  withApp(async ({ installation, client, renderer }) => {
    const [chat = 0] = installation.chats;
    installation.script(new Answer(["Once"], true));
    const shown = next(client, "stream-changed", ({ text }) => text === "Once");
    const outcome = renderer.stream(chat, "hi");
    await shown;
    const { pid } = client;
    const exit = await client.stop();
    assert.deepEqual([exit?.exitCode, exit?.signal], [0, null], exit?.stderrTail);
    assert.equal((await outcome).end?.["wasCancelled"], true);
    assert.deepEqual(installation.rows(chat).at(-1), ["assistant", `Once\n\n${CANCELLED}`]);
    await gone(pid ?? 0);
  }));

test("switched off by the environment, chats go to the legacy path", REAL, async () => {
  const prompts: string[] = [];
  const legacy: LegacyHandlers<{ readonly sender: RendererLike }> = {
    "chat:stream": (event, { chatId, prompt }: { chatId: number; prompt: string }) => {
      prompts.push(prompt);
      event.sender.send("chat:response:end", { chatId, updatedFiles: false });
      return chatId;
    },
  };
  await withApp(
    async ({ installation, renderer }) => {
      const [chat = 0] = installation.chats;
      assert.ok((await renderer.stream(chat, "old way")).end);
      assert.deepEqual(prompts, ["old way"]);
      assert.deepEqual(installation.rows(chat), []);
    },
    { legacy, env: { LITE_LLM_ENABLED: "false" } },
  );
});
