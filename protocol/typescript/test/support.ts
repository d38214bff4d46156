/** What the tests share: the stand-in sidecar, and faithful stand-ins for what Electron gives a main process. */

import { once } from "node:events";
import { fileURLToPath } from "node:url";

import {
  SidecarClient,
  type IpcMainLike,
  type RendererLike,
  type SafeStorageLike,
  type SidecarClientOptions,
  type SidecarEvents,
} from "@scalix/sidecar-client";

export const PACKAGE = fileURLToPath(new URL("../..", import.meta.url));

export function fake(name: string): string {
  return fileURLToPath(new URL(`../../test/fakes/${name}`, import.meta.url));
}

/** Options that run the stand-in with a behaviour. */
export function fakeSidecar(behaviour = "normal"): { command: string; args: string[] } {
  return { command: process.execPath, args: [fake("sidecar.mjs"), behaviour] };
}

/** Run with a client that is stopped on every way out. */
export async function withClient(
  options: Partial<SidecarClientOptions> & { behaviour?: string },
  body: (client: SidecarClient) => Promise<void>,
): Promise<void> {
  const { behaviour, ...rest } = options;
  const client = new SidecarClient({ ...fakeSidecar(behaviour), ...rest });
  try {
    await body(client);
  } finally {
    await client.stop();
  }
}

/** The next payload of an event. */
export function next<Name extends keyof SidecarEvents>(
  client: SidecarClient,
  event: Name,
  matches: (payload: SidecarEvents[Name]) => boolean = () => true,
): Promise<SidecarEvents[Name]> {
  return new Promise((resolve) => {
    const off = client.on(event, (payload) => {
      if (!matches(payload)) return;
      off();
      resolve(payload);
    });
  });
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Resolves when no such process is left. */
export async function gone(pid: number): Promise<void> {
  while (isAlive(pid)) await new Promise((resolve) => setTimeout(resolve, 20));
}

export async function closed(stream: NodeJS.ReadableStream): Promise<void> {
  await once(stream, "close");
}

// --- Electron --------------------------------------------------------------------------------------------------------

interface InvokeEvent {
  readonly sender: FakeWebContents;
}

type Handler = (event: InvokeEvent, ...args: unknown[]) => unknown;

/** ipcMain and the renderer's `invoke`: arguments and results are cloned, errors lose all but their text. */
export class FakeIpcMain implements IpcMainLike<InvokeEvent> {
  readonly handlers = new Map<string, Handler>();

  handle(channel: string, listener: Handler): void {
    if (this.handlers.has(channel)) throw new Error(`Attempted to register a second handler for '${channel}'`);
    this.handlers.set(channel, listener);
  }

  removeHandler(channel: string): void {
    this.handlers.delete(channel);
  }

  async invoke(sender: FakeWebContents, channel: string, ...args: unknown[]): Promise<unknown> {
    const handler = this.handlers.get(channel);
    if (handler === undefined) throw new Error(`Error invoking remote method '${channel}': Error: No handler registered`);
    try {
      return structuredClone(await handler({ sender }, ...(structuredClone(args) as unknown[])));
    } catch (error) {
      throw new Error(`Error invoking remote method '${channel}': ${String(error)}`);
    }
  }
}

/** One window's webContents: payloads are cloned; sending to a destroyed one throws, as Electron does. */
export class FakeWebContents implements RendererLike {
  readonly sent: { channel: string; payload: unknown }[] = [];
  onSend: ((channel: string, payload: unknown) => void) | undefined;
  destroyed = false;

  send(channel: string, payload: unknown): void {
    if (this.destroyed) throw new TypeError("Object has been destroyed");
    const clone: unknown = structuredClone(payload);
    this.sent.push({ channel, payload: clone });
    this.onSend?.(channel, clone);
  }

  isDestroyed(): boolean {
    return this.destroyed;
  }

  isCrashed(): boolean {
    return false;
  }

  payloads(channel: string): unknown[] {
    return this.sent.filter((event) => event.channel === channel).map((event) => event.payload);
  }
}

/** safeStorage with a cipher of its own; decrypting what it did not encrypt throws, as on a changed keychain. */
export class FakeSafeStorage implements SafeStorageLike {
  available = true;

  isEncryptionAvailable(): boolean {
    return this.available;
  }

  encryptString(plainText: string): Buffer {
    return Buffer.concat([Buffer.from("v10"), Buffer.from(plainText).map((byte) => byte ^ 0x5a)]);
  }

  decryptString(encrypted: Buffer): string {
    if (encrypted.subarray(0, 3).toString() !== "v10") throw new Error("Error while decrypting the ciphertext");
    return Buffer.from(encrypted.subarray(3).map((byte) => byte ^ 0x5a)).toString();
  }
}

export interface Row {
  readonly id: number;
  readonly role: string;
  readonly content: string;
  readonly createdAt: unknown;
}

interface Outcome {
  readonly end?: { readonly updatedFiles: boolean; readonly [key: string]: unknown };
  readonly error?: string;
}

interface Callbacks {
  onUpdate(messages: Row[]): void;
  settle(outcome: Outcome): void;
}

/** The app's own renderer, by its rules (app contract 7.18): what it shows, and when it lets go of a stream. */
export class AppRenderer {
  readonly toasts: string[] = [];
  readonly shown = new Map<number, Row[]>();
  readonly updates = new Map<number, number>();
  readonly #streams = new Map<number, Callbacks>();

  constructor(
    readonly ipc: FakeIpcMain,
    readonly webContents: FakeWebContents,
  ) {
    webContents.onSend = (channel, payload) => this.#received(channel, payload);
  }

  invoke(channel: string, ...args: unknown[]): Promise<unknown> {
    return this.ipc.invoke(this.webContents, channel, ...args);
  }

  /** Send a prompt; resolves when the renderer has let go of the stream. */
  async stream(chatId: number, prompt: string): Promise<Outcome> {
    const outcome = new Promise<Outcome>((settle) => {
      this.#streams.set(chatId, { onUpdate: (messages) => this.#show(chatId, messages), settle });
    });
    void this.invoke("chat:stream", { chatId, prompt, selectedComponent: null }).catch((error: unknown) => {
      this.#let(chatId, { error: String(error) });
    });
    return outcome;
  }

  text(chatId: number): string {
    return this.shown.get(chatId)?.at(-1)?.content ?? "";
  }

  #show(chatId: number, messages: Row[]): void {
    this.shown.set(chatId, messages);
    this.updates.set(chatId, (this.updates.get(chatId) ?? 0) + 1);
  }

  #received(channel: string, payload: unknown): void {
    if (channel === "chat:response:chunk") {
      const chunk = payload as { chatId?: number; messages?: Row[] };
      if (chunk.chatId === undefined || chunk.messages === undefined) this.toasts.push("Invalid chunk");
      else this.#streams.get(chunk.chatId)?.onUpdate(chunk.messages);
    } else if (channel === "chat:response:end") {
      const end = payload as { chatId: number; updatedFiles: boolean };
      this.#let(end.chatId, { end: { ...end } });
    } else if (channel === "chat:response:error") {
      if (typeof payload !== "string") this.toasts.push("Invalid error");
      else for (const chatId of [...this.#streams.keys()]) this.#let(chatId, { error: payload });
    }
  }

  #let(chatId: number, outcome: Outcome): void {
    this.#streams.get(chatId)?.settle(outcome);
    this.#streams.delete(chatId);
  }
}
