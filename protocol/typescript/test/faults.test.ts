import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import {
  APP_CHANNELS,
  registerSidecarIpc,
  SidecarClient,
  SidecarStartFailed,
  SidecarUnavailable,
  type SidecarClientOptions,
} from "@scalix/sidecar-client";

import { FakeIpcMain, FakeSafeStorage, FakeWebContents, fakeSidecar, gone } from "./support.js";

const folder = mkdtempSync(join(tmpdir(), "sidecar-faults-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const script = (body: string): Partial<SidecarClientOptions> => ({ command: process.execPath, args: ["-e", body] });
const file = (name: string, content: string, mode: number): string => {
  const path = join(folder, name);
  writeFileSync(path, content);
  chmodSync(path, mode);
  return path;
};
const LINGER = "setInterval(() => 0, 1000);";

const cases: [string, Partial<SidecarClientOptions>, SidecarStartFailed["reason"], RegExp?][] = [
  ["is missing", { command: join(folder, "nowhere") }, "missing"],
  ["lies in a folder that is a file", { command: join(file("a-file", "", 0o644), "x") }, "missing"],
  ["is not executable", { command: file("not-executable", "#!/bin/sh\n", 0o644) }, "not-executable"],
  ["is a folder", { command: folder }, "not-executable"],
  ["speaks another protocol version", fakeSidecar("another-version"), "version"],
  [
    "refuses our protocol version",
    script(
      `process.stdin.once("data", () => console.log(JSON.stringify({ jsonrpc: "2.0", id: 1, error: { code: -32602, message: "no", data: { path: "protocolVersion" } } }))); ${LINGER}`,
    ),
    "version",
  ],
  ["prints nonsense", script(`console.log("Welcome to FooBar 3000"); console.error("why"); ${LINGER}`), "nonsense"],
  ["prints JSON that is no message", script(`console.log("[1, 2]"); ${LINGER}`), "nonsense"],
  ["exits at once", script(`console.error("no GLIBC_2.99"); process.exit(127)`), "exited", /no GLIBC_2\.99/],
  ["is killed at once", script(`console.error("aargh"); process.kill(process.pid, "SIGKILL")`), "exited"],
  ["hangs in the handshake", { ...script(`console.error("loading"); ${LINGER}`), startTimeoutMs: 700 }, "timeout", /loading/],
  [
    "closes stdin and stdout and hangs",
    { ...script(`process.stdin.destroy(); require("fs").closeSync(1); ${LINGER}`), startTimeoutMs: 8_000 },
    "exited",
  ],
  [
    "floods stdout without a line end",
    { ...script(`const b = Buffer.alloc(65536, 120); const go = () => process.stdout.write(b, go); go();`), maxLineBytes: 1 << 20 },
    "nonsense",
  ],
  ["floods stdout with lines", script(`const go = () => process.stdout.write("x\\n".repeat(9999), go); go();`), "nonsense"],
  [
    "dies in the middle of a frame",
    script(`console.error("dying"); process.stdout.write('{"jsonrpc":"2.0","id":1,"resu', () => process.exit(9));`),
    "exited",
    /dying/,
  ],
];

for (const [what, options, reason, stderr] of cases) {
  test(`a binary that ${what} is a typed error, in time, and the app goes on without it`, { timeout: 15_000 }, async () => {
    const client = new SidecarClient({ ...fakeSidecar(), startTimeoutMs: 10_000, ...options });
    const states: string[] = [];
    client.on("state", (state) => states.push(state));
    const ipcMain = new FakeIpcMain();
    const window = new FakeWebContents();
    const asked = (channel: string): Promise<unknown> => ipcMain.invoke(window, channel, { chatId: 1, prompt: "hi" });
    const legacy = Object.fromEntries(APP_CHANNELS.map(({ name }) => [name, () => `legacy ${name}`]));
    registerSidecarIpc({ ipcMain, client, legacy, webContents: window, safeStorage: new FakeSafeStorage() });
    const started = client.start();
    const early = asked("chat:stream"); // the user is faster than the start
    const error = await started.then(
      () => assert.fail("it started"),
      (reason: unknown) => reason,
    );
    assert.ok(error instanceof SidecarStartFailed, String(error));
    assert.equal(error.reason, reason);
    assert.match(error.message, /\.$/);
    if (stderr !== undefined) assert.match(error.stderrTail, stderr);
    if (what.includes("frame")) assert.equal(error.exit?.unfinishedBytes, 29);
    assert.deepEqual(states, ["starting", "failed"]);
    assert.equal(client.pid, undefined);
    assert.equal(await early, "legacy chat:stream");
    for (const { name } of APP_CHANNELS) assert.equal(await asked(name), `legacy ${name}`);
    assert.deepEqual(window.sent, [], "the renderer does not notice");
    await assert.rejects(client.request("ping"), SidecarUnavailable);
    assert.equal(await client.stop(), undefined);
  });
}

test("stopping while it starts ends the process and the start", { timeout: 10_000 }, async () => {
  const client = new SidecarClient({ command: process.execPath, args: ["-e", `console.error(process.pid); ${LINGER}`] });
  const pid = new Promise<number>((resolve) => client.on("stderr", (chunk) => resolve(Number(String(chunk)))));
  const started = client.start().catch((error: unknown) => error);
  const running = await pid;
  await client.stop();
  const error = await started;
  assert.ok(error instanceof SidecarStartFailed && error.reason === "stopped");
  assert.equal(client.state, "stopped");
  await gone(running);
});

test("the end of a long stderr is kept, not the beginning", { timeout: 10_000 }, async () => {
  const client = new SidecarClient({
    ...script(`process.stderr.write("begin" + "x".repeat(500000) + "end", () => process.exit(1))`),
    command: process.execPath,
    stderrTailBytes: 1_000,
  });
  const error = await client.start().catch((reason: unknown) => reason as SidecarStartFailed);
  assert.ok(error instanceof SidecarStartFailed);
  assert.equal(error.stderrTail.length, 1_000);
  assert.ok(error.stderrTail.endsWith("xend"));
});
