// Written by `python3 scripts/dev.py generate` from protocol/*.py. Change those, not this file.

/** The version of the wire contract these types describe. */
export const PROTOCOL_VERSION = 1 as const;

/** JSON-RPC error numbers: which layer refused. */
export const RPC_CODES = {
  "PARSE": -32700,
  "INVALID_REQUEST": -32600,
  "METHOD_NOT_FOUND": -32601,
  "INVALID_PARAMS": -32602,
  "INTERNAL": -32603,
  "NOT_INITIALIZED": -32002,
  "OVERLOADED": -32001,
  "APPLICATION": -32000,
  "CANCELLED": -32800
} as const;

/** `data.code` of an error: what happened. */
export const ERROR_CODES = [
  "VALIDATION",
  "NOT_FOUND",
  "CONFLICT",
  "MISSING_API_KEY",
  "AUTHENTICATION_FAILED",
  "PERMISSION_DENIED",
  "INSUFFICIENT_CREDITS",
  "RATE_LIMIT_EXCEEDED",
  "MODEL_UNAVAILABLE",
  "CONTEXT_LENGTH_EXCEEDED",
  "CONTENT_FILTERED",
  "BAD_REQUEST",
  "TIMEOUT",
  "NETWORK",
  "STREAM_INTERRUPTED",
  "DATABASE_BUSY",
  "DATABASE_UNREADABLE",
  "DATABASE_TOO_NEW",
  "SETTINGS_UNREADABLE",
  "SECRET_LOCKED",
  "FEATURE_DISABLED",
  "CANCELLED",
  "OVERLOADED",
  "INTERNAL"
] as const;

/** `data.code` of an error. */
export type ErrorCode = (typeof ERROR_CODES)[number];

/** `data.kind` of an error: its coarse class. */
export const ERROR_KINDS = [
  "validation",
  "not_found",
  "conflict",
  "auth",
  "rate_limited",
  "unavailable",
  "external",
  "cancelled",
  "internal"
] as const;

/** `data.kind` of an error. */
export type ErrorKind = (typeof ERROR_KINDS)[number];

/** The kind of each code. */
export const KIND_OF = {
  "VALIDATION": "validation",
  "NOT_FOUND": "not_found",
  "CONFLICT": "conflict",
  "MISSING_API_KEY": "auth",
  "AUTHENTICATION_FAILED": "auth",
  "PERMISSION_DENIED": "auth",
  "INSUFFICIENT_CREDITS": "auth",
  "RATE_LIMIT_EXCEEDED": "rate_limited",
  "MODEL_UNAVAILABLE": "unavailable",
  "CONTEXT_LENGTH_EXCEEDED": "validation",
  "CONTENT_FILTERED": "external",
  "BAD_REQUEST": "external",
  "TIMEOUT": "external",
  "NETWORK": "external",
  "STREAM_INTERRUPTED": "external",
  "DATABASE_BUSY": "unavailable",
  "DATABASE_UNREADABLE": "unavailable",
  "DATABASE_TOO_NEW": "unavailable",
  "SETTINGS_UNREADABLE": "unavailable",
  "SECRET_LOCKED": "auth",
  "FEATURE_DISABLED": "unavailable",
  "CANCELLED": "cancelled",
  "OVERLOADED": "unavailable",
  "INTERNAL": "internal"
} as const;

/**
 * Params of `analytics:get`; `since` (included) and `until` (not included) are ISO 8601.
 *
 * Without them: the last 30 days, or with `bucket` `hour` the last 48 hours, up to now. `timeZone` is an IANA
 * name (`Europe/Berlin`); without it days and hours are those of this machine.
 */
export interface AnalyticsParams {
  readonly since?: string | null;
  readonly until?: string | null;
  readonly bucket?: "day" | "hour";
  readonly timeZone?: string | null;
}

/**
 * Result of `analytics:get`; models and providers with most requests first, the series without gaps.
 *
 * `warnings` are sentences about what is odd in the figures.
 */
export interface AnalyticsResult {
  readonly analytics: AnalyticsSummary;
  readonly totals: AnalyticsTotals;
  readonly models: readonly ModelFigures[];
  readonly providers: readonly ProviderFigures[];
  readonly series: readonly SeriesPoint[];
  readonly since: string;
  readonly until: string;
  /** The name asked for, or `local`. */
  readonly timeZone: string;
  readonly priceVersion: string | null;
  readonly warnings: readonly string[];
}

/**
 * The four figures of the plan; the exact numbers behind them are in `totals`.
 *
 * `cost_savings` (`"$12.50"`): what the same tokens would have cost on the selected model, or on the dearest
 * model with a key where the selected one has no price, less what they did cost. `model_efficiency` (`"85%"`):
 * answers completed on the first attempt, of all asked for and not cancelled at once. `response_time_avg`
 * (`"1.2s"`): from the request to the end of a completed answer. `fallback_usage`: completed answers that another
 * model than the one asked first gave. Without data they are `"$0.00"`, `"0%"`, `"0.0s"` and 0.
 */
export interface AnalyticsSummary {
  readonly cost_savings: string;
  readonly model_efficiency: string;
  readonly response_time_avg: string;
  readonly fallback_usage: number;
}

/** The whole period. `savingsUsd` is against `savingsReference`; null when neither has a price. */
export interface AnalyticsTotals {
  readonly requests: number;
  readonly attempts: number;
  readonly completed: number;
  readonly failed: number;
  readonly cancelled: number;
  readonly skipped: number;
  readonly fallbacks: number;
  readonly successRate: number | null;
  readonly firstAttemptRate: number | null;
  readonly responseTimeAvgMs: number | null;
  readonly ttftP50Ms: number | null;
  readonly ttftP95Ms: number | null;
  readonly tokensPerSecond: number | null;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly reasoningTokens: number;
  readonly cachedInputTokens: number;
  readonly totalTokens: number;
  readonly estimatedRequests: number;
  readonly costUsd: number | null;
  readonly unknownCostRequests: number;
  readonly savingsUsd: number | null;
  readonly savingsReference: ModelRef | null;
}

/** Params of `host:apply-response`: carry the complete answer out (app contract 8). */
export interface ApplyResponseParams {
  readonly chatId: number;
  readonly messageId: number;
  readonly response: string;
  readonly chatSummary: string | null;
  readonly attachments?: readonly UploadedFile[];
}

/** Result of `host:apply-response`; `error` when it failed. */
export interface ApplyResponseResult {
  readonly updatedFiles?: boolean | null;
  readonly extraFiles?: readonly string[] | null;
  readonly extraFilesError?: string | null;
  readonly error?: string | null;
}

/** What the model said. */
export interface AssistantMessage {
  readonly role: "assistant";
  readonly content: readonly (TextPart | FilePart | ReasoningPart | ToolCallPart | ToolResultPart)[];
  readonly providerOptions?: { readonly [key: string]: unknown } | null;
}

/** A file the user added; `data` is a base64 data URL, or the base64 alone. */
export interface Attachment {
  readonly name: string;
  readonly type: string;
  readonly data: string;
  readonly attachmentType?: "chat-context" | "upload-to-codebase";
}

/** An attachment without its bytes; `type` is its MIME type. */
export interface AttachmentSummary {
  readonly name: string;
  readonly type: string;
  readonly attachmentType: "chat-context" | "upload-to-codebase";
}

/** One try at one model; times in ms. */
export interface AttemptReport {
  readonly provider: string;
  readonly name: string;
  readonly outcome: string;
  readonly ms: number;
  readonly code?: string;
  readonly ttftMs?: number;
}

/** Something asked for that this model does not do. `setting` or `tool` names it. */
export interface CallWarning {
  readonly type: "other" | "unsupported-setting" | "unsupported-tool";
  readonly setting?: string;
  readonly tool?: string;
  readonly details?: string;
  readonly message?: string;
}

/** Params of `$/cancelRequest`: the id of a request of the same sender. */
export interface CancelRequestParams {
  readonly id: string | number;
}

/** One model that was weighed. `why` are its figures in words. */
export interface Candidate {
  readonly provider: string;
  readonly name: string;
  readonly score: number;
  readonly why: readonly string[];
}

/** `chat:cancel`. */
export interface ChatCancelParams {
  readonly chatId: number;
}

/** `chat:count-tokens`: `input` is what stands in the prompt box. */
export interface ChatCountTokensParams {
  readonly chatId: number;
  readonly input: string;
}

/** `chat:response:end` of a stream. */
export interface ChatEnd {
  readonly chatId: number;
  readonly streamId: string;
  readonly seq: number;
  readonly updatedFiles: boolean;
  readonly extraFiles?: readonly string[];
  readonly extraFilesError?: string;
  readonly messageId: number;
  readonly wasCancelled: boolean;
  readonly finishReason: string;
  readonly chatSummary?: string;
  readonly model: ModelRef;
  readonly usage: UsageReport;
  readonly contextWindow: number;
  readonly totalTokens: number | null;
  readonly attempts: readonly AttemptReport[];
  readonly limits: LimitsReport;
  readonly upgrade_prompt: boolean;
  readonly warningMessages?: readonly string[];
  readonly analytics?: unknown;
  readonly model_selection?: unknown;
}

/** `chat:response:error`. `error` begins with the app's own prefix, the UI looks for it. */
export interface ChatError {
  readonly chatId: number;
  readonly streamId: string;
  readonly seq: number;
  readonly error: string;
  readonly code: ErrorCode;
  readonly kind: ErrorKind;
  readonly retryable: boolean;
  readonly retryAfterMs?: number;
  readonly messageId?: number;
  readonly requestId?: string;
  readonly model?: ModelRef;
  readonly attempts: readonly AttemptReport[];
  readonly upgrade_prompt: boolean;
  /** Of RATE_LIMIT_EXCEEDED: whose limit it is, the plan's own or the provider's. */
  readonly scope?: "provider" | "tier";
  readonly warningMessages?: readonly string[];
}

/** `chat:response:end` for a cancel on an idle chat: no stream, so no `streamId` and no `seq`. */
export interface ChatIdleEnd {
  readonly chatId: number;
  readonly updatedFiles: boolean;
  readonly wasCancelled: boolean;
}

/** `chat:stream`. Limits: prompt 1 MiB, 10 attachments, 10 MiB each, 25 MiB together. */
export interface ChatStreamParams {
  readonly chatId: number;
  readonly prompt: string;
  readonly redo?: boolean;
  readonly attachments?: readonly Attachment[] | null;
  readonly selectedComponent?: SelectedComponent | null;
  readonly selectedComponents?: readonly SelectedComponent[] | null;
  readonly systemPrompt?: string | null;
  readonly files?: readonly ProvidedFile[] | null;
  readonly substitutions?: { readonly [key: string]: string } | null;
  readonly model?: ModelRef | null;
  readonly intentId?: string | null;
}

/** Params of `host:check-problems`: type-check the app with the answer applied virtually (app contract 7.12). */
export interface CheckProblemsParams {
  readonly chatId: number;
  readonly response: string;
}

/** Result of `host:check-problems`. */
export interface CheckProblemsResult {
  readonly problems: readonly HostProblem[];
}

/** `chat:response:chunk` with the whole array: the first of every stream, and all in mode `messages`. */
export interface ChunkMessages {
  readonly chatId: number;
  readonly streamId: string;
  readonly seq: number;
  readonly messages: readonly MessageRow[];
  readonly effectiveModel?: ModelRef;
}

/** `chat:response:chunk` in mode `patch`. */
export interface ChunkPatch {
  readonly chatId: number;
  readonly streamId: string;
  readonly seq: number;
  readonly streamingMessageId: number;
  readonly streamingPatch: StreamingPatch;
}

/** Who is on the other side. */
export interface ClientInfo {
  readonly name?: string;
  readonly version?: string;
}

/** Params of `create-custom-language-model`. */
export interface CreateCustomModelParams {
  readonly apiName: string;
  readonly displayName: string;
  readonly providerId: string;
  readonly description?: string | null;
  readonly maxOutputTokens?: number | null;
  readonly contextWindow?: number | null;
}

/** The app's database as found; a missing one is not an error. */
export interface DatabaseReport {
  readonly path: string;
  readonly exists: boolean;
  readonly schemaVersion: number | null;
  readonly writable: boolean;
}

/** Params of `host:decrypt-secrets`: one call for all. */
export interface DecryptSecretsParams {
  readonly secrets: readonly LockedSecret[];
}

/** Result of `host:decrypt-secrets`. */
export interface DecryptSecretsResult {
  readonly secrets: readonly OpenedSecret[];
}

/** Params of `delete-custom-language-model`: an API name as the app sends it, or a row id. */
export interface DeleteCustomLanguageModelParams {
  readonly modelId: string | number;
}

/** Params of `delete-custom-model`. */
export interface DeleteCustomModelParams {
  readonly providerId: string;
  readonly modelApiName: string;
}

/** Params of `delete-custom-language-model-provider`; the stored id. */
export interface DeleteCustomProviderParams {
  readonly providerId: string;
}

/** Params of `edit-custom-language-model`: those of create, and the row it changes. The row keeps its id. */
export interface EditCustomModelParams {
  readonly apiName: string;
  readonly displayName: string;
  readonly providerId: string;
  readonly description?: string | null;
  readonly maxOutputTokens?: number | null;
  readonly contextWindow?: number | null;
  readonly id: number;
}

/** An answer without content. */
export interface Empty {
}

/** Params of `host:encrypt-secrets`. */
export interface EncryptSecretsParams {
  readonly secrets: readonly PlainSecret[];
}

/** Result of `host:encrypt-secrets`. */
export interface EncryptSecretsResult {
  readonly secrets: readonly LockedSecret[];
}

/** `error.data` of every error response. More members may follow; a host ignores those it does not know. */
export interface ErrorData {
  readonly code: ErrorCode;
  readonly kind: ErrorKind;
  readonly retryable: boolean;
  /** How long the provider, or our own limit, asks to wait, in ms. */
  readonly retryAfterMs?: number;
  readonly provider?: string;
  readonly model?: string;
  readonly requestId?: string;
  /** For bad params: the field at fault, dotted (`attachments[0].name`). */
  readonly path?: string;
  /** The HTTP status a provider answered with. */
  readonly status?: number;
  /** What a provider answered beyond `message`, keys cut out, shortened. */
  readonly details?: string;
}

/** The call failed; the last part. `error` is `{message, code, kind, retryable, ...}`. */
export interface ErrorPart {
  readonly type: "error";
  readonly error: { readonly [key: string]: unknown };
}

/**
 * Result of `features:get` and `features:set`, and `features` of `initialize`.
 *
 * `rolloutPercent` is 0 to 100: the share of users for whom `liteLLM` counts.
 */
export interface FeatureSwitches {
  readonly liteLLM: boolean;
  readonly legacyAISDK: boolean;
  readonly enhancedAnalytics: boolean;
  readonly rateLimiting: boolean;
  readonly rolloutPercent: number;
}

/** A file; `data` is base64, a data URL or a URL. */
export interface FilePart {
  readonly type: "file";
  readonly data: string;
  readonly mediaType: string;
  readonly filename?: string | null;
  readonly providerOptions?: { readonly [key: string]: unknown } | null;
}

/** The call is complete; the last part. `rawFinishReason` is the vendor's own word. */
export interface FinishPart {
  readonly type: "finish";
  readonly finishReason: "content-filter" | "error" | "length" | "other" | "stop" | "tool-calls" | "unknown";
  readonly usage: LlmUsage;
  readonly rawFinishReason?: string;
}

/** A tool the host carries out; `inputSchema` is JSON Schema. */
export interface FunctionTool {
  readonly type: "function";
  readonly name: string;
  readonly inputSchema: { readonly [key: string]: unknown };
  readonly description?: string | null;
  readonly providerOptions?: { readonly [key: string]: unknown } | null;
}

/** A file the model made; `data` is base64. */
export interface GeneratedFile {
  readonly type: "file";
  readonly mediaType: string;
  readonly data: string;
}

/** Params of `get-language-models`. */
export interface GetLanguageModelsParams {
  readonly providerId: string;
}

/** Params of `providers:health`. `probe`: also ask every provider that is set up whether it answers now. */
export interface HealthParams {
  readonly probe?: boolean | null;
}

/** Result of `providers:health`; `probes`, one per provider that is set up, only when they were asked for. */
export interface HealthResult {
  readonly providers: readonly ProviderHealth[];
  readonly models: readonly ModelHealth[];
  readonly probes?: readonly ProviderProbe[];
}

/** Result of both. */
export interface HelpChatAnswer {
  readonly ok: true;
}

/** Params of `help:chat:cancel`. */
export interface HelpChatCancelParams {
  readonly sessionId: string;
}

/** Params of `help:chat:start`. */
export interface HelpChatStartParams {
  readonly sessionId: string;
  readonly message: string;
}

/** `help:chat:response:chunk`: text to append. */
export interface HelpChunk {
  readonly sessionId: string;
  readonly delta: string;
  readonly type: "text";
}

/** `help:chat:response:end`: the only terminal notification of an answer that did not fail. */
export interface HelpEnd {
  readonly sessionId: string;
}

/** `help:chat:response:error`: the only terminal notification of an answer that failed. */
export interface HelpError {
  readonly sessionId: string;
  readonly error: string;
}

/** What the host can do for the sidecar. */
export interface HostCapabilities {
  readonly chunks?: "messages" | "patch";
  readonly secrets?: boolean;
  readonly systemPrompt?: boolean;
  readonly applyResponse?: boolean;
  readonly checkProblems?: boolean;
}

/** One compile-time error; `line` and `column` count from 1, `code` is TypeScript's number. */
export interface HostProblem {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly code: number;
  readonly message: string;
  readonly snippet?: string | null;
}

/** Something to tell the user about. */
export interface Improvement {
  readonly id: string;
  readonly title: string;
}

/** All optional. */
export interface InitializeParams {
  readonly protocolVersion?: number;
  readonly clientInfo?: ClientInfo | null;
  readonly processId?: number | null;
  readonly paths?: Paths | null;
  readonly capabilities?: HostCapabilities | null;
}

/** Result of `initialize`. */
export interface InitializeResult {
  readonly protocolVersion: number;
  readonly serverInfo: ServerInfo;
  readonly features: { readonly [key: string]: unknown };
  readonly capabilities: ServerCapabilities;
  readonly database: DatabaseReport;
}

/** One model of a provider (app contract 2): built-in (`cloud`) or a row of the database (`custom`). */
export interface LanguageModel {
  /** Row id; custom models only. */
  readonly id?: number;
  /** Same as `apiName`; built-in models only. */
  readonly name?: string;
  readonly apiName: string;
  readonly displayName: string;
  readonly description: string;
  /** Tokens. Left out where the vendor refuses the field or the limit is not known. */
  readonly maxOutputTokens?: number;
  /** Tokens. */
  readonly contextWindow?: number;
  readonly temperature?: number;
  /** A word shown next to the name in the picker. */
  readonly tag?: string;
  readonly type: "cloud" | "custom";
}

/** One provider (app contract 1). Which fields are filled depends on `type`. */
export interface LanguageModelProvider {
  /** For custom providers the stored id, with its `custom::` prefix. */
  readonly id: string;
  readonly name: string;
  readonly hasFreeTier?: boolean;
  readonly websiteUrl?: string;
  /** What the Pro gateway wants before a model name; may be the empty string. */
  readonly gatewayPrefix?: string;
  readonly envVarName?: string;
  readonly apiBaseUrl?: string;
  readonly type: "cloud" | "custom" | "local";
}

/** Today's counters, in the names of the plan; `remaining_requests` is null when nothing limits. */
export interface LimitsReport {
  readonly requests_today: number;
  readonly tokens_used: number;
  readonly remaining_requests: number | null;
}

/** Params of `llm:cancel`. */
export interface LlmCancelParams {
  readonly callId: string;
}

/** `llm:part`. `seq` counts from 0 per call, without gaps. */
export interface LlmPart {
  readonly callId: string;
  readonly seq: number;
  readonly part: StreamStart | TextStart | TextDeltaPart | TextEnd | ReasoningStart | ReasoningDeltaPart | ReasoningEnd | ToolInputStart | ToolInputDelta | ToolInputEnd | ToolCall | Source | GeneratedFile | FinishPart | ErrorPart;
}

/** Params of `llm:stream`. `callId` is the host's own; parts carry it. */
export interface LlmStreamParams {
  readonly callId: string;
  readonly model: ModelRef;
  readonly prompt: readonly (SystemMessage | UserMessage | AssistantMessage | ToolMessage)[];
  readonly maxOutputTokens?: number | null;
  readonly temperature?: number | null;
  readonly topP?: number | null;
  readonly topK?: number | null;
  readonly presencePenalty?: number | null;
  readonly frequencyPenalty?: number | null;
  readonly seed?: number | null;
  readonly stopSequences?: readonly string[] | null;
  readonly tools?: readonly (FunctionTool | ProviderTool)[] | null;
  readonly toolChoice?: ToolChoice | null;
  readonly responseFormat?: ResponseFormat | null;
  readonly providerOptions?: { readonly [key: string]: { readonly [key: string]: unknown } } | null;
  readonly headers?: { readonly [key: string]: string } | null;
}

/** Result of `llm:stream`. */
export interface LlmStreamResult {
  readonly finishReason: "content-filter" | "error" | "length" | "other" | "stop" | "tool-calls" | "unknown";
  readonly usage: LlmUsage;
  readonly warnings: readonly CallWarning[];
  readonly model: ModelRef;
  readonly attempts: readonly AttemptReport[];
}

/** Tokens; left out where the provider did not say. */
export interface LlmUsage {
  readonly inputTokens?: number;
  readonly outputTokens?: number;
  readonly totalTokens?: number;
  readonly reasoningTokens?: number;
  readonly cachedInputTokens?: number;
  readonly cacheWriteTokens?: number;
}

/** A model that a local server has. */
export interface LocalModel {
  readonly provider: "lmstudio" | "ollama";
  readonly modelName: string;
  readonly displayName: string;
}

/** Result of `local-models:list-ollama` and `local-models:list-lmstudio`. */
export interface LocalModels {
  readonly models: readonly LocalModel[];
}

/** A secret as the settings hold it. `value` is base64 unless the type is `plaintext`. */
export interface LockedSecret {
  /** Names the secret in the answer; chosen by the sidecar. */
  readonly id: string;
  readonly value: string;
  readonly encryptionType: "electron-safe-storage" | "plaintext";
}

/** An app the prompt refers to with `@app:`. */
export interface MentionedApp {
  readonly name: string;
  readonly id?: number;
  readonly path?: string;
}

/** One row of `messages` as the renderer knows it; `createdAt` is ISO 8601 UTC. */
export interface MessageRow {
  readonly id: number;
  readonly chatId: number;
  readonly role: string;
  readonly content: string;
  readonly approvalState: string | null;
  readonly commitHash: string | null;
  readonly createdAt: string;
}

/** Params of `settings:migrate`; `dryRun` says what would change and writes nothing. */
export interface MigrateParams {
  readonly dryRun?: boolean;
}

/** Result of `settings:migrate`. `lockedSecrets` are paths of secrets that could not be opened. */
export interface MigrateResult {
  readonly status: "migrated" | "nothing-to-migrate" | "up-to-date";
  readonly fromVersion: number | null;
  readonly toVersion: number;
  readonly changes: readonly SettingsChange[];
  readonly improvements: readonly Improvement[];
  readonly backup: string | null;
  readonly lockedSecrets: readonly string[];
}

/** `model:fallback`: another model took over before any text was shown. Not counted by `seq`. */
export interface ModelFallback {
  readonly chatId: number;
  readonly streamId: string;
  readonly from: ModelRef;
  readonly to: ModelRef;
  readonly code: string;
}

/** One model. */
export interface ModelFigures {
  readonly requests: number;
  readonly attempts: number;
  readonly completed: number;
  readonly failed: number;
  readonly cancelled: number;
  readonly skipped: number;
  readonly fallbacks: number;
  readonly successRate: number | null;
  readonly firstAttemptRate: number | null;
  readonly responseTimeAvgMs: number | null;
  readonly ttftP50Ms: number | null;
  readonly ttftP95Ms: number | null;
  readonly tokensPerSecond: number | null;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly reasoningTokens: number;
  readonly cachedInputTokens: number;
  readonly totalTokens: number;
  readonly estimatedRequests: number;
  readonly costUsd: number | null;
  readonly unknownCostRequests: number;
  readonly provider: string;
  readonly name: string;
}

/**
 * How one model has been doing: its circuit in this process, and the last seven days of the ledger.
 *
 * `state` is the circuit's: `closed` asks, `open` does not, `half-open` tries once. `successRate`,
 * percentiles (ms) and `calls` are of the last seven days; where the ledger has none, of this process.
 */
export interface ModelHealth {
  readonly provider: string;
  readonly name: string;
  readonly state: string;
  readonly successRate: number | null;
  readonly ttftP50Ms: number | null;
  readonly ttftP95Ms: number | null;
  readonly lastErrorCode: string | null;
  readonly retryAfterMs: number | null;
  readonly calls: number;
}

/** A model as the user picks it. */
export interface ModelRef {
  readonly provider: string;
  readonly name: string;
  readonly customModelId?: number;
}

/** What is recommended, in the names of the plan: `provider/name`, a sentence, and what comes next. */
export interface ModelSelection {
  readonly recommended: string | null;
  readonly reason: string;
  readonly fallback_options: readonly string[];
}

/** A method without arguments. */
export interface NoParams {
}

/** The answer for one secret: `plaintext`, or `error` when it could not be opened. */
export interface OpenedSecret {
  readonly id: string;
  readonly plaintext?: string | null;
  readonly error?: string | null;
}

/** Where the app keeps its things; absent ones follow from `userData` or the platform's defaults. */
export interface Paths {
  readonly userData?: string | null;
  readonly database?: string | null;
  readonly settingsFile?: string | null;
  readonly appsRoot?: string | null;
}

/** A secret to be locked. */
export interface PlainSecret {
  readonly id: string;
  readonly plaintext: string;
}

/** A file given with the request instead of being read from the app's folder. */
export interface ProvidedFile {
  readonly path: string;
  readonly content: string;
  readonly force?: boolean;
}

/** One provider, all its models. */
export interface ProviderFigures {
  readonly requests: number;
  readonly attempts: number;
  readonly completed: number;
  readonly failed: number;
  readonly cancelled: number;
  readonly skipped: number;
  readonly fallbacks: number;
  readonly successRate: number | null;
  readonly firstAttemptRate: number | null;
  readonly responseTimeAvgMs: number | null;
  readonly ttftP50Ms: number | null;
  readonly ttftP95Ms: number | null;
  readonly tokensPerSecond: number | null;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly reasoningTokens: number;
  readonly cachedInputTokens: number;
  readonly totalTokens: number;
  readonly estimatedRequests: number;
  readonly costUsd: number | null;
  readonly unknownCostRequests: number;
  readonly provider: string;
}

/** One provider, its models together; `state` is the best of its circuits. */
export interface ProviderHealth {
  readonly provider: string;
  readonly state: string;
  readonly successRate: number | null;
  readonly ttftP50Ms: number | null;
  readonly ttftP95Ms: number | null;
  readonly lastErrorCode: string | null;
  readonly calls: number;
}

/**
 * Whether a provider answers at this moment, found without spending a token.
 *
 * `provider` is `auto` for what Scalix Pro or a LiteLLM proxy serves. `address` is its host (and port), null
 * when there is none to ask; `ms` is the time to its answer. `reachable`: an HTTP answer came, whatever it said;
 * `code` and `message` say what is wrong with it (a refused key, an overloaded server), null when nothing is.
 */
export interface ProviderProbe {
  readonly provider: string;
  readonly reachable: boolean;
  readonly address: string | null;
  readonly ms: number | null;
  readonly code: string | null;
  readonly message: string | null;
}

/** A tool of the provider's own; `id` is `provider.tool`. */
export interface ProviderTool {
  readonly type: "provider-defined";
  readonly id: string;
  readonly name: string;
  readonly args: { readonly [key: string]: unknown };
}

/** More reasoning of a block. */
export interface ReasoningDeltaPart {
  readonly type: "reasoning-delta";
  readonly id: string;
  readonly delta: string;
}

/** A reasoning block is complete. The vendor's signature, wanted back with it, is in `providerMetadata`. */
export interface ReasoningEnd {
  readonly type: "reasoning-end";
  readonly id: string;
  readonly providerMetadata?: { readonly [key: string]: { readonly [key: string]: unknown } };
}

/** What the model thought in an earlier turn. */
export interface ReasoningPart {
  readonly type: "reasoning";
  readonly text: string;
  readonly providerOptions?: { readonly [key: string]: unknown } | null;
}

/** A reasoning block begins. */
export interface ReasoningStart {
  readonly type: "reasoning-start";
  readonly id: string;
}

/** Params of `models:recommend`. `needs`: `vision`, `reasoning`, `long-context`; others are ignored. */
export interface RecommendParams {
  readonly chatId?: number | null;
  readonly prompt?: string | null;
  readonly needs?: readonly string[] | null;
}

/** Result of `models:recommend`, best candidate first. */
export interface RecommendResult {
  readonly model_selection: ModelSelection;
  readonly candidates: readonly Candidate[];
}

/** Text, or JSON that follows `schema`. */
export interface ResponseFormat {
  readonly type: "json" | "text";
  readonly schema?: { readonly [key: string]: unknown } | null;
  readonly name?: string | null;
  readonly description?: string | null;
}

/**
 * Params of `create-` and `edit-custom-language-model-provider`.
 *
 * `id` is bare or already prefixed with `custom::`; an empty `envVarName` means none.
 */
export interface SaveCustomProviderParams {
  readonly id: string;
  readonly name: string;
  readonly apiBaseUrl: string;
  readonly envVarName?: string | null;
}

/** What creating or editing a custom provider answers. */
export interface SavedCustomProvider {
  /** The stored id, the one every other call takes (app contract 16, row 13). */
  readonly id: string;
  /** The id without `custom::`, as the app used to answer. */
  readonly bareId: string;
  readonly name: string;
  readonly apiBaseUrl: string;
  readonly envVarName?: string;
  readonly type: "custom";
}

/** A component picked in the preview; `lineNumber` counts from 1. */
export interface SelectedComponent {
  readonly name: string;
  readonly relativePath: string;
  readonly lineNumber: number;
  readonly id?: string;
  readonly columnNumber?: number;
}

/** One local day or hour: its first moment (ISO 8601 UTC), and its local date, or date and hour, as `label`. */
export interface SeriesPoint {
  readonly start: string;
  readonly label: string;
  readonly requests: number;
  readonly completed: number;
  readonly failed: number;
  readonly fallbacks: number;
  readonly totalTokens: number;
  readonly costUsd: number | null;
  readonly responseTimeAvgMs: number | null;
}

/** What this build answers and sends. */
export interface ServerCapabilities {
  readonly methods: readonly string[];
  readonly notifications: readonly string[];
  readonly chunks: readonly string[];
}

/** This build. */
export interface ServerInfo {
  readonly name: string;
  readonly version: string;
  readonly build: string;
}

/** Params of `features:set`: what is left out stays as it is. */
export interface SetFeaturesParams {
  readonly liteLLM?: boolean;
  readonly legacyAISDK?: boolean;
  readonly enhancedAnalytics?: boolean;
  readonly rateLimiting?: boolean;
  readonly rolloutPercent?: number;
}

/** One change of one key. */
export interface SettingsChange {
  readonly key: string;
  readonly action: string;
  readonly note: string;
}

/** `settings:migrated`: once, after a migration changed anything. */
export interface SettingsMigrated {
  readonly improvements: readonly Improvement[];
}

/** A page the answer rests on. */
export interface Source {
  readonly type: "source";
  readonly id: string;
  readonly url: string;
  readonly sourceType: "url";
  readonly title?: string;
}

/** What this model will not do. The first part, sent only when there is something to warn of. */
export interface StreamStart {
  readonly type: "stream-start";
  readonly warnings: readonly CallWarning[];
}

/**
 * `text = text.slice(0, offset) + content`; `offset` in UTF-16 code units.
 *
 * `prefixHash` is djb2 with xor over the code units before `offset`, absent when that is 0.
 */
export interface StreamingPatch {
  readonly offset: number;
  readonly content: string;
  readonly prefixHash?: number;
}

/** Instructions. */
export interface SystemMessage {
  readonly role: "system";
  readonly content: string;
  readonly providerOptions?: { readonly [key: string]: unknown } | null;
}

/** Params of `host:system-prompt`. */
export interface SystemPromptParams {
  readonly chatId: number;
  readonly appId: number;
  readonly appPath: string;
  readonly chatMode: string;
  readonly mentionedApps: readonly MentionedApp[];
  readonly attachments: readonly AttachmentSummary[];
  readonly intent: "chat" | "summarize";
}

/** Result of `host:system-prompt`. `substitutions` are applied to the answer: text to replacement. */
export interface SystemPromptResult {
  readonly systemPrompt: string;
  readonly substitutions?: { readonly [key: string]: string };
}

/** More text of a block. */
export interface TextDeltaPart {
  readonly type: "text-delta";
  readonly id: string;
  readonly delta: string;
}

/** A text block is complete. */
export interface TextEnd {
  readonly type: "text-end";
  readonly id: string;
}

/** Text. */
export interface TextPart {
  readonly type: "text";
  readonly text: string;
  readonly providerOptions?: { readonly [key: string]: unknown } | null;
}

/** A text block begins. */
export interface TextStart {
  readonly type: "text-start";
  readonly id: string;
}

/** Result of `chat:count-tokens`, in estimated tokens; the total is the sum of the five parts. */
export interface TokenCounts {
  readonly totalTokens: number;
  readonly messageHistoryTokens: number;
  readonly codebaseTokens: number;
  readonly mentionedAppsTokens: number;
  readonly inputTokens: number;
  readonly systemPromptTokens: number;
  readonly contextWindow: number;
}

/** A complete tool call; `input` is JSON text. `providerMetadata` holds what the vendor wants back with it. */
export interface ToolCall {
  readonly type: "tool-call";
  readonly toolCallId: string;
  readonly toolName: string;
  readonly input: string;
  readonly providerExecuted?: boolean;
  readonly providerMetadata?: { readonly [key: string]: { readonly [key: string]: unknown } };
}

/** A tool call of an earlier turn; `input` is the parsed arguments. */
export interface ToolCallPart {
  readonly type: "tool-call";
  readonly toolCallId: string;
  readonly toolName: string;
  readonly input: unknown;
  readonly providerExecuted?: boolean | null;
  readonly providerOptions?: { readonly [key: string]: unknown } | null;
}

/** Whether, or which, tool has to be called. */
export interface ToolChoice {
  readonly type: "auto" | "none" | "required" | "tool";
  readonly toolName?: string | null;
}

/** More of a tool's arguments, as JSON text. */
export interface ToolInputDelta {
  readonly type: "tool-input-delta";
  readonly id: string;
  readonly delta: string;
}

/** A tool's arguments are complete. */
export interface ToolInputEnd {
  readonly type: "tool-input-end";
  readonly id: string;
}

/** The model begins to write a tool's arguments. */
export interface ToolInputStart {
  readonly type: "tool-input-start";
  readonly id: string;
  readonly toolName: string;
}

/** What the tools said. */
export interface ToolMessage {
  readonly role: "tool";
  readonly content: readonly ToolResultPart[];
  readonly providerOptions?: { readonly [key: string]: unknown } | null;
}

/**
 * What a tool gave back; the type of `value` follows `type`.
 *
 * `content` is a list of `{type: "text", text}` and `{type: "media", data, mediaType}`, data as in a file part.
 */
export interface ToolOutput {
  readonly type: "content" | "error-json" | "error-text" | "json" | "text";
  readonly value: unknown;
}

/** The outcome of a tool call. */
export interface ToolResultPart {
  readonly type: "tool-result";
  readonly toolCallId: string;
  readonly toolName: string;
  readonly output: ToolOutput;
  readonly providerOptions?: { readonly [key: string]: unknown } | null;
}

/** A file the user added for the app's folder: a write whose content is `id` gets the bytes at `path`. */
export interface UploadedFile {
  readonly id: string;
  readonly path: string;
  readonly name: string;
}

/** Tokens of the whole turn and what they cost; null where nobody knows. */
export interface UsageReport {
  readonly inputTokens: number | null;
  readonly outputTokens: number | null;
  readonly reasoningTokens: number | null;
  readonly cachedInputTokens: number | null;
  readonly totalTokens: number | null;
  readonly costUsd: number | null;
}

/** Result of `usage:get`. `resets_at` is ISO 8601 UTC. */
export interface UsageResult {
  readonly usage: LimitsReport;
  readonly tier: string;
  readonly resets_at: string;
  readonly upgrade_prompt: boolean;
}

/** Result of `get-user-budget`: credits, and when they are renewed (ISO 8601 UTC). */
export interface UserBudget {
  readonly usedCredits: number;
  readonly totalCredits: number;
  readonly budgetResetDate: string;
}

/** What the user says. */
export interface UserMessage {
  readonly role: "user";
  readonly content: readonly (TextPart | FilePart)[];
  readonly providerOptions?: { readonly [key: string]: unknown } | null;
}

/** What the host may ask, by method. */
export interface SidecarRequests {
  /** The handshake; must be first. */
  readonly initialize: { readonly params: InitializeParams; readonly result: InitializeResult };
  /** Answered at once, at any time. */
  readonly ping: { readonly params: NoParams; readonly result: Empty };
  /** Stop work, save, flush. */
  readonly shutdown: { readonly params: NoParams; readonly result: null };
  /** All providers: cloud, local, custom. */
  readonly "get-language-model-providers": { readonly params: NoParams; readonly result: readonly LanguageModelProvider[] };
  /** The models of one provider. */
  readonly "get-language-models": { readonly params: GetLanguageModelsParams; readonly result: readonly LanguageModel[] };
  /** The models of every cloud and custom provider, by provider id. */
  readonly "get-language-models-by-providers": { readonly params: NoParams; readonly result: { readonly [key: string]: readonly LanguageModel[] } };
  /** Add a custom provider. */
  readonly "create-custom-language-model-provider": { readonly params: SaveCustomProviderParams; readonly result: SavedCustomProvider };
  /** Change a custom provider. */
  readonly "edit-custom-language-model-provider": { readonly params: SaveCustomProviderParams; readonly result: SavedCustomProvider };
  /** Remove a custom provider and its models. */
  readonly "delete-custom-language-model-provider": { readonly params: DeleteCustomProviderParams; readonly result: null };
  /** Add a model. */
  readonly "create-custom-language-model": { readonly params: CreateCustomModelParams; readonly result: null };
  /** Change a model. */
  readonly "edit-custom-language-model": { readonly params: EditCustomModelParams; readonly result: null };
  /** Remove a model by its API name. */
  readonly "delete-custom-language-model": { readonly params: DeleteCustomLanguageModelParams; readonly result: null };
  /** Remove a model of one provider. */
  readonly "delete-custom-model": { readonly params: DeleteCustomModelParams; readonly result: null };
  /** What Ollama has. */
  readonly "local-models:list-ollama": { readonly params: NoParams; readonly result: LocalModels };
  /** What LM Studio has. */
  readonly "local-models:list-lmstudio": { readonly params: NoParams; readonly result: LocalModels };
  /** One turn of a chat; answered after its terminal notification with the chat id, or 'error'. */
  readonly "chat:stream": { readonly params: ChatStreamParams; readonly result: number | "error" };
  /** Cancel the chat's stream. */
  readonly "chat:cancel": { readonly params: ChatCancelParams; readonly result: true };
  /** Estimate a turn's tokens. */
  readonly "chat:count-tokens": { readonly params: ChatCountTokensParams; readonly result: TokenCounts };
  /** Ask the help assistant. */
  readonly "help:chat:start": { readonly params: HelpChatStartParams; readonly result: HelpChatAnswer };
  /** Stop the help assistant. */
  readonly "help:chat:cancel": { readonly params: HelpChatCancelParams; readonly result: HelpChatAnswer };
  /** The settings, secrets in plain text. */
  readonly "get-user-settings": { readonly params: NoParams; readonly result: { readonly [key: string]: unknown } };
  /** Merge into the settings; answers all of them. */
  readonly "set-user-settings": { readonly params: { readonly [key: string]: unknown }; readonly result: { readonly [key: string]: unknown } };
  /** Bring the settings to this version. */
  readonly "settings:migrate": { readonly params: MigrateParams; readonly result: MigrateResult };
  /** The rollout switches. */
  readonly "features:get": { readonly params: NoParams; readonly result: FeatureSwitches };
  /** Change rollout switches. */
  readonly "features:set": { readonly params: SetFeaturesParams; readonly result: FeatureSwitches };
  /** Pro credits; null when nobody knows. */
  readonly "get-user-budget": { readonly params: NoParams; readonly result: UserBudget | null };
  /** Today's counters and limits. */
  readonly "usage:get": { readonly params: NoParams; readonly result: UsageResult };
  /** Forget what the ledger holds. */
  readonly "analytics:clear": { readonly params: NoParams; readonly result: true };
  /** Costs, times, fallbacks over a period. */
  readonly "analytics:get": { readonly params: AnalyticsParams; readonly result: AnalyticsResult };
  /** Which model suits. */
  readonly "models:recommend": { readonly params: RecommendParams; readonly result: RecommendResult };
  /** Circuits, success rates, times to first token. */
  readonly "providers:health": { readonly params: HealthParams; readonly result: HealthResult };
  /** One model call in the AI SDK's terms. */
  readonly "llm:stream": { readonly params: LlmStreamParams; readonly result: LlmStreamResult };
  /** Cancel a model call. */
  readonly "llm:cancel": { readonly params: LlmCancelParams; readonly result: true };
}

/** What the sidecar may ask the host, by method. */
export interface HostRequests {
  /** Open secrets. */
  readonly "host:decrypt-secrets": { readonly params: DecryptSecretsParams; readonly result: DecryptSecretsResult };
  /** Lock secrets. */
  readonly "host:encrypt-secrets": { readonly params: EncryptSecretsParams; readonly result: EncryptSecretsResult };
  /** The app's own wording. */
  readonly "host:system-prompt": { readonly params: SystemPromptParams; readonly result: SystemPromptResult };
  /** Carry an answer out. */
  readonly "host:apply-response": { readonly params: ApplyResponseParams; readonly result: ApplyResponseResult };
  /** Type-check an answer. */
  readonly "host:check-problems": { readonly params: CheckProblemsParams; readonly result: CheckProblemsResult };
}

/** What the sidecar tells: params by method. */
export interface SidecarNotifications {
  /** The sidecar no longer waits for a request of its own. */
  readonly "$/cancelRequest": CancelRequestParams;
  /** All rows first; then patches, or all rows again. */
  readonly "chat:response:chunk": ChunkMessages | ChunkPatch;
  /** A stream's end, or the answer to a cancel on an idle chat. */
  readonly "chat:response:end": ChatEnd | ChatIdleEnd;
  /** A stream's failure. */
  readonly "chat:response:error": ChatError;
  /** Another model took over. */
  readonly "model:fallback": ModelFallback;
  /** More of a help answer. */
  readonly "help:chat:response:chunk": HelpChunk;
  /** A help answer's end. */
  readonly "help:chat:response:end": HelpEnd;
  /** A help answer's failure. */
  readonly "help:chat:response:error": HelpError;
  /** A migration changed something. */
  readonly "settings:migrated": SettingsMigrated;
  /** One part of a model call's stream. */
  readonly "llm:part": LlmPart;
}

/** What the host tells: params by method. */
export interface HostNotifications {
  /** End the process: code 0 after shutdown, else 1. */
  readonly exit: NoParams;
  /** Cancel a request of the host. */
  readonly "$/cancelRequest": CancelRequestParams;
}
