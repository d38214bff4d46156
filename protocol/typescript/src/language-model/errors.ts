/**
 * Errors as the AI SDK knows them. It recognises its own by registered symbols, not by class, so that these pass for
 * `APICallError` and `NoSuchModelError` whichever version of `ai` looks at them.
 */

import { RequestFailed, SidecarCrashed, SidecarError } from "../errors.js";
import type { ErrorCode, ModelRef } from "../generated.js";

const SDK_ERROR: unique symbol = Symbol.for("vercel.ai.error");
const API_CALL_ERROR: unique symbol = Symbol.for("vercel.ai.error.AI_APICallError");
const NO_SUCH_MODEL: unique symbol = Symbol.for("vercel.ai.error.AI_NoSuchModelError");

/** What a provider would have answered, for codes that come without its own status. */
const STATUS: Partial<Record<string, number>> = {
  VALIDATION: 400,
  BAD_REQUEST: 400,
  CONTEXT_LENGTH_EXCEEDED: 400,
  CONTENT_FILTERED: 400,
  MISSING_API_KEY: 401,
  SECRET_LOCKED: 401,
  AUTHENTICATION_FAILED: 401,
  INSUFFICIENT_CREDITS: 402,
  PERMISSION_DENIED: 403,
  NOT_FOUND: 404,
  CONFLICT: 409,
  RATE_LIMIT_EXCEEDED: 429,
  MODEL_UNAVAILABLE: 503,
  OVERLOADED: 503,
};

/**
 * Codes after which the AI SDK may try again. Everything a provider said has been tried three times by the sidecar
 * (and other models asked, where the user wants that), so a second loop around it would only cost time and money.
 */
const RETRYABLE: ReadonlySet<string> = new Set<ErrorCode | "CRASHED">(["OVERLOADED", "DATABASE_BUSY", "CRASHED"]);

/** What is known of a failure. */
export interface FailureDetails {
  /** The sidecar's `data.code`, or the code of a `SidecarError`. */
  readonly code: string;
  /** `error.data` of the sidecar. */
  readonly data?: { readonly [key: string]: unknown } | undefined;
  /** The model asked. */
  readonly model?: ModelRef | undefined;
  /** The request. */
  readonly body?: unknown;
  /** What it came from. */
  readonly cause?: unknown;
}

/** A model call failed. To the AI SDK an `APICallError`. */
export class ModelCallFailed extends Error {
  readonly [SDK_ERROR] = true;
  readonly [API_CALL_ERROR] = true;
  override readonly name = "AI_APICallError";
  /** What happened, to branch on: an `ErrorCode`, or the code of a `SidecarError`. */
  readonly code: string;
  /** `scalix:provider/name`: the sidecar does not tell addresses. */
  readonly url: string;
  /** The request, as the sidecar got it. */
  readonly requestBodyValues: unknown;
  /** The provider's HTTP status, or the one its code stands for. */
  readonly statusCode: number | undefined;
  /** How long to wait, where that is known. */
  readonly responseHeaders: Record<string, string> | undefined;
  /** What the provider answered beyond the message; keys are cut out. */
  readonly responseBody: string | undefined;
  /** Whether the AI SDK should try again; what the sidecar has tried itself it should not. */
  readonly isRetryable: boolean;
  /** `error.data` of the sidecar. */
  readonly data: { readonly [key: string]: unknown } | undefined;

  /**
   * @param message The sentence for the user.
   * @param details What is known.
   */
  constructor(message: string, { code, data, model, body, cause }: FailureDetails) {
    super(message, cause === undefined ? undefined : { cause });
    const { status, details, retryAfterMs } = data ?? {};
    this.code = code;
    this.url = model === undefined ? "scalix:" : `scalix:${model.provider}/${model.name}`;
    this.requestBodyValues = body;
    this.statusCode = typeof status === "number" ? status : STATUS[code];
    this.responseHeaders = typeof retryAfterMs === "number" ? { "retry-after-ms": String(retryAfterMs) } : undefined;
    this.responseBody = typeof details === "string" ? details : undefined;
    this.isRetryable = RETRYABLE.has(code);
    this.data = data;
  }
}

/** There is no such model, or no model of that kind. To the AI SDK a `NoSuchModelError`. */
export class NoSuchModel extends Error {
  readonly [SDK_ERROR] = true;
  readonly [NO_SUCH_MODEL] = true;
  override readonly name = "AI_NoSuchModelError";

  /**
   * @param modelId What was asked for.
   * @param modelType The kind.
   */
  constructor(
    readonly modelId: string,
    readonly modelType: "languageModel" | "embeddingModel" | "textEmbeddingModel" | "imageModel",
  ) {
    super(
      modelType === "languageModel"
        ? `"${modelId}" names no model. Write provider/name, for example anthropic/claude-sonnet-4-20250514.`
        : `The sidecar serves language models only; it has no ${modelType} "${modelId}".`,
    );
  }
}

/** Anything a request to the sidecar rejects with, as the AI SDK's error. */
export function asCallError(error: unknown, model: ModelRef, body: unknown): ModelCallFailed {
  if (error instanceof ModelCallFailed) return error;
  const message = error instanceof Error ? error.message : String(error);
  const code = error instanceof SidecarCrashed ? "CRASHED" : error instanceof SidecarError ? error.code : "INTERNAL";
  const data = error instanceof RequestFailed ? error.data : undefined;
  return new ModelCallFailed(message, { code, data, model, body, cause: error });
}
