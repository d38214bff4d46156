import assert from "node:assert/strict";
import { test } from "node:test";

import {
  APP_CHANNELS,
  collectLegacyHandlers,
  registerSidecarIpc,
  SidecarClient,
  type RegisterSidecarIpcOptions,
  type SidecarClientOptions,
} from "@scalix/sidecar-client";

import { AppRenderer, FakeIpcMain, FakeSafeStorage, FakeWebContents, fakeSidecar, next } from "./support.js";

const LIMIT = { timeout: 20_000 };

interface App {
  readonly client: SidecarClient;
  readonly ipcMain: FakeIpcMain;
  readonly renderer: AppRenderer;
  readonly webContents: FakeWebContents;
  /** Channels the legacy path was asked, in order. */
  readonly legacyCalls: string[];
  dispose(): void;
}

async function withApp(
  options: {
    client?: Partial<SidecarClientOptions>;
    ipc?: Partial<RegisterSidecarIpcOptions<{ readonly sender: FakeWebContents }>>;
    start?: boolean;
    legacy?: boolean;
  },
  body: (app: App) => Promise<void>,
): Promise<void> {
  const client = new SidecarClient({ ...fakeSidecar(), restart: { initialDelayMs: 10, maxDelayMs: 10 }, ...options.client });
  const ipcMain = new FakeIpcMain();
  const webContents = new FakeWebContents();
  const legacyCalls: string[] = [];
  const legacy = Object.fromEntries(
    APP_CHANNELS.map(({ name }) => [
      name,
      (event: { sender: FakeWebContents }, params: { chatId?: number }) => {
        legacyCalls.push(name);
        if (name === "chat:stream") event.sender.send("chat:response:end", { chatId: params.chatId, updatedFiles: false });
        return `legacy ${name}`;
      },
    ]),
  );
  const registration = registerSidecarIpc({
    ipcMain,
    client,
    webContents,
    ...(options.legacy === false ? {} : { legacy }),
    ...options.ipc,
  });
  const app = { client, ipcMain, renderer: new AppRenderer(ipcMain, webContents), webContents, legacyCalls, dispose: () => registration.dispose() };
  try {
    if (options.start !== false) await client.start();
    await body(app);
  } finally {
    app.dispose();
    await client.stop();
  }
}

test("results are the app's: dates are dates, and nothing is undefined, not null", LIMIT, () =>
  withApp({}, async ({ renderer }) => {
    assert.deepEqual(await renderer.invoke("get-language-model-providers"), [{ id: "openai", name: "OpenAI", type: "cloud" }]);
    assert.equal(await renderer.invoke("delete-custom-model", { providerId: "a", modelApiName: "b" }), undefined);
    assert.deepEqual(await renderer.invoke("get-user-budget"), {
      usedCredits: 1,
      totalCredits: 2,
      budgetResetDate: new Date("2026-01-31T12:00:00.000Z"),
    });
  }));

test("errors read as in the app: logged channels have their prefix, raw ones do not", LIMIT, () =>
  withApp({}, async ({ renderer }) => {
    await assert.rejects(renderer.invoke("get-language-models", { providerId: "nope" }), {
      message:
        "Error invoking remote method 'get-language-models': " +
        'Error: [get-language-models] Error: Provider with ID "nope" not found',
    });
    await assert.rejects(renderer.invoke("get-user-settings"), {
      message: "Error invoking remote method 'get-user-settings': Error: The settings cannot be read.",
    });
  }));

test("a renderer sees whole arrays with dates, the last one complete before the end", LIMIT, () =>
  withApp({}, async ({ renderer, webContents }) => {
    const outcome = await renderer.stream(7, "hi");
    assert.equal(outcome.end?.updatedFiles, false);
    assert.equal(renderer.text(7), "Hello, you.");
    assert.deepEqual(renderer.shown.get(7)?.map(({ createdAt }) => createdAt), Array(2).fill(new Date("2026-01-31T12:00:00.000Z")));
    assert.deepEqual(renderer.toasts, []);
    assert.equal(webContents.sent.at(-1)?.channel, "chat:response:end");
    assert.equal(webContents.payloads("chat:response:chunk").length, 2, "patches within 50 ms are one array");
  }));

test("a renderer that knows patches gets them as they come", LIMIT, () =>
  withApp({ ipc: { rendererChunks: "patch" } }, async ({ renderer, webContents }) => {
    await renderer.invoke("chat:stream", { chatId: 7, prompt: "hi", selectedComponent: null });
    const [first, ...patches] = webContents.payloads("chat:response:chunk") as Record<string, unknown>[];
    assert.ok(first !== undefined && "messages" in first);
    assert.deepEqual(patches.map((chunk) => (chunk["streamingPatch"] as { content: string }).content), ["Hello", ", you."]);
  }));

test("a failed stream is the bare text today's renderer expects, or an object that names its chat", LIMIT, async () => {
  await withApp({}, async ({ renderer }) => {
    assert.deepEqual(await renderer.stream(7, "fail"), { error: "Sorry, there was an error from the AI: no" });
    assert.equal(renderer.text(7), "Hello, you.");
  });
  await withApp({ ipc: { rendererErrors: "object" } }, async ({ renderer, webContents }) => {
    assert.equal(await renderer.invoke("chat:stream", { chatId: 7, prompt: "fail" }), "error");
    const [error] = webContents.payloads("chat:response:error") as Record<string, unknown>[];
    assert.deepEqual([error?.["chatId"], error?.["code"]], [7, "NETWORK"]);
  });
});

test("a stream that never began is an event and the answer error, as in the app", LIMIT, () =>
  withApp({}, async ({ renderer }) => {
    assert.deepEqual(await renderer.stream(9, "unknown"), {
      error: "Sorry, there was an error processing your request: Error: Chat not found: 9",
    });
    assert.equal(await renderer.invoke("chat:stream", { chatId: 9, prompt: "unknown" }), "error");
  }));

test("a crash in mid-stream tells the renderer, which keeps the text; the next prompt works", LIMIT, () =>
  withApp({}, async ({ client, renderer }) => {
    const outcome = await renderer.stream(7, "crash");
    assert.match(outcome.error ?? "", /^Sorry, there was an error from the AI: .*stopped/);
    assert.equal(renderer.text(7), "Hello");
    assert.deepEqual((await renderer.stream(7, "hi")).end?.updatedFiles, false);
    assert.equal(renderer.text(7), "Hello, you.");
    assert.equal(client.state, "ready");
  }));

test("a path that is switched off is the legacy path's, per call, cancel included", LIMIT, () =>
  withApp({}, async ({ renderer, legacyCalls }) => {
    assert.ok((await renderer.stream(7, "off")).end);
    assert.deepEqual(legacyCalls, ["chat:stream"]);
    assert.ok((await renderer.stream(7, "hi")).end);
    assert.deepEqual(legacyCalls, ["chat:stream"]);
    assert.equal(await renderer.invoke("chat:cancel", 7), true);
  }));

test("a cancel goes where its stream runs", LIMIT, async () => {
  const cancelled: number[] = [];
  let finish: (value: unknown) => void = () => undefined;
  const legacy = {
    "chat:stream": () => new Promise((resolve) => (finish = resolve)),
    "chat:cancel": (_event: unknown, chatId: number) => (cancelled.push(chatId), finish("cancelled"), true),
  };
  let on = false;
  await withApp({ ipc: { legacy, enabled: () => on } }, async ({ renderer }) => {
    const running = renderer.invoke("chat:stream", { chatId: 7, prompt: "x" });
    on = true; // switched on while the legacy stream runs
    await renderer.invoke("chat:cancel", 8);
    assert.deepEqual(cancelled, []);
    await renderer.invoke("chat:cancel", 7);
    assert.deepEqual(cancelled, [7]);
    assert.equal(await running, "cancelled");
  });
});

test("a help answer goes to the window that asked, its cancel to where it last began", LIMIT, async () => {
  let on = false;
  await withApp({ ipc: { enabled: () => on } }, async ({ ipcMain, webContents, legacyCalls }) => {
    const window = new FakeWebContents();
    const ask = (channel: string, ...args: unknown[]): Promise<unknown> => ipcMain.invoke(window, channel, ...args);
    await ask("help:chat:start", { sessionId: "s", message: "?" });
    on = true;
    assert.equal(await ask("help:chat:cancel", "s"), "legacy help:chat:cancel");
    assert.deepEqual(await ask("help:chat:start", { sessionId: "s", message: "?" }), { ok: true });
    assert.deepEqual(await ask("help:chat:cancel", "s"), { ok: true });
    assert.deepEqual(legacyCalls, ["help:chat:start", "help:chat:cancel"]);
    assert.deepEqual(window.payloads("help:chat:response:chunk"), [{ sessionId: "s", delta: "Hm", type: "text" }]);
    assert.deepEqual(webContents.sent, []);
  });
});

test("the app's own switch keeps every channel on the legacy path", LIMIT, () =>
  withApp({ ipc: { enabled: () => false }, start: false }, async ({ renderer }) => {
    for (const { name } of APP_CHANNELS) assert.equal(await renderer.invoke(name, {}), `legacy ${name}`);
  }));

test("when the sidecar cannot start, the app goes on with the legacy path in the same session", LIMIT, () =>
  withApp({ client: { command: "/nowhere/scalix-sidecar" }, start: false }, async ({ client, renderer, legacyCalls }) => {
    const early = renderer.invoke("get-language-model-providers");
    await assert.rejects(client.start(), /not found at/);
    assert.equal(await early, "legacy get-language-model-providers");
    for (const { name } of APP_CHANNELS) assert.equal(await renderer.invoke(name, {}), `legacy ${name}`);
    assert.equal(legacyCalls.length, APP_CHANNELS.length + 1);
  }));

test("after a crash loop the legacy path takes over, and a new start brings the sidecar back", LIMIT, () =>
  withApp({ client: { restart: { maxCrashes: 1 } } }, async ({ client, renderer }) => {
    assert.equal(await renderer.invoke("chat:count-tokens", {}), "legacy chat:count-tokens", "a read is asked again");
    assert.equal(client.state, "failed");
    assert.equal(await renderer.invoke("get-language-model-providers"), "legacy get-language-model-providers");
    await client.start();
    assert.notEqual(await renderer.invoke("get-language-model-providers"), "legacy get-language-model-providers");
  }));

test("without a legacy path a missing sidecar is an error in the app's words", LIMIT, () =>
  withApp({ legacy: false, start: false }, async ({ renderer }) => {
    await assert.rejects(renderer.invoke("get-language-model-providers"), {
      message: /Error: \[get-language-model-providers\] Error: The AI process is not running/,
    });
    assert.match((await renderer.stream(1, "hi")).error ?? "", /^Sorry, there was an error processing your request: Error: /);
  }));

test("events go to the window that asked; a closed window is passed over", LIMIT, () =>
  withApp({}, async ({ ipcMain, webContents, client, legacyCalls }) => {
    const second = new FakeWebContents();
    await ipcMain.invoke(second, "chat:stream", { chatId: 7, prompt: "hi" });
    assert.equal(second.payloads("chat:response:end").length, 1);
    assert.deepEqual(webContents.sent, []);
    const running = ipcMain.invoke(second, "chat:stream", { chatId: 7, prompt: "hang" });
    await next(client, "stream-changed", ({ text }) => text === "Hello");
    second.destroyed = true;
    webContents.destroyed = true;
    await client.stop();
    assert.equal(await running, "error");
    assert.deepEqual(legacyCalls, [], "what had been sent is not asked a second time");
    assert.deepEqual(webContents.sent, []);
  }));

test("safeStorage keeps the secrets, as base64; what it cannot open is an error of that secret alone", LIMIT, () => {
  const safeStorage = new FakeSafeStorage();
  return withApp({ ipc: { safeStorage } }, async ({ client }) => {
    const ask = (method: string, params: unknown): Promise<unknown> => client.call("ask-host", { method, params });
    const locked = { id: "a", value: safeStorage.encryptString("sk-ü").toString("base64"), encryptionType: "electron-safe-storage" };
    assert.deepEqual(await ask("host:encrypt-secrets", { secrets: [{ id: "a", plaintext: "sk-ü" }] }), { result: { secrets: [locked] } });
    const broken = { id: "b", value: "AAAA", encryptionType: "electron-safe-storage" };
    const plain = { id: "c", value: "sk-plain", encryptionType: "plaintext" };
    assert.deepEqual(await ask("host:decrypt-secrets", { secrets: [locked, broken, plain] }), {
      result: {
        secrets: [
          { id: "a", plaintext: "sk-ü" },
          { id: "b", error: "Error while decrypting the ciphertext" },
          { id: "c", plaintext: "sk-plain" },
        ],
      },
    });
    safeStorage.available = false;
    assert.deepEqual(await ask("host:encrypt-secrets", { secrets: [{ id: "a", plaintext: "k" }] }), {
      result: { secrets: [{ id: "a", value: "k", encryptionType: "plaintext" }] },
    });
  });
});

test("the app's own registration runs as it is: its handlers of our channels become the legacy path", LIMIT, async () => {
  const ipcMain = new FakeIpcMain();
  const registerIpcHandlers = (): void => {
    for (const { name } of APP_CHANNELS) ipcMain.handle(name, () => `legacy ${name}`);
    ipcMain.handle("open-external-url", () => "opened");
  };
  const legacy = collectLegacyHandlers(ipcMain, registerIpcHandlers);
  assert.deepEqual([...ipcMain.handlers.keys()], ["open-external-url"]);
  assert.ok(!Object.hasOwn(ipcMain, "handle"), "ipcMain is as it was");
  const client = new SidecarClient({ command: "/nowhere" });
  registerSidecarIpc({ ipcMain, client, legacy });
  await client.start().catch(() => undefined);
  const window = new FakeWebContents();
  for (const { name } of APP_CHANNELS) assert.equal(await ipcMain.invoke(window, name, {}), `legacy ${name}`);
  assert.throws(() => collectLegacyHandlers(ipcMain, registerIpcHandlers), /second handler/, "what the app throws is thrown");
  assert.ok(!Object.hasOwn(ipcMain, "handle"));
  assert.equal(await ipcMain.invoke(window, "open-external-url"), "opened");
});

test("dispose leaves no handler and forwards nothing", LIMIT, () =>
  withApp({}, async ({ client, ipcMain, webContents, dispose }) => {
    dispose();
    assert.equal(ipcMain.handlers.size, 0);
    await client.request("chat:stream", { chatId: 7, prompt: "hi" });
    assert.deepEqual(webContents.sent, []);
  }));
