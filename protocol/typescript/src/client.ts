/** The host's side of the sidecar: starts it, talks to it, starts it again when it crashes. */

import type {
  ClientState,
  HealthOptions,
  HostHandlers,
  SidecarClientOptions,
  SidecarEvents,
} from "./client-options.js";
import type { RequestOptions } from "./connection.js";
import {
  RequestCancelled,
  RequestTimedOut,
  SidecarCrashed,
  SidecarStartFailed,
  SidecarStopped,
  SidecarUnavailable,
  type ExitReport,
} from "./errors.js";
import { Events, type Listener, type Unsubscribe } from "./events.js";
import { MAX_LINE_BYTES } from "./framing.js";
import {
  PROTOCOL_VERSION,
  type HostCapabilities,
  type HostRequests,
  type InitializeResult,
  type SidecarNotifications,
  type SidecarRequests,
} from "./generated.js";
import { DEFAULT_RESTART, RestartPolicy } from "./restart.js";
import { Session } from "./session.js";
import { ChatStreams } from "./streams.js";

/** Methods that may run for as long as a model answers. */
const UNTIMED: ReadonlySet<string> = new Set(["chat:stream", "llm:stream"]);
const TERM_MS = 2_000;
const MISSED_PINGS = 2;
const DEFAULTS = { startTimeoutMs: 15_000, requestTimeoutMs: 60_000, stopGraceMs: 5_000 };
const DEFAULT_HEALTH: HealthOptions = { intervalMs: 15_000, timeoutMs: 10_000 };

type MethodsWithoutParams = {
  [Method in keyof SidecarRequests]: object extends SidecarRequests[Method]["params"] ? Method : never;
}[keyof SidecarRequests];

/** Runs one sidecar. */
export class SidecarClient {
  readonly #options: SidecarClientOptions;
  readonly #events = new Events<SidecarEvents>((event, error) => {
    // A listener of warnings that throws has nobody left to tell.
    if (event !== "warning") this.#warn(`a listener of ${event} threw`, error);
  });
  readonly #handlers: HostHandlers;
  readonly #restart: RestartPolicy | undefined;
  readonly #streams: ChatStreams;
  #state: ClientState = "idle";
  #session: Session | undefined;
  #starting: Promise<InitializeResult> | undefined;
  #stopping: Promise<ExitReport | undefined> | undefined;
  #abortStart = new AbortController();
  #restartTimer: NodeJS.Timeout | undefined;
  #lastError: Error | undefined;

  /** @param options How to run it. Nothing is started yet. */
  constructor(options: SidecarClientOptions) {
    this.#options = options;
    this.#handlers = { ...options.hostHandlers };
    this.#streams = new ChatStreams(options.loadMessage, (snapshot) => this.#events.emit("stream-changed", snapshot));
    this.#restart = options.restart === false ? undefined : new RestartPolicy({ ...DEFAULT_RESTART, ...options.restart });
  }

  /** Where the client is. */
  get state(): ClientState {
    return this.#state;
  }

  /** The sidecar's process id, while there is one. */
  get pid(): number | undefined {
    return this.#session?.pid;
  }

  /** The newest answer to the handshake, while the sidecar runs. */
  get greeting(): InitializeResult | undefined {
    return this.#session?.greeting;
  }

  /**
   * Start the sidecar; a start under way, or a running sidecar, is shared.
   * @throws SidecarStartFailed - the app then goes on without.
   */
  start(): Promise<InitializeResult> {
    if (this.#stopping !== undefined) return this.#stopping.then(() => this.start());
    if (this.#session !== undefined) return Promise.resolve(this.#session.greeting);
    if (this.#starting === undefined) {
      clearTimeout(this.#restartTimer);
      if (this.#state === "failed") this.#restart?.reset();
      this.#abortStart = new AbortController();
      this.#starting = this.#open(this.#state === "restarting" ? "restarting" : "starting");
    }
    return this.#starting;
  }

  /**
   * Stop it gently: it saves what streams have so far and ends; what it still says is delivered.
   * Resolves with how it ended, undefined when nothing ran. Never rejects.
   */
  stop(): Promise<ExitReport | undefined> {
    this.#stopping ??= this.#stop().finally(() => (this.#stopping = undefined));
    return this.#stopping;
  }

  /**
   * Resolves when calls can be answered.
   * @throws SidecarUnavailable when the client is not started, stopped, or has given up.
   */
  async whenReady(): Promise<InitializeResult> {
    for (;;) {
      if (this.#session !== undefined) return this.#session.greeting;
      if (this.#state !== "starting" && this.#state !== "restarting") {
        throw new SidecarUnavailable(this.#state, this.#lastError);
      }
      await new Promise<void>((resolve) => {
        const off = this.on("state", () => (off(), resolve()));
      });
    }
  }

  /**
   * Ask the sidecar. While it starts (again), the call waits for it.
   * @throws RequestFailed, RequestCancelled, RequestTimedOut, RequestTooLarge, SidecarCrashed, SidecarStopped, SidecarUnavailable
   */
  request<Method extends MethodsWithoutParams>(
    method: Method,
    params?: SidecarRequests[Method]["params"],
    options?: RequestOptions,
  ): Promise<SidecarRequests[Method]["result"]>;
  request<Method extends keyof SidecarRequests>(
    method: Method,
    params: SidecarRequests[Method]["params"],
    options?: RequestOptions,
  ): Promise<SidecarRequests[Method]["result"]>;
  request<Method extends keyof SidecarRequests>(
    method: Method,
    params?: SidecarRequests[Method]["params"],
    options?: RequestOptions,
  ): Promise<SidecarRequests[Method]["result"]> {
    return this.call(method, params, options) as Promise<SidecarRequests[Method]["result"]>;
  }

  /** As `request`, for params and results that are only known at run time (an IPC call passed through). */
  async call(method: string, params?: unknown, options: RequestOptions = {}): Promise<unknown> {
    const timeoutMs =
      options.timeoutMs ?? (UNTIMED.has(method) ? 0 : (this.#options.requestTimeoutMs ?? DEFAULTS.requestTimeoutMs));
    const asked = Date.now();
    if (this.#session === undefined) await this.#readyFor(method, options.signal, timeoutMs);
    if (this.#session === undefined) throw new SidecarUnavailable(this.#state, this.#lastError);
    // What was spent waiting is spent.
    const left = timeoutMs === 0 ? 0 : Math.max(1, timeoutMs - (Date.now() - asked));
    return this.#session.connection.request(method, params, { ...options, timeoutMs: left });
  }

  /** As `whenReady`, but not for longer than the call that waits. */
  async #readyFor(method: string, signal: AbortSignal | undefined, timeoutMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    let abort: () => void = () => undefined;
    const givenUp = new Promise<never>((_, reject) => {
      abort = () => reject(new RequestCancelled(method));
      if (signal?.aborted === true) abort();
      signal?.addEventListener("abort", abort, { once: true });
      if (timeoutMs > 0) timer = setTimeout(() => reject(new RequestTimedOut(method, timeoutMs)), timeoutMs);
    });
    try {
      await Promise.race([this.whenReady(), givenUp]);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    }
  }

  /** Tell the sidecar. Dropped when it is not running. */
  notify(method: string, params?: unknown): void {
    this.#session?.connection.notify(method, params);
  }

  /** Listen to a notification of the sidecar or an event of the client; the result stops it. */
  on<Name extends keyof SidecarEvents>(event: Name, listener: Listener<SidecarEvents[Name]>): Unsubscribe {
    return this.#events.on(event, listener);
  }

  /**
   * Answer a question of the sidecar. It is told at the start what it may ask, so this comes before.
   * @throws Error when the sidecar is running.
   */
  handle<Method extends keyof HostRequests>(method: Method, handler: NonNullable<HostHandlers[Method]>): void {
    if (this.#session !== undefined || this.#starting !== undefined) {
      throw new Error(`Register ${method} before the sidecar is started.`);
    }
    this.#handlers[method] = handler;
  }

  // --- life ---------------------------------------------------------------------------------------------------------

  async #open(state: "starting" | "restarting"): Promise<InitializeResult> {
    this.#setState(state);
    try {
      const session = await Session.open(
        {
          ...this.#options,
          initialize: this.#handshake(),
          startTimeoutMs: this.#options.startTimeoutMs ?? DEFAULTS.startTimeoutMs,
          maxLineBytes: this.#options.maxLineBytes ?? MAX_LINE_BYTES,
          onNotification: (method, params) => this.#notified(method, params),
          onRequest: (method, params, signal) => this.#asked(method, params, signal),
          onStderr: (chunk) => this.#events.emit("stderr", chunk),
          onNonsense: (line) => this.#warn(`the sidecar wrote a line of ${line.length} bytes that is no message`),
        },
        this.#abortStart.signal,
      );
      return this.#opened(session);
    } catch (error) {
      this.#starting = undefined;
      const failure = error as SidecarStartFailed;
      if (failure.reason !== "stopped") this.#startFailed(failure, state === "restarting");
      throw error;
    }
  }

  #opened(session: Session): InitializeResult {
    this.#starting = undefined;
    this.#session = session;
    this.#lastError = undefined;
    const stopPinging = this.#watch(session);
    void session.exited().then((exit) => {
      stopPinging();
      this.#ended(session, exit);
    });
    this.#setState("ready");
    this.#events.emit("ready", session.greeting);
    return session.greeting;
  }

  #startFailed(error: SidecarStartFailed, again: boolean): void {
    this.#lastError = error;
    // A first start that fails will fail again; one after a crash may have met the machine at a bad moment.
    const restartInMs = again ? this.#restart?.crashed(Date.now()) : undefined;
    if (again) this.#events.emit("crash", { error, restartInMs });
    this.#comeBack(restartInMs, error);
  }

  #ended(session: Session, exit: ExitReport): void {
    if (this.#session !== session) return;
    this.#session = undefined;
    const error = new SidecarCrashed(session.endedFor ?? "exited", exit);
    for (const snapshot of this.#streams.interrupted()) this.#events.emit("stream-interrupted", snapshot);
    if (this.#stopping !== undefined) {
      session.connection.close(new SidecarStopped());
      return;
    }
    this.#lastError = error;
    const restartInMs = this.#restart?.crashed(Date.now());
    // The state first: whoever is told of the loss finds a client that is coming back, or has given up.
    this.#comeBack(restartInMs, error);
    session.connection.close(error);
    this.#events.emit("crash", { error, restartInMs });
  }

  #comeBack(restartInMs: number | undefined, error: SidecarStartFailed | SidecarCrashed): void {
    if (restartInMs === undefined) {
      this.#setState("failed");
      this.#events.emit("failed", error);
      return;
    }
    this.#setState("restarting");
    this.#restartTimer = setTimeout(() => void this.start().catch(() => undefined), restartInMs);
  }

  async #stop(): Promise<ExitReport | undefined> {
    clearTimeout(this.#restartTimer);
    this.#abortStart.abort();
    await this.#starting?.catch(() => undefined);
    const session = this.#session;
    const exit = await session?.close(this.#options.stopGraceMs ?? DEFAULTS.stopGraceMs, TERM_MS);
    // Whoever starts again in the same moment must not find the old session.
    if (session !== undefined && exit !== undefined) this.#ended(session, exit);
    this.#setState("stopped");
    return exit;
  }

  /** Ping until the result is called. */
  #watch(session: Session): () => void {
    if (this.#options.health === false) return () => undefined;
    const { intervalMs, timeoutMs } = { ...DEFAULT_HEALTH, ...this.#options.health };
    let missed = 0;
    let waiting = false;
    const timer = setInterval(() => {
      if (waiting) return;
      waiting = true;
      session.connection
        .request("ping", undefined, { timeoutMs })
        .then(() => (missed = 0), () => (missed += 1))
        .finally(() => {
          waiting = false;
          if (missed >= MISSED_PINGS) session.end("unresponsive");
        });
    }, intervalMs);
    timer.unref();
    return () => clearInterval(timer);
  }

  #setState(state: ClientState): void {
    if (state === this.#state) return;
    this.#state = state;
    this.#events.emit("state", state);
  }

  // --- messages -----------------------------------------------------------------------------------------------------

  #handshake(): SidecarRequests["initialize"]["params"] {
    const { clientInfo, paths, chunks = "patch" } = this.#options;
    const capabilities: HostCapabilities = {
      chunks,
      secrets: "host:decrypt-secrets" in this.#handlers && "host:encrypt-secrets" in this.#handlers,
      systemPrompt: "host:system-prompt" in this.#handlers,
      applyResponse: "host:apply-response" in this.#handlers,
      checkProblems: "host:check-problems" in this.#handlers,
    };
    return {
      protocolVersion: PROTOCOL_VERSION,
      processId: process.pid,
      capabilities,
      ...(clientInfo === undefined ? {} : { clientInfo }),
      ...(paths === undefined ? {} : { paths }),
    };
  }

  #notified(method: string, params: unknown): void {
    this.#events.emit(method as keyof SidecarNotifications, params as never);
    switch (method) {
      case "chat:response:chunk":
        this.#events.emit("stream-changed", this.#streams.chunk(params as SidecarNotifications[typeof method]));
        break;
      case "chat:response:end":
      case "chat:response:error":
        this.#streams.ended(params as SidecarNotifications[typeof method]);
        break;
    }
  }

  #asked(method: string, params: unknown, signal: AbortSignal): Promise<unknown> | undefined {
    const handler = this.#handlers[method as keyof HostRequests] as
      | ((params: unknown, signal: AbortSignal) => unknown)
      | undefined;
    // Called at once, so that a cancel in the very next line finds a handler that listens to its signal.
    return handler === undefined ? undefined : (async () => handler(params, signal))();
  }

  #warn(message: string, cause?: unknown): void {
    this.#events.emit("warning", new Error(message, { cause }));
  }
}
