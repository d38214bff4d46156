/**
 * Puts the sidecar behind the app's channels so that the renderer does not notice: same results, same error texts,
 * chunks in the shape it knows, and the app's own handlers whenever the sidecar is not to be used.
 */

import { APP_CHANNELS, reviveDates, wireParams, type Channel } from "./channels.js";
import type { SidecarClient } from "./client.js";
import { RequestFailed, SidecarCrashed, SidecarError, SidecarUnavailable } from "./errors.js";
import type { Unsubscribe } from "./events.js";
import type { MessageRow, SidecarNotifications } from "./generated.js";
import { RendererRoutes, type RendererLike } from "./renderers.js";
import { safeStorageSecrets, type SafeStorageLike } from "./secrets.js";
import type { StreamSnapshot } from "./streams.js";

/** The event of an IPC call; Electron's `IpcMainInvokeEvent` is one. */
export interface InvokeEventLike {
  /** The renderer that calls. */
  readonly sender: RendererLike;
}

/** The part of Electron's `ipcMain` that is used. */
export interface IpcMainLike<Event extends InvokeEventLike = InvokeEventLike> {
  handle(channel: string, listener: (event: Event, ...args: unknown[]) => unknown): void;
  removeHandler(channel: string): void;
}

/** The app's own handlers, by channel, as they were registered before. */
export type LegacyHandlers<Event extends InvokeEventLike = InvokeEventLike> = {
  readonly [channel: string]: (event: Event, ...args: never[]) => unknown;
};

/** How to register. */
export interface RegisterSidecarIpcOptions<Event extends InvokeEventLike = InvokeEventLike> {
  /** Electron's `ipcMain`. */
  readonly ipcMain: IpcMainLike<Event>;
  /** The client, not started yet. */
  readonly client: SidecarClient;
  /** Where events go that no renderer asked for; streams go to the renderer that started them. */
  readonly webContents?: RendererLike | (() => RendererLike | undefined);
  /** Electron's `safeStorage`: keeps the secrets. */
  readonly safeStorage?: SafeStorageLike;
  /** The app's own handlers, for when the sidecar is off or cannot run. */
  readonly legacy?: LegacyHandlers<Event>;
  /** The app's own switch, asked at each call; on by default. The sidecar's own switches count as well. */
  readonly enabled?: () => boolean;
  /** `messages`: the whole array, at most every 50 ms, which every renderer knows. `patch`: as it comes. */
  readonly rendererChunks?: "messages" | "patch";
  /** `text`: the bare string today's renderer expects. `object`: with `chatId`, so that one failure ends one stream. */
  readonly rendererErrors?: "text" | "object";
  /** What to register; the app's channels by default. */
  readonly channels?: readonly Channel[];
}

/** Undoes the registration. */
export interface SidecarIpc {
  /** Remove the handlers and stop forwarding. The client is not stopped. */
  dispose(): void;
}

const MESSAGES_INTERVAL_MS = 50;
const INTERRUPTED =
  "Sorry, there was an error from the AI: The AI process stopped while it was answering. " +
  "What it had written so far is saved. Try again.";

/** Register the channels. Comes before `client.start()`: the secrets' keeper has to be announced. */
export function registerSidecarIpc<Event extends InvokeEventLike>(options: RegisterSidecarIpcOptions<Event>): SidecarIpc {
  const bridge = new Bridge(options);
  return { dispose: () => bridge.dispose() };
}

class Bridge<Event extends InvokeEventLike> {
  readonly #options: RegisterSidecarIpcOptions<Event>;
  readonly #channels: readonly Channel[];
  readonly #client: SidecarClient;
  readonly #routes: RendererRoutes;
  readonly #unsubscribe: Unsubscribe[] = [];
  /** Chats and help sessions whose stream runs in the legacy path. */
  readonly #legacyStreams = new Set<unknown>();
  /** Snapshots a renderer has not seen yet, by stream. */
  readonly #unsent = new Map<string, { snapshot: StreamSnapshot; timer: NodeJS.Timeout }>();

  constructor(options: RegisterSidecarIpcOptions<Event>) {
    this.#options = options;
    this.#client = options.client;
    this.#channels = options.channels ?? APP_CHANNELS;
    const { webContents } = options;
    this.#routes = new RendererRoutes(typeof webContents === "function" ? webContents : () => webContents);
    if (options.safeStorage !== undefined) {
      const secrets = safeStorageSecrets(options.safeStorage);
      this.#client.handle("host:decrypt-secrets", secrets["host:decrypt-secrets"]);
      this.#client.handle("host:encrypt-secrets", secrets["host:encrypt-secrets"]);
    }
    for (const channel of this.#channels) {
      options.ipcMain.handle(channel.name, (event, ...args) => this.#invoked(channel, event, args));
    }
    this.#forwardStreams();
    this.#forwardOthers();
  }

  dispose(): void {
    for (const channel of this.#channels) this.#options.ipcMain.removeHandler(channel.name);
    for (const unsubscribe of this.#unsubscribe.splice(0)) unsubscribe();
    for (const { timer } of this.#unsent.values()) clearTimeout(timer);
    this.#unsent.clear();
  }

  // --- calls --------------------------------------------------------------------------------------------------------

  async #invoked(channel: Channel, event: Event, args: unknown[]): Promise<unknown> {
    if (this.#usesLegacy(channel, args)) return this.#legacy(channel, event, args);
    try {
      await this.#client.whenReady();
      return await this.#asked(channel, event, args);
    } catch (error) {
      if (this.#fallsBack(channel, error)) return this.#legacy(channel, event, args);
      if (channel.name === "chat:stream") return this.#streamRefused(args, error);
      throw asTheAppThrows(channel, error);
    }
  }

  async #asked(channel: Channel, event: Event, args: unknown[]): Promise<unknown> {
    const key = streamKey(channel, args);
    if (key !== undefined) {
      this.#routes.remember(key, event.sender);
      this.#legacyStreams.delete(Object.values(key)[0]);
    }
    const result = await this.#client.call(channel.name, wireParams(args));
    if (channel.isVoid) return undefined;
    return channel.name === "get-user-budget" ? reviveDates(result) : result;
  }

  #usesLegacy(channel: Channel, args: unknown[]): boolean {
    if (this.#options.legacy?.[channel.name] === undefined) return false;
    if (this.#options.enabled?.() === false) return true;
    const isCancel = channel.name === "chat:cancel" || channel.name === "help:chat:cancel";
    return isCancel && this.#legacyStreams.has(args[0]);
  }

  #fallsBack(channel: Channel, error: unknown): boolean {
    if (this.#options.legacy?.[channel.name] === undefined) return false;
    if (error instanceof RequestFailed) return error.isFeatureDisabled;
    if (error instanceof SidecarUnavailable) return true;
    return error instanceof SidecarCrashed && channel.readOnly;
  }

  async #legacy(channel: Channel, event: Event, args: unknown[]): Promise<unknown> {
    const handler = this.#options.legacy?.[channel.name] as ((event: Event, ...args: unknown[]) => unknown) | undefined;
    if (handler === undefined) throw new Error(`There is no handler for ${channel.name}.`);
    const key = streamKey(channel, args);
    if (key === undefined) return handler(event, ...args);
    const entity = Object.values(key)[0];
    this.#legacyStreams.add(entity);
    try {
      return await handler(event, ...args);
    } finally {
      // A help answer streams on after the call; it stays where it began until the next one.
      if (channel.name === "chat:stream") this.#legacyStreams.delete(entity);
    }
  }

  /** `chat:stream` never rejects in the app: it says what happened as an event and answers "error" (7.17). */
  #streamRefused(args: unknown[], error: unknown): "error" {
    const chatId = (args[0] as { chatId?: number } | undefined)?.chatId;
    const message = error instanceof Error ? error.message : String(error);
    const refused = `Sorry, there was an error processing your request: Error: ${message}`;
    const code = error instanceof SidecarError ? error.code : "INTERNAL";
    this.#flush((snapshot) => snapshot.chatId === chatId);
    this.#sendError(
      chatId,
      error instanceof SidecarCrashed
        ? { chatId, error: INTERRUPTED, code: "STREAM_INTERRUPTED" }
        : { chatId, error: refused, code },
    );
    return "error";
  }

  // --- events -------------------------------------------------------------------------------------------------------

  #forwardStreams(): void {
    const on = this.#client.on.bind(this.#client);
    const patches = this.#options.rendererChunks === "patch";
    let forwarded = false;
    this.#unsubscribe.push(
      on("chat:response:chunk", (chunk) => {
        forwarded = patches || "messages" in chunk;
        if (forwarded) this.#routes.send({ chatId: chunk.chatId }, "chat:response:chunk", asRendererChunk(chunk));
      }),
      // Follows the chunk that moved it, or comes alone when a lost part was found again.
      on("stream-changed", (snapshot) => {
        if (!forwarded && snapshot.inSync) {
          if (patches) this.#now(snapshot);
          else this.#later(snapshot);
        }
        forwarded = false;
      }),
      on("stream-interrupted", (snapshot) => this.#now(snapshot)),
      on("chat:response:end", (end) => {
        this.#flush((snapshot) => snapshot.chatId === end.chatId);
        this.#routes.send({ chatId: end.chatId }, "chat:response:end", end);
      }),
      on("chat:response:error", (error) => {
        this.#flush((snapshot) => snapshot.chatId === error.chatId);
        this.#sendError(error.chatId, error);
      }),
    );
  }

  #forwardOthers(): void {
    const help = ["help:chat:response:chunk", "help:chat:response:end", "help:chat:response:error"] as const;
    for (const name of help) {
      this.#unsubscribe.push(
        this.#client.on(name, (params) => this.#routes.send({ sessionId: params.sessionId }, name, params)),
      );
    }
    for (const name of ["model:fallback", "settings:migrated"] as const) {
      this.#unsubscribe.push(
        this.#client.on(name, (params) => this.#routes.send("chatId" in params ? params : {}, name, params)),
      );
    }
  }

  #sendError<Payload extends { readonly error: string }>(chatId: number | undefined, payload: Payload): void {
    const shaped = this.#options.rendererErrors === "object" ? payload : payload.error;
    this.#routes.send({ chatId }, "chat:response:error", shaped);
  }

  /** Show a stream soon: one array for all that comes meanwhile. */
  #later(snapshot: StreamSnapshot): void {
    const waiting = this.#unsent.get(snapshot.streamId);
    if (waiting !== undefined) {
      waiting.snapshot = snapshot;
      return;
    }
    const timer = setTimeout(() => this.#flush(({ streamId }) => streamId === snapshot.streamId), MESSAGES_INTERVAL_MS);
    this.#unsent.set(snapshot.streamId, { snapshot, timer });
  }

  #flush(which: (snapshot: StreamSnapshot) => boolean): void {
    for (const { snapshot } of [...this.#unsent.values()]) if (which(snapshot)) this.#now(snapshot);
  }

  #now(snapshot: StreamSnapshot): void {
    clearTimeout(this.#unsent.get(snapshot.streamId)?.timer);
    this.#unsent.delete(snapshot.streamId);
    const { chatId, streamId, messages } = snapshot;
    this.#routes.send({ chatId }, "chat:response:chunk", { chatId, streamId, messages: messages.map(asRendererRow) });
  }
}

/** What names the stream that a call starts; undefined for calls that start none. */
function streamKey(channel: Channel, args: readonly unknown[]): { chatId: number } | { sessionId: string } | undefined {
  const params = args[0] as { chatId: number; sessionId: string } | undefined;
  if (channel.name === "chat:stream" && params?.chatId !== undefined) return { chatId: params.chatId };
  if (channel.name === "help:chat:start" && params?.sessionId !== undefined) return { sessionId: params.sessionId };
  return undefined;
}

function asRendererChunk(chunk: SidecarNotifications["chat:response:chunk"]): unknown {
  return "messages" in chunk ? { ...chunk, messages: chunk.messages.map(asRendererRow) } : chunk;
}

function asRendererRow(row: MessageRow): unknown {
  return reviveDates(row);
}

/** The error a handler of the app would throw (app contract 0). */
function asTheAppThrows(channel: Channel, error: unknown): Error {
  const message = error instanceof Error ? error.message : String(error);
  return new Error(channel.logged ? `[${channel.name}] Error: ${message}` : message, { cause: error });
}
