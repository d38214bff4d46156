/** What vendors send, as the bytes of one event each: Anthropic's Messages, OpenAI's Responses, Gemini. */

type Json = Record<string, unknown>;

function sse(data: Json, named: boolean): string {
  return `${named ? `event: ${String(data["type"])}\n` : ""}data: ${JSON.stringify(data)}\n\n`;
}

/** One block of an Anthropic answer. */
export type Block =
  | { text: string[] }
  | { thinking: string[]; signature: string }
  | { call: string; id: string; input: string[] };

/** Anthropic's Messages API: the blocks in turn, then the stop reason. */
export function anthropic(blocks: Block[], stopReason = "end_turn"): string[] {
  const usage = { input_tokens: 10, cache_read_input_tokens: 4, cache_creation_input_tokens: 2, output_tokens: 1 };
  const head = { id: "msg_1", type: "message", role: "assistant", model: "claude", content: [], stop_reason: null, usage };
  const events: Json[] = [{ type: "message_start", message: head }, { type: "ping" }];
  blocks.forEach((block, index) => {
    const [content_block, deltas] = anthropicBlock(block);
    events.push({ type: "content_block_start", index, content_block });
    events.push(...deltas.map((delta) => ({ type: "content_block_delta", index, delta })));
    events.push({ type: "content_block_stop", index });
  });
  const delta = { stop_reason: stopReason, stop_sequence: null };
  events.push({ type: "message_delta", delta, usage: { output_tokens: 30 } }, { type: "message_stop" });
  return events.map((event) => sse(event, true));
}

function anthropicBlock(block: Block): [Json, Json[]] {
  if ("text" in block) return [{ type: "text", text: "" }, block.text.map((text) => ({ type: "text_delta", text }))];
  if ("thinking" in block) {
    const deltas = block.thinking.map((thinking): Json => ({ type: "thinking_delta", thinking }));
    return [
      { type: "thinking", thinking: "", signature: "" },
      [...deltas, { type: "signature_delta", signature: block.signature }],
    ];
  }
  const deltas = block.input.map((partial_json) => ({ type: "input_json_delta", partial_json }));
  return [{ type: "tool_use", id: block.id, name: block.call, input: {} }, deltas];
}

/** OpenAI's Responses API: one message. */
export function responses(pieces: string[]): string[] {
  const head = { id: "resp_1", object: "response", status: "in_progress", model: "gpt-4.1", output: [] };
  const at = { item_id: "msg_1", output_index: 0, content_index: 0 };
  const message = { id: "msg_1", type: "message", role: "assistant", content: [] };
  const usage = { input_tokens: 9, output_tokens: 5, total_tokens: 14 };
  return [
    { type: "response.created", response: head },
    { type: "response.output_item.added", output_index: 0, item: message },
    ...pieces.map((delta) => ({ type: "response.output_text.delta", ...at, delta })),
    { type: "response.completed", response: { ...head, status: "completed", usage } },
  ].map((event) => sse(event, true));
}

/** Gemini's `streamGenerateContent?alt=sse`. */
export function gemini(thoughts: string[], pieces: string[]): string[] {
  const parts: Json[] = [...thoughts.map((text) => ({ text, thought: true })), ...pieces.map((text) => ({ text }))];
  const usageMetadata = { promptTokenCount: 9, candidatesTokenCount: 5, totalTokenCount: 14 };
  return parts.map((part, index) => {
    const last = index === parts.length - 1 ? { finishReason: "STOP" } : {};
    const candidate = { content: { parts: [part], role: "model" }, index: 0, ...last };
    return sse({ candidates: [candidate], usageMetadata, responseId: "r-1" }, false);
  });
}
