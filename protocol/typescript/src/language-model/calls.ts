/** Model calls in flight: which notification belongs to which, and each one's parts as a stream. */

import { randomUUID } from "node:crypto";

import type { SidecarClient } from "../client.js";
import type { Unsubscribe } from "../events.js";
import type { FinishPart, LlmPart, LlmStreamResult, ModelRef } from "../generated.js";
import { asCallError, ModelCallFailed } from "./errors.js";
import { streamParams } from "./request.js";
import type { Shape } from "./shapes.js";
import type {
  CallOptions,
  CommonPart,
  ProviderMetadata,
  SpecificationVersion,
  StreamPart,
} from "./specification.js";

/** The calls of one client. */
export class ModelCalls {
  readonly #running = new Map<string, Call<SpecificationVersion>>();
  #unsubscribe: Unsubscribe | undefined;

  /** @param client Who is asked. */
  constructor(private readonly client: SidecarClient) {}

  /**
   * Start a call. Resolves with its first part.
   * @throws ModelCallFailed when it failed before that; the signal's reason when it was aborted.
   */
  async start<Version extends SpecificationVersion>(
    model: ModelRef,
    options: CallOptions,
    shape: Shape<Version>,
  ): Promise<{ stream: ReadableStream<StreamPart<Version>>; request: { body: unknown } }> {
    options.abortSignal?.throwIfAborted();
    const body = streamParams(randomUUID(), model, options);
    const call = new Call(model, body, options, shape);
    this.#unsubscribe ??= this.client.on("llm:part", (part) => this.#running.get(part.callId)?.take(part));
    this.#running.set(body.callId, call);
    this.client
      .request("llm:stream", body, { signal: call.signal })
      .then((result) => call.done(result), (error: unknown) => call.fail(asCallError(error, model, body)))
      .finally(() => this.#ended(body.callId));
    await call.begun;
    return { stream: call.stream, request: { body } };
  }

  #ended(callId: string): void {
    this.#running.delete(callId);
    if (this.#running.size > 0) return;
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
  }
}

/** One call. Its stream ends once: with a finish part, an error part and a finish part, or the signal's reason. */
class Call<Version extends SpecificationVersion> {
  readonly stream: ReadableStream<StreamPart<Version>>;
  /** Resolves with the first part. */
  readonly begun: Promise<void>;
  readonly #cancel = new AbortController();
  #out!: ReadableStreamDefaultController<StreamPart<Version>>;
  #begin!: () => void;
  #failToBegin!: (error: unknown) => void;
  #hasBegun = false;
  #isOver = false;
  #nextSeq = 0;
  /** Waits for the response, which says who answered. */
  #finish: FinishPart | undefined;

  constructor(
    private readonly model: ModelRef,
    private readonly body: unknown,
    private readonly options: CallOptions,
    private readonly shape: Shape<Version>,
  ) {
    this.stream = new ReadableStream<StreamPart<Version>>({
      start: (controller) => void (this.#out = controller),
      cancel: () => this.#end(() => this.#cancel.abort()),
    });
    this.begun = new Promise((resolve, reject) => ([this.#begin, this.#failToBegin] = [resolve, reject]));
    options.abortSignal?.addEventListener("abort", this.#aborted, { once: true });
  }

  /** Fires when nobody wants the answer any more. */
  get signal(): AbortSignal {
    return this.#cancel.signal;
  }

  /** A part arrived. */
  take({ seq, part }: LlmPart): void {
    if (this.#isOver) return;
    if (seq !== this.#nextSeq++) {
      this.#cancel.abort();
      this.fail(this.#failure("A part of the answer was lost. Try again."));
      return;
    }
    // What an error part says, the response says too.
    if (part.type === "error") return;
    if (part.type === "stream-start") this.#start(part.warnings);
    else {
      this.#start([]);
      if (part.type === "finish") this.#finish = part;
      else this.#put(part as CommonPart);
    }
  }

  /** The response arrived: all is said. */
  done(result: LlmStreamResult): void {
    this.#end(() => {
      this.#start(result.warnings);
      this.#put({ type: "response-metadata", modelId: result.model.name });
      const providerMetadata = { scalix: { model: result.model, attempts: result.attempts } };
      this.#put({
        type: "finish",
        ...this.shape.finish(this.#finish ?? result),
        providerMetadata: providerMetadata as unknown as ProviderMetadata,
      });
      this.#out.close();
    });
  }

  /** It failed. */
  fail(error: ModelCallFailed): void {
    this.#end(() => {
      if (!this.#hasBegun) {
        this.#failToBegin(error);
        return;
      }
      this.#put({ type: "error", error });
      this.#put({ type: "finish", ...this.shape.finish({ finishReason: "error", usage: {} }) });
      this.#out.close();
    });
  }

  readonly #aborted = (): void => {
    const reason: unknown = this.options.abortSignal?.reason;
    this.#cancel.abort();
    this.#end(() => {
      this.#failToBegin(reason);
      if (this.#hasBegun) this.#out.error(reason);
    });
  };

  #start(warnings: LlmStreamResult["warnings"]): void {
    if (this.#hasBegun) return;
    this.#hasBegun = true;
    this.#put({ type: "stream-start", warnings: warnings.map((warning) => this.shape.warning(warning, this.options)) });
    this.#begin();
  }

  #put(part: StreamPart<Version>): void {
    this.#out.enqueue(part);
  }

  #end(last: () => void): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.options.abortSignal?.removeEventListener("abort", this.#aborted);
    last();
  }

  #failure(message: string): ModelCallFailed {
    return new ModelCallFailed(message, { code: "STREAM_INTERRUPTED", model: this.model, body: this.body });
  }
}
