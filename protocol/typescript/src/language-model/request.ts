/** From the AI SDK's call to the params of `llm:stream`. Pure. */

import type { LlmStreamParams, ModelRef } from "../generated.js";
import { ModelCallFailed, NoSuchModel } from "./errors.js";
import type { CallOptions, PromptMessage, PromptPart, ToolDefinition } from "./specification.js";

/** `provider/name` as a model; the name may hold further slashes. @throws NoSuchModel */
export function parseModelId(modelId: string): ModelRef {
  const slash = modelId.indexOf("/");
  if (modelId === "auto") return { provider: "auto", name: "auto" };
  if (slash < 1 || slash === modelId.length - 1) throw new NoSuchModel(modelId, "languageModel");
  return { provider: modelId.slice(0, slash), name: modelId.slice(slash + 1) };
}

/** The params of one call. @throws ModelCallFailed for a file that cannot be sent. */
export function streamParams(callId: string, model: ModelRef, options: CallOptions): LlmStreamParams {
  const { prompt, tools, abortSignal: _signal, headers, ...settings } = options;
  const { maxOutputTokens, temperature, topP, topK, presencePenalty, frequencyPenalty, seed } = settings;
  const { stopSequences, responseFormat, toolChoice, providerOptions } = settings;
  // JSON leaves out what is undefined; the wire's types are stricter than the SDK's about what may be.
  return {
    callId,
    model,
    prompt: prompt.map(message),
    maxOutputTokens,
    temperature,
    topP,
    topK,
    presencePenalty,
    frequencyPenalty,
    seed,
    stopSequences,
    responseFormat,
    toolChoice,
    providerOptions,
    tools: (tools as readonly ToolDefinition[] | undefined)?.map(tool),
    headers,
  } as unknown as LlmStreamParams;
}

function message(given: PromptMessage): object {
  const { role, content, providerOptions } = given;
  if (typeof content === "string") return { role, content, providerOptions };
  const parts = (content as readonly PromptPart[]).filter(({ type }) => type !== "tool-approval-response").map(part);
  return { role, content: parts, providerOptions };
}

function part(given: PromptPart): object {
  if (given.type === "file") return { ...given, data: fileData(given["data"]) };
  if (given.type === "tool-result") return { ...given, output: output(given["output"] as ToolOutput) };
  return given;
}

/** Base64 or a URL. */
function fileData(data: unknown): string {
  if (typeof data === "string") return data;
  if (data instanceof URL) return data.href;
  if (data instanceof Uint8Array) return Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64");
  const text = (data as { readonly text?: unknown } | null)?.text;
  if (typeof text === "string") return Buffer.from(text).toString("base64");
  throw new ModelCallFailed("A file that is stored at a provider cannot be sent through the sidecar.", {
    code: "BAD_REQUEST",
  });
}

interface ToolOutput {
  readonly type: string;
  readonly value?: unknown;
  readonly reason?: string;
}

interface OutputItem {
  readonly type: string;
  readonly text?: string;
  readonly data?: string;
  readonly url?: string;
  readonly mediaType?: string;
}

/** Version 3 has more kinds of output; the wire has those of version 2. */
function output(given: ToolOutput): object {
  if (given.type === "execution-denied") {
    return { type: "error-text", value: given.reason ?? "The user did not allow this tool to run." };
  }
  const { type, value } = given;
  if (type !== "content") return { type, value };
  return { type, value: (value as readonly OutputItem[]).map(outputItem) };
}

function outputItem({ type, text, data, url, mediaType }: OutputItem): object {
  if (type === "text") return { type, text };
  const image = type.startsWith("image-") ? "image/*" : "application/octet-stream";
  if (data !== undefined || url !== undefined) return { type: "media", data: data ?? url, mediaType: mediaType ?? image };
  return { type: "text", text: `(${type}: not available to this model)` };
}

function tool(given: ToolDefinition): object {
  return given.type === "function" ? given : { ...given, type: "provider-defined" };
}
