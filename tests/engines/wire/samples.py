"""One full answer per dialect: reasoning, text beyond ASCII, a tool call, usage, a finish reason."""

from __future__ import annotations

from sidecar.engines.base import Dialect
from tests.engines.wire.reading import (
    block_delta,
    block_start,
    block_stop,
    chunk,
    data,
    message_end,
    message_start,
    named,
    part,
    tool_delta,
)

TEXT = "Grüße, 世界 🌍!\nTwo birds."
REASONING = "They want 二 birds."

OPENAI_CHAT = data(
    chunk({"role": "assistant", "content": ""}),
    chunk({"reasoning_content": "They want "}),
    chunk({"reasoning_content": "二 birds."}),
    chunk({"content": "Grüße, 世界 🌍!\n"}),
    chunk({"content": "Two birds."}),
    chunk(tool_delta(0, "", id="call_a", name="count_birds")),
    chunk(tool_delta(0, '{"pond":')),
    chunk(tool_delta(0, '"north"}')),
    chunk({}, "tool_calls"),
    chunk(usage={"prompt_tokens": 21, "completion_tokens": 13, "total_tokens": 34}),
    "[DONE]",
)

OPENAI_RESPONSES = named(
    {"type": "response.created", "response": {"id": "resp_1", "model": "lark-2", "status": "in_progress"}},
    {"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning", "id": "rs_1"}},
    {
        "type": "response.reasoning_summary_text.delta",
        "item_id": "rs_1",
        "output_index": 0,
        "summary_index": 0,
        "delta": REASONING,
    },
    {"type": "response.output_item.done", "output_index": 0, "item": {"type": "reasoning", "id": "rs_1"}},
    {
        "type": "response.output_item.added",
        "output_index": 1,
        "item": {"type": "message", "id": "m_1", "content": []},
    },
    *(
        {
            "type": "response.output_text.delta",
            "item_id": "m_1",
            "output_index": 1,
            "content_index": 0,
            "delta": piece,
        }
        for piece in ("Grüße, 世界 🌍!\n", "Two birds.")
    ),
    {
        "type": "response.output_text.done",
        "item_id": "m_1",
        "output_index": 1,
        "content_index": 0,
        "text": TEXT,
    },
    {
        "type": "response.output_item.done",
        "output_index": 1,
        "item": {"type": "message", "id": "m_1", "content": [{"type": "output_text", "text": TEXT}]},
    },
    {
        "type": "response.output_item.added",
        "output_index": 2,
        "item": {"type": "function_call", "id": "fc_1", "call_id": "call_a", "name": "count_birds", "arguments": ""},
    },
    *(
        {"type": "response.function_call_arguments.delta", "item_id": "fc_1", "output_index": 2, "delta": piece}
        for piece in ('{"pond":', '"north"}')
    ),
    {
        "type": "response.output_item.done",
        "output_index": 2,
        "item": {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "call_a",
            "name": "count_birds",
            "arguments": '{"pond":"north"}',
        },
    },
    {
        "type": "response.completed",
        "response": {
            "id": "resp_1",
            "model": "lark-2",
            "status": "completed",
            "usage": {
                "input_tokens": 21,
                "input_tokens_details": {"cached_tokens": 8},
                "output_tokens": 13,
                "output_tokens_details": {"reasoning_tokens": 4},
                "total_tokens": 34,
            },
        },
    },
)

ANTHROPIC = named(
    message_start(input_tokens=10, cache_read_input_tokens=8, cache_creation_input_tokens=3, output_tokens=1),
    block_start(0, "thinking", thinking="", signature=""),
    block_delta(0, "thinking_delta", thinking="They want "),
    {"type": "ping"},
    block_delta(0, "thinking_delta", thinking="二 birds."),
    block_delta(0, "signature_delta", signature="c2lnbmVk"),
    block_stop(0),
    block_start(1, "text", text=""),
    block_delta(1, "text_delta", text="Grüße, 世界 🌍!\n"),
    block_delta(1, "text_delta", text="Two birds."),
    block_stop(1),
    block_start(2, "tool_use", id="call_a", name="count_birds", input={}),
    block_delta(2, "input_json_delta", partial_json=""),
    block_delta(2, "input_json_delta", partial_json='{"pond":'),
    block_delta(2, "input_json_delta", partial_json='"north"}'),
    block_stop(2),
    *message_end("tool_use", output_tokens=13),
)

GOOGLE = data(
    part({"text": "They want ", "thought": True}, usageMetadata={"promptTokenCount": 21, "thoughtsTokenCount": 4}),
    part({"text": "二 birds.", "thought": True}),
    part({"text": "Grüße, 世界 🌍!\n"}),
    part({"text": "Two birds."}),
    part({"functionCall": {"name": "count_birds", "args": {"pond": "north"}}, "thoughtSignature": "c2lnbmVk"}),
    part(
        {"text": ""},
        finish="STOP",
        usageMetadata={
            "promptTokenCount": 21,
            "cachedContentTokenCount": 8,
            "candidatesTokenCount": 9,
            "thoughtsTokenCount": 4,
            "totalTokenCount": 34,
        },
    ),
)

COHERE = named(
    {"type": "message-start", "id": "c-1", "delta": {"message": {"role": "assistant", "content": []}}},
    {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "thinking", "thinking": ""}}}},
    {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"thinking": REASONING}}}},
    {"type": "content-end", "index": 0},
    {"type": "content-start", "index": 1, "delta": {"message": {"content": {"type": "text", "text": ""}}}},
    {"type": "content-delta", "index": 1, "delta": {"message": {"content": {"text": "Grüße, 世界 🌍!\n"}}}},
    {"type": "content-delta", "index": 1, "delta": {"message": {"content": {"text": "Two birds."}}}},
    {"type": "content-end", "index": 1},
    {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "I will count."}}},
    {
        "type": "tool-call-start",
        "index": 0,
        "delta": {
            "message": {
                "tool_calls": {
                    "id": "call_a",
                    "type": "function",
                    "function": {"name": "count_birds", "arguments": ""},
                }
            }
        },
    },
    *(
        {
            "type": "tool-call-delta",
            "index": 0,
            "delta": {"message": {"tool_calls": {"function": {"arguments": piece}}}},
        }
        for piece in ('{"pond":', '"north"}')
    ),
    {"type": "tool-call-end", "index": 0},
    {
        "type": "message-end",
        "delta": {
            "finish_reason": "TOOL_CALL",
            "usage": {
                "billed_units": {"input_tokens": 2, "output_tokens": 3},
                "tokens": {"input_tokens": 21, "output_tokens": 13},
                "cached_tokens": 8,
            },
        },
    },
)

SAMPLES: dict[Dialect, bytes] = {
    "openai-chat": OPENAI_CHAT,
    "openai-responses": OPENAI_RESPONSES,
    "anthropic": ANTHROPIC,
    "google": GOOGLE,
    "cohere": COHERE,
}
