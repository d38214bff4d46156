/** One run of the sidecar: a process and the conversation with it, from the handshake to the exit. */

import { RpcConnection, type ConnectionWiring } from "./connection.js";
import { RequestFailed, RequestTimedOut, SidecarStartFailed, type CrashReason, type ExitReport } from "./errors.js";
import { PROTOCOL_VERSION, type InitializeParams, type InitializeResult } from "./generated.js";
import { ChildProcess, type ProcessOptions } from "./process.js";

/** Lines that are no messages, after the handshake, before the process is taken for broken. */
const MAX_NONSENSE = 100;
/** How long a process with a broken pipe may take to end by itself. */
const BROKEN_PIPE_MS = 1_000;

/** What a session needs. */
export interface SessionOptions extends ProcessOptions {
  /** The handshake. */
  readonly initialize: InitializeParams;
  /** How long starting may take, in ms. */
  readonly startTimeoutMs: number;
  /** Longest line, in bytes. */
  readonly maxLineBytes: number;
  /** Messages of the sidecar. */
  readonly onNotification: ConnectionWiring["onNotification"];
  /** Questions of the sidecar. */
  readonly onRequest: ConnectionWiring["onRequest"];
  /** Its stderr. */
  onStderr(chunk: Buffer): void;
  /** A line that is no message. */
  onNonsense(line: Buffer): void;
}

/** A sidecar that has answered the handshake. */
export class Session {
  /** Why the client ended it; undefined when it ended by itself. */
  endedFor: CrashReason | undefined;
  /** The answer to the handshake. */
  greeting!: InitializeResult;

  private constructor(
    private readonly process: ChildProcess,
    /** The conversation. */
    readonly connection: RpcConnection,
  ) {}

  /** Start the process and do the handshake. On failure nothing is left running. @throws SidecarStartFailed */
  static async open(options: SessionOptions, signal: AbortSignal): Promise<Session> {
    let session: Session | undefined;
    let firstNonsense: (line: string) => void = () => undefined;
    const nonsense = new Promise<string>((resolve) => (firstNonsense = resolve));
    let nonsenseLines = 0;
    const heardNonsense = (line: Buffer): void => {
      nonsenseLines += 1;
      firstNonsense(line.toString("utf8", 0, 200));
      options.onNonsense(line);
      if (nonsenseLines > MAX_NONSENSE) session?.end("nonsense");
    };
    const wiring: ConnectionWiring = {
      write: (line) => session?.process.write(line),
      onNotification: options.onNotification,
      onRequest: options.onRequest,
      onNonsense: heardNonsense,
    };
    const connection = new RpcConnection(wiring, options.maxLineBytes);
    const process = await ChildProcess.spawn(options, {
      onStdout: (chunk) => {
        if (session?.endedFor !== undefined) return; // what was poured before the kill arrived
        try {
          connection.receive(chunk);
        } catch (error) {
          firstNonsense((error as Error).message);
          session?.end("nonsense"); // a line without end
        }
      },
      onStderr: options.onStderr,
      onBrokenPipe: () => setTimeout(() => session?.end("exited"), BROKEN_PIPE_MS).unref(),
    });
    session = new Session(process, connection);
    await session.#handshake(options, nonsense, signal);
    return session;
  }

  /** Its process id. */
  get pid(): number {
    return this.process.pid;
  }

  /** Resolves when the process has ended and all it said has been handled. */
  async exited(): Promise<ExitReport> {
    return { ...(await this.process.exited), unfinishedBytes: this.connection.unfinishedBytes };
  }

  /** End it at once: it is no use any more. */
  end(reason: CrashReason): void {
    this.endedFor ??= reason;
    this.process.kill();
  }

  /**
   * End it gently: `shutdown`, `exit`, end of stdin; then SIGTERM and SIGKILL of all it started.
   * @param graceMs How long it may take to save and end.
   * @param termMs How long it may take after SIGTERM.
   */
  async close(graceMs: number, termMs: number): Promise<ExitReport> {
    const deadline = Date.now() + graceMs;
    // An answer that does not come is no news: the exit decides.
    await Promise.race([
      this.connection.request("shutdown", undefined, { timeoutMs: graceMs }).catch(() => undefined),
      this.process.exited,
    ]);
    this.connection.notify("exit");
    await this.process.stop(Math.max(0, deadline - Date.now()), termMs);
    return this.exited();
  }

  async #handshake(options: SessionOptions, nonsense: Promise<string>, signal: AbortSignal): Promise<void> {
    // Until it has said who it is, it may be a program that ignores the end of its stdin.
    const orphaned = (): void => this.process.kill();
    process.once("exit", orphaned);
    let aborted: () => void = () => undefined;
    const stopped = new Promise<"stopped">((resolve) => {
      aborted = () => resolve("stopped");
      signal.addEventListener("abort", aborted, { once: true });
      if (signal.aborted) aborted();
    });
    try {
      const answer = this.connection.request("initialize", options.initialize, { timeoutMs: options.startTimeoutMs });
      const outcome = await Promise.race([
        answer.then((result) => ({ result }), (error: Error) => ({ error })),
        nonsense.then((line) => ({ line })),
        this.process.exited.then(() => ({ gone: true as const })),
        stopped,
      ]);
      const failure = judge(outcome, options);
      if (failure === undefined) {
        this.greeting = (outcome as { result: InitializeResult }).result;
        return;
      }
      this.end("nonsense");
      const exit = await this.exited();
      this.connection.close(new SidecarStartFailed(failure.reason, failure.message, exit));
      throw new SidecarStartFailed(failure.reason, failure.message, exit, { cause: failure.cause });
    } finally {
      signal.removeEventListener("abort", aborted);
      process.removeListener("exit", orphaned);
    }
  }
}

type Outcome = { result: unknown } | { error: Error } | { line: string } | { gone: true } | "stopped";

interface Failure {
  readonly reason: SidecarStartFailed["reason"];
  readonly message: string;
  readonly cause?: unknown;
}

/** What is wrong with a handshake; undefined when nothing is. */
function judge(outcome: Outcome, { command, startTimeoutMs }: SessionOptions): Failure | undefined {
  if (outcome === "stopped") return { reason: "stopped", message: "The AI process was stopped while it started." };
  if ("gone" in outcome) return { reason: "exited", message: "The AI process ended while it started." };
  if ("line" in outcome) {
    const message = `${command} does not speak the sidecar's protocol. Reinstall the app.`;
    return { reason: "nonsense", message, cause: outcome.line };
  }
  if ("error" in outcome) return refusal(outcome.error, startTimeoutMs);
  const version = (outcome.result as Partial<InitializeResult> | null)?.protocolVersion;
  return version === PROTOCOL_VERSION ? undefined : wrongVersion(String(version));
}

function refusal(error: Error, startTimeoutMs: number): Failure {
  if (error instanceof RequestTimedOut) {
    return { reason: "timeout", message: `The AI process did not answer within ${startTimeoutMs / 1000} s.`, cause: error };
  }
  if (error instanceof RequestFailed && error.data.path === "protocolVersion") return wrongVersion("another", error);
  return { reason: "nonsense", message: `The AI process refused the handshake: ${error.message}`, cause: error };
}

function wrongVersion(version: string, cause?: Error): Failure {
  const message = `The AI process speaks protocol version ${version}, this app speaks ${PROTOCOL_VERSION}. Reinstall the app.`;
  return { reason: "version", message, cause };
}
