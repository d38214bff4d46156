/** What a client is told, and what it tells. */

import type { SidecarCrashed, SidecarStartFailed } from "./errors.js";
import type { ClientInfo, HostRequests, InitializeResult, Paths, SidecarNotifications } from "./generated.js";
import type { ProcessOptions } from "./process.js";
import type { RestartOptions } from "./restart.js";
import type { InterruptedStream, LoadMessage, StreamSnapshot } from "./streams.js";

/**
 * Where the client is:
 * - `idle`: not started; - `starting`; - `ready`;
 * - `restarting`: it crashed and comes back; calls wait;
 * - `failed`: it did not start, or crashed too often: use the legacy path; `start()` tries again;
 * - `stopped`: by `stop()`.
 */
export type ClientState = "idle" | "starting" | "ready" | "restarting" | "failed" | "stopped";

/** Answers to the sidecar's questions, by method. The signal fires when it no longer waits. */
export type HostHandlers = {
  [Method in keyof HostRequests]?: (
    params: HostRequests[Method]["params"],
    signal: AbortSignal,
  ) => HostRequests[Method]["result"] | Promise<HostRequests[Method]["result"]>;
};

/** Checking that it is alive. */
export interface HealthOptions {
  /** Between two pings, in ms. */
  readonly intervalMs: number;
  /** Longest wait for an answer, in ms. Two missed in a row are a crash. */
  readonly timeoutMs: number;
}

/** How to run the sidecar. */
export interface SidecarClientOptions extends ProcessOptions {
  /** Who the host is. */
  readonly clientInfo?: ClientInfo;
  /** Where the app keeps its things. */
  readonly paths?: Paths;
  /** How streams travel between the processes; `patch` by default. */
  readonly chunks?: "messages" | "patch";
  /** Answers to the sidecar's questions; `handle` adds more before the start. */
  readonly hostHandlers?: HostHandlers;
  /** From the start to the end of the handshake, in ms; 15 s by default. */
  readonly startTimeoutMs?: number;
  /** Longest wait for an answer, in ms, where a call does not say; 60 s by default. Streams have none. */
  readonly requestTimeoutMs?: number;
  /** How long a stopped sidecar may take to save and end, in ms; 5 s by default. */
  readonly stopGraceMs?: number;
  /** Restarts after a crash; false for none. */
  readonly restart?: Partial<RestartOptions> | false;
  /** Liveness checks; false for none. Every 15 s, 10 s patience by default. */
  readonly health?: Partial<HealthOptions> | false;
  /** How to ask for a message's whole text when a part of a stream was lost: read it from the app's database. */
  readonly loadMessage?: LoadMessage;
  /** Longest line, in bytes. */
  readonly maxLineBytes?: number;
}

/** What happens to the client itself. */
export interface ClientEvents {
  /** The state changed. */
  readonly state: ClientState;
  /** The sidecar answered the handshake, at the first start or after a crash. */
  readonly ready: InitializeResult;
  /** It went away; `restartInMs` is undefined when it will not come back by itself. */
  readonly crash: { readonly error: SidecarCrashed | SidecarStartFailed; readonly restartInMs: number | undefined };
  /** It cannot be started, or crashed too often: calls go to the legacy path from now on. */
  readonly failed: SidecarStartFailed | SidecarCrashed;
  /** A stream was running when it went away, with what the renderer holds; the database holds it up to 150 ms before. */
  readonly "stream-interrupted": InterruptedStream;
  /** A stream moved: the chat's rows with the answer so far. */
  readonly "stream-changed": StreamSnapshot;
  /** Bytes on the sidecar's stderr: its log. */
  readonly stderr: Buffer;
  /** Something odd that was survived: a line that is no message, a listener that threw. */
  readonly warning: Error;
}

/** Every event of `SidecarClient.on`: the sidecar's notifications and the client's own. */
export type SidecarEvents = SidecarNotifications & ClientEvents;
