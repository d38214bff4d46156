/**
 * JSON-RPC 2.0 over a pair of byte streams: requests and their answers, both ways. Knows nothing of processes.
 *
 * Every request settles exactly once: by its answer, its time-out, or `close`. A request that its caller aborted waits
 * for the answer the sidecar still owes (its result when it was done, else "cancelled"), but not longer than
 * `CANCEL_GRACE_MS`.
 */

import { RequestCancelled, RequestFailed, RequestTimedOut, RequestTooLarge } from "./errors.js";
import { LineDecoder, MAX_LINE_BYTES } from "./framing.js";
import { RPC_CODES } from "./generated.js";

/** How long an aborted request waits for its answer. */
export const CANCEL_GRACE_MS = 5_000;

/** Per request. */
export interface RequestOptions {
  /** Cancels the request (`$/cancelRequest`). */
  readonly signal?: AbortSignal;
  /** Longest wait for the answer, in ms; 0 means none. */
  readonly timeoutMs?: number;
}

/** What a connection is wired to. */
export interface ConnectionWiring {
  /** Sends bytes; never throws. */
  write(line: string): void;
  /** A notification arrived. */
  onNotification(method: string, params: unknown): void;
  /** A request arrived; the result, or the error's message, is sent back. Undefined: no such method. */
  onRequest(method: string, params: unknown, signal: AbortSignal): Promise<unknown> | undefined;
  /** A line arrived that is no message. */
  onNonsense(line: Buffer): void;
}

type Id = string | number;

interface Pending {
  readonly method: string;
  resolve(result: unknown): void;
  reject(error: Error): void;
}

type JsonObject = { readonly [key: string]: unknown };

/** One conversation. */
export class RpcConnection {
  readonly #decoder: LineDecoder;
  readonly #pending = new Map<number, Pending>();
  readonly #answering = new Map<Id, AbortController>();
  #nextId = 1;
  #closed: Error | undefined;

  /**
   * @param wiring What it is connected to.
   * @param maxLineBytes Longest line, both ways.
   */
  constructor(
    private readonly wiring: ConnectionWiring,
    private readonly maxLineBytes: number = MAX_LINE_BYTES,
  ) {
    this.#decoder = new LineDecoder(maxLineBytes);
  }

  /** Requests without an answer yet. */
  get inFlight(): number {
    return this.#pending.size;
  }

  /** Bytes of a frame that has begun and not ended. */
  get unfinishedBytes(): number {
    return this.#decoder.unfinishedBytes;
  }

  /** Take bytes from the other side. @throws LineTooLong */
  receive(chunk: Buffer): void {
    for (const line of this.#decoder.feed(chunk)) this.#line(line);
  }

  /** Ask. Rejects with `RequestFailed`, `RequestCancelled`, `RequestTimedOut`, `RequestTooLarge`, or what `close` got. */
  request(method: string, params: unknown, options: RequestOptions = {}): Promise<unknown> {
    const { signal, timeoutMs = 0 } = options;
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    if (signal?.aborted === true) return Promise.reject(new RequestCancelled(method));
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      let timer: NodeJS.Timeout | undefined;
      const giveUp = (error: Error): void => {
        this.#pending.get(id)?.reject(error);
      };
      const abort = (): void => {
        this.notify("$/cancelRequest", { id });
        clearTimeout(timer);
        timer = setTimeout(() => giveUp(new RequestCancelled(method)), CANCEL_GRACE_MS);
      };
      const settle = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
        this.#pending.delete(id);
      };
      this.#pending.set(id, {
        method,
        resolve: (result) => (settle(), resolve(result)),
        reject: (error) => (settle(), reject(error)),
      });
      if (timeoutMs > 0) {
        timer = setTimeout(() => {
          this.notify("$/cancelRequest", { id });
          giveUp(new RequestTimedOut(method, timeoutMs));
        }, timeoutMs);
      }
      signal?.addEventListener("abort", abort, { once: true });
      try {
        this.#send({ jsonrpc: "2.0", id, method, ...(params === undefined ? {} : { params }) }, method);
      } catch (error) {
        giveUp(error as Error);
      }
    });
  }

  /** Tell. Nothing is sent on a closed connection. @throws RequestTooLarge */
  notify(method: string, params?: unknown): void {
    this.#send({ jsonrpc: "2.0", method, ...(params === undefined ? {} : { params }) }, method);
  }

  /** The other side is gone: reject what waits, stop what is being answered. The first call wins. */
  close(error: Error): void {
    if (this.#closed !== undefined) return;
    this.#closed = error;
    for (const pending of [...this.#pending.values()]) pending.reject(error);
    for (const controller of this.#answering.values()) controller.abort();
    this.#answering.clear();
  }

  #send(message: JsonObject, method: string): void {
    if (this.#closed !== undefined) return;
    const line = JSON.stringify(message);
    // A code unit is at most three bytes, so that most messages need no count.
    if (line.length * 3 > this.maxLineBytes) {
      const bytes = Buffer.byteLength(line);
      if (bytes > this.maxLineBytes) throw new RequestTooLarge(method, bytes, this.maxLineBytes);
    }
    this.wiring.write(`${line}\n`);
  }

  #line(line: Buffer): void {
    let value: unknown;
    try {
      value = JSON.parse(line.toString("utf8"));
    } catch {
      this.wiring.onNonsense(line);
      return;
    }
    for (const message of Array.isArray(value) ? (value as unknown[]) : [value]) {
      if (!isObject(message) || message["jsonrpc"] !== "2.0" || !this.#message(message)) this.wiring.onNonsense(line);
    }
  }

  /** False when it is no message. */
  #message(message: JsonObject): boolean {
    const { id, method, params } = message;
    if (typeof method === "string") {
      if (typeof id === "string" || typeof id === "number") void this.#answer(id, method, params);
      else if (method === "$/cancelRequest") this.#cancelled(params);
      else this.wiring.onNotification(method, params);
      return true;
    }
    if (!("result" in message) && !isObject(message["error"])) return false;
    const pending = typeof id === "number" ? this.#pending.get(id) : undefined;
    if (pending === undefined) return true; // late: its caller has given up
    if (isObject(message["error"])) pending.reject(asError(pending.method, message["error"]));
    else pending.resolve(message["result"]);
    return true;
  }

  #cancelled(params: unknown): void {
    const id = isObject(params) ? params["id"] : undefined;
    if (typeof id === "string" || typeof id === "number") this.#answering.get(id)?.abort();
  }

  async #answer(id: Id, method: string, params: unknown): Promise<void> {
    const controller = new AbortController();
    this.#answering.set(id, controller);
    let reply: JsonObject;
    try {
      const answer = this.wiring.onRequest(method, params, controller.signal);
      reply =
        answer === undefined
          ? { error: { code: RPC_CODES.METHOD_NOT_FOUND, message: `Method not found: ${method}`, data: {} } }
          : { result: (await answer) ?? null };
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      reply = { error: { code: RPC_CODES.APPLICATION, message, data: { code: "INTERNAL", kind: "internal" } } };
    } finally {
      this.#answering.delete(id);
    }
    try {
      this.#send({ jsonrpc: "2.0", id, ...reply }, method);
    } catch (error) {
      const message = (error as Error).message;
      this.#send({ jsonrpc: "2.0", id, error: { code: RPC_CODES.APPLICATION, message, data: {} } }, method);
    }
  }
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function asError(method: string, error: JsonObject): Error {
  const code = typeof error["code"] === "number" ? error["code"] : RPC_CODES.INTERNAL;
  if (code === RPC_CODES.CANCELLED) return new RequestCancelled(method);
  const message = typeof error["message"] === "string" ? error["message"] : `${method} failed.`;
  return new RequestFailed(method, code, message, isObject(error["data"]) ? error["data"] : {});
}
