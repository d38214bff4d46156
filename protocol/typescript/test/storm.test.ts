/** Whatever happens in whatever order: every call settles, nothing is left running, and the client still works. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { SidecarClient, SidecarError } from "@scalix/sidecar-client";

import { fakeSidecar, gone } from "./support.js";

/** The same numbers for the same seed (mulberry32). */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

for (const seed of [1, 2, 3, 4]) {
  test(`a storm of calls, aborts, crashes, kills, starts and stops (seed ${seed})`, { timeout: 60_000 }, async () => {
    const roll = random(seed);
    const client = new SidecarClient({
      ...fakeSidecar(),
      restart: { initialDelayMs: 1, maxDelayMs: 5, maxCrashes: 1_000 },
      health: { intervalMs: 5, timeoutMs: 5_000 },
      stopGraceMs: 2_000,
    });
    const pids = new Set<number>();
    client.on("ready", () => void pids.add(client.pid ?? 0));
    const calls: Promise<unknown>[] = [];
    const settle = (call: Promise<unknown>): void => {
      calls.push(call.then(() => undefined, (error: unknown) => assert.ok(error instanceof SidecarError, String(error))));
    };
    const abortable = (method: string): void => {
      const controller = new AbortController();
      settle(client.call(method, {}, { signal: controller.signal, timeoutMs: 10_000 }));
      if (roll() < 0.5) controller.abort();
      else setImmediate(() => controller.abort());
    };
    const weather: [number, () => void | Promise<unknown>][] = [
      [0.3, () => settle(client.call("echo", { text: "x".repeat(Math.floor(roll() * 100_000)) }))],
      [0.45, () => settle(client.request("chat:stream", { chatId: 1, prompt: "hi" }))],
      [0.6, () => abortable("hang")],
      [0.65, () => settle(client.call("hang", {}, { timeoutMs: 1 + Math.floor(roll() * 20) }))],
      [0.72, () => settle(client.call("crash"))],
      [0.8, () => void (client.pid !== undefined && process.kill(client.pid, "SIGKILL"))],
      [0.84, () => settle(client.start())],
      [0.86, () => settle(client.stop())],
      [0.93, () => new Promise((resolve) => setTimeout(resolve, roll() * 30))],
      [1, () => client.whenReady().catch(() => settle(client.start()))],
    ];
    settle(client.start());
    for (let step = 0; step < 300; step += 1) {
      const dice = roll();
      await weather.find(([until]) => dice < until)?.[1]();
    }
    await Promise.all(calls);
    await client.stop();
    assert.equal(client.state, "stopped");
    assert.equal(client.pid, undefined);
    await client.start();
    assert.deepEqual(await client.call("echo", { after: "the storm" }), { after: "the storm" });
    await client.stop();
    for (const pid of pids) await gone(pid);
    assert.ok(pids.size > 5, "the storm was one");
  });
}
