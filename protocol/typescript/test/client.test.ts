import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { test } from "node:test";
import { pathToFileURL } from "node:url";

import {
  RequestCancelled,
  RequestFailed,
  RequestTimedOut,
  RequestTooLarge,
  SidecarCrashed,
  SidecarStopped,
  SidecarUnavailable,
} from "@scalix/sidecar-client";

import { fake, gone, isAlive, next, PACKAGE, withClient } from "./support.js";

const LIMIT = { timeout: 20_000 };
const FAST = { restart: { initialDelayMs: 10, maxDelayMs: 20 } } as const;

test("a request is answered, whatever characters it holds", LIMIT, () =>
  withClient({}, async (client) => {
    await client.start();
    const text = "line\nbreak \u2028 \u0085 😀 \u0000 ü";
    assert.deepEqual(await client.call("echo", { text }), { text });
    assert.deepEqual(await client.request("ping"), {});
  }));

test("an error answer carries its code, kind and data", LIMIT, () =>
  withClient({}, async (client) => {
    await client.start();
    const data = { code: "RATE_LIMIT_EXCEEDED", kind: "rate_limited", retryable: true, scope: "tier", retryAfterMs: 5 };
    const error = await client.call("fail", { code: -32000, message: "Slow down.", data }).catch((reason: unknown) => reason);
    assert.ok(error instanceof RequestFailed);
    assert.deepEqual(
      [error.message, error.rpcCode, error.code, error.kind, error.retryable, error.data["scope"]],
      ["Slow down.", -32000, "RATE_LIMIT_EXCEEDED", "rate_limited", true, "tier"],
    );
  }));

test("a call made while it starts waits for it; one without a start is refused", LIMIT, () =>
  withClient({}, async (client) => {
    await assert.rejects(client.request("ping"), SidecarUnavailable);
    const started = client.start();
    assert.deepEqual(await client.request("ping"), {});
    assert.equal(await client.start(), await started);
  }));

test("a call that waits for a start that hangs heeds its signal and its time-out", LIMIT, () =>
  withClient({ args: ["-e", "setInterval(() => 0, 1000)"] }, async (client) => {
    const started = client.start().catch((error: unknown) => error);
    const controller = new AbortController();
    const waiting = client.call("echo", {}, { signal: controller.signal });
    await assert.rejects(client.call("echo", {}, { timeoutMs: 20 }), RequestTimedOut);
    controller.abort();
    await assert.rejects(waiting, RequestCancelled);
    await assert.rejects(client.call("echo", {}, { signal: controller.signal }), RequestCancelled);
    assert.equal(client.state, "starting");
    await client.stop();
    await started;
  }));

test("an abort cancels the request once; an abort that comes first sends nothing", LIMIT, () =>
  withClient({}, async (client) => {
    await client.start();
    const controller = new AbortController();
    const hanging = client.call("hang", {}, { signal: controller.signal });
    controller.abort();
    await assert.rejects(hanging, RequestCancelled);
    await assert.rejects(client.call("crash", {}, { signal: controller.signal }), RequestCancelled);
    assert.equal(client.state, "ready");
  }));

test("a request without an answer times out, and the sidecar is told", LIMIT, () =>
  withClient({}, async (client) => {
    await client.start();
    await assert.rejects(client.call("hang", {}, { timeoutMs: 50 }), RequestTimedOut);
    assert.deepEqual(await client.call("echo", { still: "there" }), { still: "there" });
  }));

test("a message that would not fit in a line is refused before it is sent", LIMIT, () =>
  withClient({ maxLineBytes: 100_000 }, async (client) => {
    await client.start();
    await assert.rejects(client.call("echo", { text: "ü".repeat(60_000) }), RequestTooLarge);
    assert.deepEqual(await client.call("echo", [1]), 1);
  }));

test("the sidecar's questions are answered, failed, refused and cancelled", LIMIT, () => {
  let aborted: () => void = () => undefined;
  const gaveUp = new Promise<void>((resolve) => (aborted = resolve));
  return withClient(
    {
      hostHandlers: {
        "host:check-problems": ({ response }) => ({
          problems: [{ file: response, line: 1, column: 1, code: 1, message: "" }],
        }),
        "host:apply-response": () => Promise.reject(new Error("no git")),
        "host:system-prompt": (_params, signal) =>
          new Promise((_, reject) => {
            signal.addEventListener("abort", () => (aborted(), reject(new Error("late"))));
          }),
      },
    },
    async (client) => {
      await client.start();
      const ask = (method: string, more: object = {}): Promise<unknown> =>
        client.call("ask-host", { method, params: { response: "x.ts" }, ...more });
      assert.deepEqual(await ask("host:check-problems"), {
        result: { problems: [{ file: "x.ts", line: 1, column: 1, code: 1, message: "" }] },
      });
      assert.match(JSON.stringify(await ask("host:apply-response")), /-32000.*no git/);
      assert.match(JSON.stringify(await ask("host:nothing")), /-32601/);
      assert.match(JSON.stringify(await ask("host:system-prompt", { cancel: true })), /late/);
      await gaveUp;
      assert.throws(() => client.handle("host:check-problems", () => ({ problems: [] })), /before the sidecar is started/);
    },
  );
});

test("a crash rejects what waits, keeps the last words, and the sidecar comes back", LIMIT, () =>
  withClient(FAST, async (client) => {
    await client.start();
    const first = client.pid;
    const waiting = client.call("hang").catch((error: unknown) => error);
    const crash = next(client, "crash");
    const back = next(client, "ready");
    await assert.rejects(client.call("crash"), SidecarCrashed);
    const error = await waiting;
    assert.ok(error instanceof SidecarCrashed);
    assert.deepEqual([error.reason, error.exit.exitCode, error.stderrTail], ["exited", 3, "the last words"]);
    assert.equal((await crash).restartInMs, 10);
    assert.deepEqual(await client.call("echo", { by: "the next one" }), { by: "the next one" });
    await back;
    assert.notEqual(client.pid, first);
  }));

test("a death in the middle of a frame is a crash that says so", LIMIT, () =>
  withClient(FAST, async (client) => {
    await client.start();
    const error = await client.call("crash-in-frame").catch((reason: unknown) => reason);
    assert.ok(error instanceof SidecarCrashed);
    assert.deepEqual([error.exit.signal, error.exit.unfinishedBytes], ["SIGKILL", 29]);
  }));

test("a crash loop ends in the state failed, and a new start tries again", LIMIT, () =>
  withClient({ restart: { initialDelayMs: 5, maxDelayMs: 5, maxCrashes: 3 } }, async (client) => {
    await client.start();
    const failed = next(client, "failed");
    for (let crash = 0; crash < 3; crash += 1) await assert.rejects(client.call("crash"), SidecarCrashed);
    assert.ok((await failed) instanceof SidecarCrashed);
    assert.equal(client.state, "failed");
    await assert.rejects(client.request("ping"), SidecarUnavailable);
    await client.start();
    assert.equal(client.state, "ready");
    const back = next(client, "ready");
    await assert.rejects(client.call("crash"), SidecarCrashed);
    await back;
  }));

test("streams that were running at a crash are reported with what the renderer holds", LIMIT, () =>
  withClient(FAST, async (client) => {
    await client.start();
    const interrupted = next(client, "stream-interrupted");
    await assert.rejects(client.request("chat:stream", { chatId: 7, prompt: "crash" }), SidecarCrashed);
    const { chatId, messageId, text, messages, saved } = await interrupted;
    assert.deepEqual([chatId, messageId, text], [7, 2, "Hello"]);
    assert.deepEqual(messages.map(({ content }) => content), ["crash", "Hello"]);
    assert.equal(await saved(), undefined, "nobody said how to read the database");
  }));

test("and with what the database holds, where the host can read it", LIMIT, async () => {
  const asked: unknown[] = [];
  const loadMessage = (...which: number[]): Promise<string> => (asked.push(which), Promise.resolve("Hell"));
  await withClient({ ...FAST, loadMessage }, async (client) => {
    await client.start();
    const interrupted = next(client, "stream-interrupted");
    await assert.rejects(client.request("chat:stream", { chatId: 7, prompt: "crash" }), SidecarCrashed);
    const { text, saved } = await interrupted;
    assert.deepEqual(asked, [], "read when it is asked for");
    assert.deepEqual([text, await saved(), asked], ["Hello", "Hell", [[7, 2]]]);
  });
});

test("a sidecar that no longer answers pings is ended and comes back", LIMIT, () =>
  withClient({ ...FAST, behaviour: "deaf", health: { intervalMs: 20, timeoutMs: 20 } }, async (client) => {
    await client.start();
    const { error } = await next(client, "crash");
    assert.ok(error instanceof SidecarCrashed);
    assert.equal(error.reason, "unresponsive");
    await next(client, "ready");
  }));

test("a broken pipe is a crash, not an exception in the host", LIMIT, () =>
  withClient(FAST, async (client) => {
    await client.start();
    await client.call("close-stdin");
    const crash = next(client, "crash");
    const lost = Array.from({ length: 50 }, () => client.call("echo", { text: "x".repeat(10_000) }).catch((error: unknown) => error));
    for (const error of await Promise.all(lost)) assert.ok(error instanceof SidecarCrashed);
    await crash;
  }));

test("a stray line on stdout is survived and reported; a flood is not", LIMIT, () =>
  withClient({ ...FAST, maxLineBytes: 1 << 20 }, async (client) => {
    await client.start();
    const warning = next(client, "warning");
    assert.equal(await client.call("noise"), "after");
    assert.match((await warning).message, /no message/);
    const error = await client.call("flood").catch((reason: unknown) => reason);
    assert.ok(error instanceof SidecarCrashed);
    assert.equal(error.reason, "nonsense");
  }));

test("a listener that throws disturbs nobody", LIMIT, () =>
  withClient({}, async (client) => {
    client.on("ready", () => {
      throw new Error("mine");
    });
    client.on("warning", () => {
      throw new Error("mine too");
    });
    const warning = next(client, "warning");
    await client.start();
    assert.equal((await warning).cause instanceof Error, true);
    assert.deepEqual(await client.request("ping"), {});
  }));

test("a gentle stop delivers what is still said, and rejects what waits", LIMIT, () =>
  withClient({}, async (client) => {
    await client.start();
    const lastWords = next(client, "settings:migrated");
    const hanging = client.call("hang").catch((error: unknown) => error);
    const exit = await client.stop();
    assert.deepEqual([exit?.exitCode, exit?.signal], [0, null]);
    assert.deepEqual(await lastWords, { improvements: [{ id: "last", title: "words" }] });
    assert.ok((await hanging) instanceof SidecarStopped);
    assert.equal(client.state, "stopped");
    await client.start();
    assert.deepEqual(await client.request("ping"), {});
  }));

test("a sidecar that ignores stdin and SIGTERM is killed with all it started", LIMIT, () =>
  withClient({ behaviour: "stubborn", stopGraceMs: 100 }, async (client) => {
    await client.start();
    const grandchild = (await client.call("child")) as number;
    assert.ok(isAlive(grandchild));
    const { pid } = client;
    const [exit] = await Promise.all([client.stop(), client.stop()]);
    assert.equal(exit?.signal ?? "exited", exit?.exitCode === 0 ? "exited" : "SIGKILL");
    await gone(grandchild);
    await gone(pid ?? 0);
  }));

test("what a crashed sidecar started does not stay behind", LIMIT, () =>
  withClient({ restart: false }, async (client) => {
    await client.start();
    const grandchild = (await client.call("child")) as number;
    await assert.rejects(client.call("crash"), SidecarCrashed);
    await gone(grandchild);
    assert.equal(client.state, "failed");
  }));

for (const [how, signal] of [
  ["is killed", "SIGKILL"],
  ["exits", "SIGTERM"],
] as const) {
  test(`when the host ${how}, the sidecar ends`, LIMIT, async () => {
    const entry = pathToFileURL(`${PACKAGE}/dist/esm/index.js`).href;
    const program = `
      import { SidecarClient } from ${JSON.stringify(entry)};
      const client = new SidecarClient({ command: process.execPath, args: [${JSON.stringify(fake("sidecar.mjs"))}] });
      process.on("SIGTERM", () => process.exit(0));
      await client.start();
      console.log(client.pid);`;
    const host = spawn(process.execPath, ["--input-type=module", "-e", program], { stdio: ["ignore", "pipe", "inherit"] });
    const [line] = (await once(host.stdout, "data")) as [Buffer];
    const pid = Number(String(line));
    assert.ok(isAlive(pid));
    host.kill(signal);
    await once(host, "exit");
    await gone(pid);
  });
}

test("the CommonJS build is the same", () => {
  const required = createRequire(import.meta.url)("@scalix/sidecar-client") as Record<string, unknown>;
  assert.equal(typeof required["SidecarClient"], "function");
  assert.equal(typeof required["registerSidecarIpc"], "function");
});
