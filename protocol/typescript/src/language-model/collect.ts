/** A streamed answer as a whole, for `doGenerate`. */

import type { Content, LanguageModel, SpecificationVersion, StreamPart } from "./specification.js";

/** What `doGenerate` answers, but for the request. */
export type Generated<Version extends SpecificationVersion> = Omit<
  Awaited<ReturnType<LanguageModel<Version>["doGenerate"]>>,
  "request"
>;

type Block = Extract<Content, { text: string }>;

/** Read to the end. @throws what the stream reports as its error */
export async function collected<Version extends SpecificationVersion>(
  stream: ReadableStream<StreamPart<Version>>,
): Promise<Generated<Version>> {
  const content = new Contents();
  const whole: Partial<Generated<Version>> = {};
  for await (const part of stream) {
    switch (part.type) {
      case "error":
        throw part.error;
      case "stream-start":
        whole.warnings = part.warnings;
        break;
      case "response-metadata":
        whole.response = { modelId: part.modelId };
        break;
      case "finish":
        whole.finishReason = part.finishReason;
        whole.usage = part.usage;
        if (part.providerMetadata !== undefined) whole.providerMetadata = part.providerMetadata;
        break;
      default:
        content.take(part);
    }
  }
  return { ...whole, content: content.all } as Generated<Version>;
}

/** Blocks put together from their deltas, in the order in which they began. */
class Contents {
  readonly all: Content[] = [];
  readonly #blocks = new Map<string, Block>();

  take(part: StreamPart<SpecificationVersion>): void {
    switch (part.type) {
      case "text-start":
        this.#begin(part.id, { type: "text", text: "" });
        break;
      case "reasoning-start":
        this.#begin(part.id, { type: "reasoning", text: "" });
        break;
      case "text-delta":
      case "reasoning-delta": {
        const block = this.#blocks.get(part.id);
        if (block !== undefined) block.text += part.delta;
        break;
      }
      case "reasoning-end": {
        const block = this.#blocks.get(part.id);
        if (block?.type === "reasoning" && part.providerMetadata) block.providerMetadata = part.providerMetadata;
        break;
      }
      case "tool-call":
      case "source":
      case "file":
        this.all.push(part);
        break;
    }
  }

  #begin(id: string, block: Block): void {
    this.#blocks.set(id, block);
    this.all.push(block);
  }
}
