/**
 * Everything this package rejects with.
 *
 * ```
 * SidecarError
 * ├── RequestFailed        the sidecar answered with an error; `code` is its `data.code`
 * ├── RequestCancelled     the caller's AbortSignal fired, and the request had no result yet
 * ├── RequestTimedOut      no answer in time
 * ├── RequestTooLarge      the message would not fit in a line; nothing was sent
 * ├── SidecarStartFailed   no sidecar: missing, not executable, another version, no sidecar at all ...
 * ├── SidecarCrashed       the process went away with this call in flight
 * ├── SidecarStopped       `stop()` ended the process with this call in flight
 * └── SidecarUnavailable   not started, stopped, or given up after too many crashes: nothing was sent
 * ```
 */

import { RPC_CODES, type ErrorCode, type ErrorData, type ErrorKind } from "./generated.js";

/** How a process ended, and the last it said on stderr. */
export interface ExitReport {
  /** Exit code; null when a signal ended it or it never ran. */
  readonly exitCode: number | null;
  /** The signal that ended it. */
  readonly signal: NodeJS.Signals | null;
  /** The end of what it wrote to stderr. */
  readonly stderrTail: string;
  /** Bytes of a frame that had begun on stdout when it ended. */
  readonly unfinishedBytes: number;
}

/** Base of all errors here. */
export abstract class SidecarError extends Error {
  /** What happened, to branch on. */
  abstract readonly code: string;

  /** @param message A sentence for the user. */
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** The sidecar answered with an error. */
export class RequestFailed extends SidecarError {
  readonly code: ErrorCode;
  /** The coarse class of `code`. */
  readonly kind: ErrorKind;
  /** Whether the same request may succeed later. */
  readonly retryable: boolean;

  /**
   * @param method The method asked.
   * @param rpcCode The JSON-RPC error number.
   * @param message The sentence for the user.
   * @param data `error.data`, with whatever the sidecar added.
   */
  constructor(
    readonly method: string,
    readonly rpcCode: number,
    message: string,
    readonly data: Partial<ErrorData> & { readonly [key: string]: unknown },
  ) {
    super(message);
    this.code = data.code ?? (rpcCode === RPC_CODES.CANCELLED ? "CANCELLED" : "INTERNAL");
    this.kind = data.kind ?? "internal";
    this.retryable = data.retryable ?? false;
  }

  /** Whether the path is switched off and the host should use its own (`data.delegate`). */
  get isFeatureDisabled(): boolean {
    return this.code === "FEATURE_DISABLED";
  }
}

/** The caller cancelled. */
export class RequestCancelled extends SidecarError {
  readonly code = "CANCELLED";

  /** @param method The method asked. */
  constructor(readonly method: string) {
    super("Request cancelled");
  }
}

/** No answer in time. The sidecar was told that nobody waits any more. */
export class RequestTimedOut extends SidecarError {
  readonly code = "TIMEOUT";

  /**
   * @param method The method asked.
   * @param timeoutMs How long was waited.
   */
  constructor(
    readonly method: string,
    readonly timeoutMs: number,
  ) {
    super(`No answer to ${method} within ${timeoutMs / 1000} s. Try again.`);
  }
}

/** The message would be longer than a line may be. */
export class RequestTooLarge extends SidecarError {
  readonly code = "REQUEST_TOO_LARGE";

  /**
   * @param method The method asked.
   * @param bytes The message's size.
   * @param limit The limit, in bytes.
   */
  constructor(
    readonly method: string,
    readonly bytes: number,
    readonly limit: number,
  ) {
    super(`${method} would send ${bytes} bytes; at most ${limit} are possible. Attach less.`);
  }
}

/**
 * Why there is no sidecar:
 * - `missing`: no file there;
 * - `not-executable`: a file that the system will not run;
 * - `exited`: it ended before it answered;
 * - `timeout`: it did not answer;
 * - `version`: it speaks another protocol version;
 * - `nonsense`: what it says is not the protocol, or it refused the handshake;
 * - `stopped`: `stop()` came first.
 */
export type StartFailure = "missing" | "not-executable" | "exited" | "timeout" | "version" | "nonsense" | "stopped";

/** The sidecar could not be started. */
export class SidecarStartFailed extends SidecarError {
  readonly code = "START_FAILED";

  /**
   * @param reason Why.
   * @param message A sentence for the user.
   * @param exit How the process ended, when there was one.
   */
  constructor(
    readonly reason: StartFailure,
    message: string,
    readonly exit: ExitReport | undefined,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }

  /** The end of what the process wrote to stderr. */
  get stderrTail(): string {
    return this.exit?.stderrTail ?? "";
  }
}

/** Why a running sidecar went away: by itself, or ended by the client because it was no use any more. */
export type CrashReason = "exited" | "unresponsive" | "nonsense";

/** The process went away. */
export class SidecarCrashed extends SidecarError {
  readonly code = "CRASHED";

  /**
   * @param reason Why.
   * @param exit How the process ended.
   */
  constructor(
    readonly reason: CrashReason,
    readonly exit: ExitReport,
  ) {
    super("The AI process stopped unexpectedly. Try again.");
  }

  /** The end of what the process wrote to stderr. */
  get stderrTail(): string {
    return this.exit.stderrTail;
  }
}

/** `stop()` came before the answer; what was asked may have been done. */
export class SidecarStopped extends SidecarError {
  readonly code = "STOPPED";

  constructor() {
    super("The AI process was stopped before it answered.");
  }
}

/** There is no sidecar to ask; nothing was sent. */
export class SidecarUnavailable extends SidecarError {
  readonly code = "UNAVAILABLE";

  /**
   * @param state The client's state.
   * @param cause What led to it.
   */
  constructor(
    readonly state: string,
    cause?: Error,
  ) {
    super(`The AI process is not running (${state}).`, cause === undefined ? undefined : { cause });
  }
}
