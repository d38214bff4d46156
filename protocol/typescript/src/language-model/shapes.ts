/** What the two versions of the interface say differently: warnings, finish reasons, token counts. Pure. */

import type { CallWarning, FinishPart, LlmUsage } from "../generated.js";
import type {
  CallOptions,
  Setting,
  Shapes,
  SpecificationVersion,
  ToolDefinition,
  UsageV2,
  UsageV3,
  WarningV2,
  WarningV3,
} from "./specification.js";

/** One version's way to say it. */
export interface Shape<Version extends SpecificationVersion> {
  readonly version: Version;
  /** A warning; the call's own tool is put in where the version wants it. */
  warning(given: CallWarning, options: CallOptions): Shapes[Version]["warning"];
  /** The end of a call. */
  finish(given: Pick<FinishPart, "finishReason" | "rawFinishReason" | "usage">): Pick<
    Shapes[Version],
    "finishReason" | "usage"
  >;
}

/** Version 2, of `ai` 5. */
export const V2: Shape<"v2"> = {
  version: "v2",
  warning: warningV2,
  finish: ({ finishReason, usage }) => ({ finishReason, usage: usageV2(usage) }),
};

/** Version 3, of `ai` 6 and 7. */
export const V3: Shape<"v3"> = {
  version: "v3",
  warning: warningV3,
  finish: ({ finishReason, rawFinishReason, usage }) => ({
    finishReason: { unified: finishReason === "unknown" ? "other" : finishReason, raw: rawFinishReason },
    usage: usageV3(usage),
  }),
};

function warningV2({ type, setting, tool, details, message }: CallWarning, options: CallOptions): WarningV2 {
  const more = details === undefined ? {} : { details };
  if (type === "unsupported-setting") return { type, setting: setting as Setting, ...more };
  if (type === "unsupported-tool") {
    const named = (options.tools as readonly ToolDefinition[] | undefined)?.find(({ name }) => name === tool);
    return { type, tool: named as never, ...more };
  }
  return { type, message: message ?? details ?? "" };
}

function warningV3({ type, setting, tool, details, message }: CallWarning): WarningV3 {
  if (type === "other") return { type, message: message ?? details ?? "" };
  const feature = type === "unsupported-tool" ? `tool ${tool ?? ""}` : (setting ?? "");
  return { type: "unsupported", feature, ...(details === undefined ? {} : { details }) };
}

function usageV2({ inputTokens, outputTokens, totalTokens, reasoningTokens, cachedInputTokens }: LlmUsage): UsageV2 {
  return { inputTokens, outputTokens, totalTokens, reasoningTokens, cachedInputTokens };
}

function usageV3(usage: LlmUsage): UsageV3 {
  const { inputTokens, cachedInputTokens, cacheWriteTokens, outputTokens, reasoningTokens } = usage;
  const cached = (cachedInputTokens ?? 0) + (cacheWriteTokens ?? 0);
  return {
    inputTokens: {
      total: inputTokens,
      noCache: inputTokens === undefined ? undefined : inputTokens - cached,
      cacheRead: cachedInputTokens,
      cacheWrite: cacheWriteTokens,
    },
    outputTokens: {
      total: outputTokens,
      text: outputTokens === undefined ? undefined : outputTokens - (reasoningTokens ?? 0),
      reasoning: reasoningTokens,
    },
  };
}
