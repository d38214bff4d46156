/**
 * The part of the AI SDK's language model interface that is used, versions 2 (`ai` 5) and 3 (`ai` 6; `ai` 7 takes it
 * too). Written out here so that this package depends on none of them; tests hold it to the real types.
 */

import type {
  GeneratedFile,
  ReasoningDeltaPart,
  ReasoningStart,
  Source,
  TextDeltaPart,
  TextEnd,
  TextStart,
  ToolInputDelta,
  ToolInputEnd,
  ToolInputStart,
} from "../generated.js";

/** A JSON value. */
export type JsonValue = null | string | number | boolean | JsonValue[] | { [key: string]: JsonValue };

/** What a provider adds: provider name to its own bag. */
export type ProviderMetadata = Record<string, { [key: string]: JsonValue }>;

// --- what is asked ---------------------------------------------------------------------------------------------------

type Bags = { readonly [provider: string]: { readonly [option: string]: unknown } };

/** A part of a prompt, in the words of either version. */
export interface PromptPart {
  readonly type: string;
  readonly providerOptions?: Bags | undefined;
  readonly [member: string]: unknown;
}

/** A message of a prompt. */
export interface PromptMessage {
  readonly role: "system" | "user" | "assistant" | "tool";
  readonly content: string | readonly object[];
  readonly providerOptions?: Bags | undefined;
}

/** A tool: a function, or one that only the provider's own package knows. */
export interface ToolDefinition {
  readonly type: string;
  readonly name: string;
  readonly [member: string]: unknown;
}

/** Options of `doGenerate` and `doStream`. */
export interface CallOptions {
  readonly prompt: readonly PromptMessage[];
  readonly maxOutputTokens?: number | undefined;
  readonly temperature?: number | undefined;
  readonly stopSequences?: readonly string[] | undefined;
  readonly topP?: number | undefined;
  readonly topK?: number | undefined;
  readonly presencePenalty?: number | undefined;
  readonly frequencyPenalty?: number | undefined;
  readonly seed?: number | undefined;
  readonly responseFormat?: object | undefined;
  readonly tools?: readonly object[] | undefined;
  readonly toolChoice?: object | undefined;
  readonly abortSignal?: AbortSignal | undefined;
  readonly headers?: { readonly [name: string]: string | undefined } | undefined;
  readonly providerOptions?: Bags | undefined;
}

// --- what comes back -------------------------------------------------------------------------------------------------

/** A complete tool call. */
export interface ToolCallContent {
  type: "tool-call";
  toolCallId: string;
  toolName: string;
  input: string;
  providerExecuted?: boolean;
  providerMetadata?: ProviderMetadata;
}

/** The end of a reasoning block. */
export interface ReasoningEndPart {
  type: "reasoning-end";
  id: string;
  providerMetadata?: ProviderMetadata;
}

/** Which model answered. */
export interface ResponseMetadata {
  type: "response-metadata";
  modelId: string;
}

/** Parts that both versions have alike. */
export type CommonPart =
  | TextStart
  | TextDeltaPart
  | TextEnd
  | ReasoningStart
  | ReasoningDeltaPart
  | ReasoningEndPart
  | ToolInputStart
  | ToolInputDelta
  | ToolInputEnd
  | ToolCallContent
  | Source
  | GeneratedFile
  | ResponseMetadata
  | { type: "error"; error: unknown };

/** What both versions have alike in the whole answer. */
export type Content =
  | { type: "text"; text: string }
  | { type: "reasoning"; text: string; providerMetadata?: ProviderMetadata }
  | ToolCallContent
  | Source
  | GeneratedFile;

/** Version 2: why the model stopped. */
export type FinishReasonV2 = "stop" | "length" | "content-filter" | "tool-calls" | "error" | "other" | "unknown";

/** Version 2: tokens. */
export interface UsageV2 {
  inputTokens: number | undefined;
  outputTokens: number | undefined;
  totalTokens: number | undefined;
  reasoningTokens: number | undefined;
  cachedInputTokens: number | undefined;
}

/** Version 2: what is not done as asked. `setting` and `tool` are those of the call. */
export type WarningV2 =
  | { type: "unsupported-setting"; setting: Setting; details?: string }
  | { type: "unsupported-tool"; tool: never; details?: string }
  | { type: "other"; message: string };

/** Settings a warning may name. */
export type Setting = Exclude<keyof CallOptions, "prompt">;

/** Version 3: why the model stopped. */
export interface FinishReasonV3 {
  unified: Exclude<FinishReasonV2, "unknown">;
  raw: string | undefined;
}

/** Version 3: tokens. */
export interface UsageV3 {
  inputTokens: {
    total: number | undefined;
    noCache: number | undefined;
    cacheRead: number | undefined;
    cacheWrite: number | undefined;
  };
  outputTokens: { total: number | undefined; text: number | undefined; reasoning: number | undefined };
}

/** Version 3: what is not done as asked. */
export type WarningV3 =
  | { type: "unsupported"; feature: string; details?: string }
  | { type: "other"; message: string };

/** What the two versions say differently. */
export interface Shapes {
  v2: { finishReason: FinishReasonV2; usage: UsageV2; warning: WarningV2 };
  v3: { finishReason: FinishReasonV3; usage: UsageV3; warning: WarningV3 };
}

/** A version of the interface. */
export type SpecificationVersion = keyof Shapes;

/** A part of a streamed answer. */
export type StreamPart<Version extends SpecificationVersion> =
  | CommonPart
  | { type: "stream-start"; warnings: Shapes[Version]["warning"][] }
  | {
      type: "finish";
      finishReason: Shapes[Version]["finishReason"];
      usage: Shapes[Version]["usage"];
      providerMetadata?: ProviderMetadata;
    };

/** A language model of the AI SDK that the sidecar serves. */
export interface LanguageModel<Version extends SpecificationVersion> {
  readonly specificationVersion: Version;
  /** For logs. */
  readonly provider: string;
  /** `provider/name`. */
  readonly modelId: string;
  /** URLs that the model fetches itself; the AI SDK downloads all others. */
  readonly supportedUrls: Record<string, RegExp[]>;
  /** The whole answer. */
  doGenerate(options: CallOptions): Promise<{
    content: Content[];
    finishReason: Shapes[Version]["finishReason"];
    usage: Shapes[Version]["usage"];
    warnings: Shapes[Version]["warning"][];
    providerMetadata?: ProviderMetadata;
    request: { body: unknown };
    response: { modelId: string };
  }>;
  /** The answer as it comes. Resolves with its first part; what fails before that is thrown. */
  doStream(options: CallOptions): Promise<{
    stream: ReadableStream<StreamPart<Version>>;
    request: { body: unknown };
  }>;
}

/** A model that is asked instead where the sidecar is not to be used: any of the AI SDK's. */
export interface LegacyModel {
  doGenerate(options: never): PromiseLike<unknown>;
  doStream(options: never): PromiseLike<unknown>;
}
