import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import {
  APP_CHANNELS,
  applyStreamingPatch,
  ChatStreams,
  LineDecoder,
  LineTooLong,
  NEW_CHANNELS,
  prefixHash,
  RestartPolicy,
  StreamText,
  type ChunkMessages,
  type ChunkPatch,
} from "@scalix/sidecar-client";

import { PACKAGE } from "./support.js";

test("every method a renderer may call is a channel, here as in the contract", () => {
  const { methods } = JSON.parse(readFileSync(join(PACKAGE, "../schema/openrpc.json"), "utf8")) as {
    methods: { name: string; "x-direction": string }[];
  };
  const asked = methods.filter((method) => method["x-direction"] === "request-to-sidecar").map(({ name }) => name);
  const notForRenderers = ["initialize", "ping", "shutdown", "llm:stream", "llm:cancel"];
  const channels = [...APP_CHANNELS, ...NEW_CHANNELS].map(({ name }) => name);
  assert.deepEqual(new Set([...channels, ...notForRenderers]), new Set(asked));
  assert.equal(new Set(channels).size, channels.length);
});

test("lines are the same however the bytes are cut, and only 0x0A ends one", () => {
  const bytes = Buffer.from('{"a":"\u2028\u0085😀"}\r\n\n\r\n{"b":"x\ry"}\nrest');
  for (let size = 1; size <= bytes.length; size += 1) {
    const decoder = new LineDecoder();
    const lines: string[] = [];
    for (let at = 0; at < bytes.length; at += size) {
      lines.push(...decoder.feed(bytes.subarray(at, at + size)).map(String));
    }
    assert.deepEqual(lines, ['{"a":"\u2028\u0085😀"}', '{"b":"x\ry"}']);
    assert.equal(decoder.unfinishedBytes, 4);
  }
});

test("a line past the limit is refused before it is complete", () => {
  const decoder = new LineDecoder(10);
  assert.deepEqual(decoder.feed(Buffer.from("0123456789\n")).map(String), ["0123456789"]);
  decoder.feed(Buffer.from("01234"));
  assert.throws(() => decoder.feed(Buffer.from("567890")), LineTooLong);
});

test("the prefix hash is djb2 with xor over UTF-16 code units", () => {
  assert.equal(prefixHash(""), 5381);
  assert.equal(prefixHash("a"), ((5381 * 33) ^ 97) >>> 0);
  assert.equal(prefixHash("\u{1F600}"), prefixHash("\uD83D\uDE00"));
  assert.equal(prefixHash("abc", 1), prefixHash("a"));
});

test("a patch replaces everything after its offset, or is refused when made for another text", () => {
  assert.equal(applyStreamingPatch("Hello wor", { offset: 5, content: "!", prefixHash: prefixHash("Hello") }), "Hello!");
  assert.equal(applyStreamingPatch("anything", { offset: 0, content: "new" }), "new");
  assert.equal(applyStreamingPatch("Hallo", { offset: 5, content: "!", prefixHash: prefixHash("Hello") }), undefined);
  assert.equal(applyStreamingPatch("Hello", { offset: 9, content: "!", prefixHash: 1 }), undefined);
  assert.equal(applyStreamingPatch("Hello", { offset: 5, content: "!" }), undefined);
});

test("a followed text is what the patches say, wherever they begin", () => {
  let seed = 7;
  const random = (below: number): number => (seed = (seed * 48271) % 2147483647) % below;
  for (let round = 0; round < 50; round += 1) {
    const followed = new StreamText();
    let text = "";
    for (let step = 0; step < 150; step += 1) {
      const offset = random(4) === 0 ? random(text.length + 1) : text.length;
      const patch = { offset, content: "añ😀<".slice(0, random(6)), prefixHash: prefixHash(text, offset) };
      text = text.slice(0, offset) + patch.content;
      assert.equal(followed.apply(patch), true);
      assert.equal(followed.value, text);
    }
    assert.equal(followed.apply({ offset: text.length, content: "x", prefixHash: prefixHash(text) ^ 1 }), text === "");
  }
});

test("following a long answer costs what is new, not what is there", () => {
  const run = (patches: number): number => {
    const followed = new StreamText();
    let hash = 5381;
    const started = process.cpuUsage();
    for (let index = 0; index < patches; index += 1) {
      followed.apply({ offset: index * 8, content: "12345678", prefixHash: hash });
      for (const unit of "12345678") hash = ((hash * 33) ^ unit.charCodeAt(0)) >>> 0;
    }
    assert.equal(followed.value.length, patches * 8);
    return process.cpuUsage(started).user;
  };
  run(2_000);
  // Quadratic work would be 400 times as much.
  assert.ok(run(200_000) < 100 * Math.max(run(10_000), 2_000));
});

const owner = { chatId: 1, streamId: "s" };
const row = { id: 2, chatId: 1, role: "assistant", approvalState: null, commitHash: null, createdAt: "" };
const whole = (seq: number, content: string): ChunkMessages => ({ ...owner, seq, messages: [{ ...row, content }] });
const patch = (seq: number, before: string, content: string): ChunkPatch => ({
  ...owner,
  seq,
  streamingMessageId: 2,
  streamingPatch: { offset: before.length, content, prefixHash: prefixHash(before) },
});

test("when a part is lost the whole is asked for, and what came meanwhile continues it", async () => {
  let answer: (text: string) => void = () => undefined;
  const asked: number[][] = [];
  const recovered: string[] = [];
  const streams = new ChatStreams(
    (chatId, messageId) => {
      asked.push([chatId, messageId]);
      return new Promise((resolve) => (answer = resolve));
    },
    (snapshot) => recovered.push(snapshot.text),
  );
  streams.chunk(whole(0, ""));
  streams.chunk(patch(1, "", "one "));
  // "two " is lost.
  assert.equal(streams.chunk(patch(3, "one two ", "three ")).inSync, false);
  assert.equal(streams.chunk(patch(4, "one two three ", "four")).text, "one ");
  assert.deepEqual(asked, [[1, 2]]);
  answer("one "); // saved before the loss: of no use
  await new Promise(setImmediate);
  assert.deepEqual(recovered, []);
  streams.chunk(patch(5, "one two three four", "!"));
  assert.equal(asked.length, 2);
  answer("one two three ");
  await new Promise(setImmediate);
  assert.deepEqual(recovered, ["one two three four!"]);
  const last = streams.chunk(patch(6, "one two three four!", "?"));
  assert.deepEqual([last.text, last.inSync], ["one two three four!?", true]);
});

test("a whole array heals a stream that had lost a part", () => {
  const streams = new ChatStreams(undefined, () => assert.fail("nothing was asked for"));
  streams.chunk(whole(0, ""));
  assert.equal(streams.chunk(patch(2, "lost", "x")).inSync, false);
  const healed = streams.chunk(whole(3, "lost and found"));
  assert.deepEqual([healed.text, healed.inSync], ["lost and found", true]);
  assert.equal(streams.chunk(patch(4, "lost and found", "!")).text, "lost and found!");
  assert.deepEqual(
    streams.interrupted().map(({ text, messageId }) => [text, messageId]),
    [["lost and found!", 2]],
  );
  assert.deepEqual(streams.interrupted(), []);
});

test("restarts are spaced ever further, and a crash loop ends them until the window has passed", () => {
  const policy = new RestartPolicy({ initialDelayMs: 100, maxDelayMs: 300, maxCrashes: 5, windowMs: 1_000 });
  assert.deepEqual([0, 10, 20, 30, 40].map((now) => policy.crashed(now)), [100, 200, 300, 300, undefined]);
  assert.equal(policy.crashed(5_000), 100);
});
