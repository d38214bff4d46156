/**
 * One child process: binary stdio, no shell, the end of its stderr kept, and a way to end it together with everything
 * it started.
 *
 * On POSIX the child leads a process group of its own, so that a one-file binary and the program it unpacks end
 * together. It does not outlive this process: its stdin closes, which the sidecar takes as the order to save and end.
 */

import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";

import { SidecarStartFailed, type ExitReport, type StartFailure } from "./errors.js";

/** How to start the process. */
export interface ProcessOptions {
  /** The program. */
  readonly command: string;
  /** Its arguments. */
  readonly args?: readonly string[];
  /** Working directory. */
  readonly cwd?: string;
  /** Its whole environment; this process's own by default. */
  readonly env?: NodeJS.ProcessEnv;
  /** How much of the end of stderr is kept, in bytes. */
  readonly stderrTailBytes?: number;
}

/** What a process says while it lives. */
export interface ProcessListener {
  /** Bytes on stdout. */
  onStdout(chunk: Buffer): void;
  /** Bytes on stderr. */
  onStderr(chunk: Buffer): void;
  /** Its stdin is broken or its stdout has ended: there is no conversation any more. */
  onBrokenPipe(): void;
}

/** How the process ended; `unfinishedBytes` is for the reader of stdout to add. */
export type ProcessExit = Omit<ExitReport, "unfinishedBytes">;

const DEFAULT_TAIL_BYTES = 16 * 1024;
/** After the exit, how long stdout may stay open in the hands of somebody else. */
const DRAIN_MS = 1_000;
const POSIX = process.platform !== "win32";

/** A process that runs. */
export class ChildProcess {
  /** Resolves when it has ended and all it wrote has been delivered. Never rejects. */
  readonly exited: Promise<ProcessExit>;
  readonly #child: ChildProcessWithoutNullStreams;
  #hasExited = false;

  private constructor(child: ChildProcessWithoutNullStreams, listener: ProcessListener, tailBytes: number) {
    this.#child = child;
    const tail = new Tail(tailBytes);
    child.stdout.on("data", (chunk: Buffer) => listener.onStdout(chunk));
    child.stderr.on("data", (chunk: Buffer) => {
      tail.add(chunk);
      listener.onStderr(chunk);
    });
    for (const stream of [child.stdout, child.stderr]) stream.on("error", () => stream.destroy());
    // EPIPE: it is going, or closed its stdin; the exit says the rest.
    child.stdin.on("error", () => listener.onBrokenPipe());
    child.stdout.once("end", () => listener.onBrokenPipe());
    this.exited = new Promise((resolve) => {
      child.once("exit", () => {
        this.#hasExited = true;
        this.#signalTree("SIGKILL"); // what it started and left behind
        setTimeout(() => [child.stdout, child.stderr].forEach((stream) => stream.destroy()), DRAIN_MS).unref();
      });
      child.once("close", (exitCode, signal) => resolve({ exitCode, signal, stderrTail: tail.text() }));
    });
  }

  /** Start it. @throws SidecarStartFailed (`missing`, `not-executable`) */
  static async spawn(options: ProcessOptions, listener: ProcessListener): Promise<ChildProcess> {
    try {
      const child = spawn(options.command, [...(options.args ?? [])], {
        cwd: options.cwd,
        env: options.env ?? process.env,
        stdio: ["pipe", "pipe", "pipe"],
        shell: false,
        windowsHide: true,
        detached: POSIX,
      });
      const running = new ChildProcess(child, listener, options.stderrTailBytes ?? DEFAULT_TAIL_BYTES);
      await new Promise<void>((resolve, reject) => {
        child.once("spawn", resolve);
        child.once("error", reject);
      });
      child.on("error", () => undefined); // a signal that could not be sent
      return running;
    } catch (error) {
      throw spawnFailure(options.command, error as NodeJS.ErrnoException);
    }
  }

  /** Its process id. */
  get pid(): number {
    return this.#child.pid ?? -1;
  }

  /** Write to its stdin. What cannot be delivered is dropped: the exit says the rest. */
  write(data: string): void {
    if (this.#child.stdin.writable) this.#child.stdin.write(data);
  }

  /** Close its stdin: it has heard everything. */
  closeStdin(): void {
    this.#child.stdin.end();
  }

  /** End it and everything it started, at once. */
  kill(): void {
    if (!this.#hasExited) this.#signalTree("SIGKILL");
  }

  /**
   * End it gently: close stdin, wait; SIGTERM, wait; SIGKILL. What it still writes is delivered meanwhile.
   * @param graceMs How long it may take to end by itself.
   * @param termMs How long it may take after SIGTERM.
   */
  async stop(graceMs: number, termMs: number): Promise<ProcessExit> {
    this.closeStdin();
    if (!(await this.#exitsWithin(graceMs))) {
      this.#signalTree("SIGTERM");
      if (!(await this.#exitsWithin(termMs))) this.kill();
    }
    return this.exited;
  }

  async #exitsWithin(milliseconds: number): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<boolean>((resolve) => (timer = setTimeout(resolve, milliseconds, false)));
    try {
      return await Promise.race([this.exited.then(() => true), late]);
    } finally {
      clearTimeout(timer);
    }
  }

  #signalTree(signal: NodeJS.Signals): void {
    const { pid } = this.#child;
    if (pid === undefined) return;
    if (POSIX) {
      try {
        process.kill(-pid, signal);
      } catch {
        // Nobody is left in the group.
      }
    } else if (!this.#hasExited) {
      // Windows knows neither groups nor SIGTERM for processes without a console.
      const killer = spawn("taskkill", ["/pid", String(pid), "/T", "/F"], { windowsHide: true, stdio: "ignore" });
      killer.on("error", () => this.#child.kill());
    }
  }
}

/** The end of a stream of bytes. */
class Tail {
  #pieces: Buffer[] = [];
  #bytes = 0;

  constructor(private readonly limit: number) {}

  add(chunk: Buffer): void {
    this.#pieces.push(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes > this.limit * 2) this.#cut();
  }

  text(): string {
    this.#cut();
    return this.#pieces.map(String).join("").trimEnd();
  }

  #cut(): void {
    this.#pieces = [Buffer.from(Buffer.concat(this.#pieces).subarray(-this.limit))];
    this.#bytes = this.#pieces[0]?.length ?? 0;
  }
}

function spawnFailure(command: string, error: NodeJS.ErrnoException): SidecarStartFailed {
  const missing = error.code === "ENOENT" || error.code === "ENOTDIR";
  const reason: StartFailure = missing ? "missing" : "not-executable";
  const sentence = missing
    ? `The AI process was not found at ${command}. Reinstall the app.`
    : `The system refused to run ${command} (${error.code ?? error.message}). Reinstall the app, or check its permissions.`;
  return new SidecarStartFailed(reason, sentence, undefined, { cause: error });
}
