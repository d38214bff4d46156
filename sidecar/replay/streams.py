"""Vendors' streams, built from pieces of text. Every element of a list is one event, as bytes of one write.

Shapes follow the vendors' own documentation: OpenAI "Chat Completions streaming" and "Responses streaming events",
Anthropic "Streaming messages", Google "models.streamGenerateContent" with ``alt=sse``, Cohere "Chat v2 streaming".
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any


def sse(data: Any, *, event: str | None = None, end: str = "\n") -> bytes:
    """One server-sent event. ``data`` is JSON unless it is a string already.

    A lone surrogate (servers that cut by UTF-16 unit send half an emoji) can only travel as a JSON escape.
    """
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    if not isinstance(data, str) and any("\ud800" <= letter <= "\udfff" for letter in text):
        text = json.dumps(data, separators=(",", ":"))
    head = f"event: {event}{end}" if event else ""
    return f"{head}data: {text}{end}{end}".encode()


def openai_chat_stream(
    pieces: Sequence[str],
    *,
    reasoning: Sequence[str] = (),
    reasoning_field: str = "reasoning_content",
    tool_calls: Sequence[tuple[str, str, Sequence[str]]] = (),
    usage: dict[str, Any] | None = None,
    finish: str | None = "stop",
    model: str = "fake-model",
    done: bool = True,
    extra: dict[str, Any] | None = None,
) -> list[bytes]:
    """Chat completions. ``tool_calls`` are ``(id, name, pieces of arguments)``; ``usage`` goes into its own last
    chunk with no choices, as ``stream_options.include_usage`` has it; ``extra`` is merged into the last chunk."""

    def chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1_700_000_000,
            "model": model,
            "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
        }

    chunks = [chunk({"role": "assistant", "content": ""})]
    chunks += [chunk({reasoning_field: piece}) for piece in reasoning]
    chunks += [chunk({"content": piece}) for piece in pieces]
    for index, (call_id, name, arguments) in enumerate(tool_calls):
        first = {"index": index, "id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}
        chunks.append(chunk({"tool_calls": [first]}))
        chunks += [chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}) for piece in arguments]
    if finish is not None:
        chunks.append(chunk({}, finish))
    if usage is not None:
        chunks.append({**chunk({}), "choices": [], "usage": usage})
    if extra:
        chunks[-1].update(extra)
    return [sse(chunk) for chunk in chunks] + ([sse("[DONE]")] if done else [])


def openai_responses_stream(
    pieces: Sequence[str],
    *,
    reasoning: Sequence[str] = (),
    usage: dict[str, Any] | None = None,
    status: str = "completed",
    model: str = "gpt-5",
    finished: bool = True,
) -> list[bytes]:
    """The Responses API: one optional reasoning summary, one message."""
    head = {"id": "resp_1", "object": "response", "status": "in_progress", "model": model, "output": []}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": head},
        {"type": "response.in_progress", "response": head},
    ]
    output = 0
    if reasoning:
        item: dict[str, Any] = {"id": "rs_1", "type": "reasoning", "summary": []}
        events.append({"type": "response.output_item.added", "output_index": output, "item": item})
        part = {"item_id": "rs_1", "output_index": output, "summary_index": 0}
        events.append(
            {"type": "response.reasoning_summary_part.added", **part, "part": {"type": "summary_text", "text": ""}}
        )
        events += [{"type": "response.reasoning_summary_text.delta", **part, "delta": piece} for piece in reasoning]
        text = "".join(reasoning)
        events.append({"type": "response.reasoning_summary_text.done", **part, "text": text})
        item = {**item, "summary": [{"type": "summary_text", "text": text}]}
        events.append({"type": "response.output_item.done", "output_index": output, "item": item})
        output += 1
    message: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "status": "in_progress",
        "content": [],
        "role": "assistant",
    }
    at = {"item_id": "msg_1", "output_index": output, "content_index": 0}
    empty = {"type": "output_text", "annotations": [], "text": ""}
    events.append({"type": "response.output_item.added", "output_index": output, "item": message})
    events.append({"type": "response.content_part.added", **at, "part": empty})
    events += [{"type": "response.output_text.delta", **at, "delta": piece} for piece in pieces]
    text = "".join(pieces)
    events.append({"type": "response.output_text.done", **at, "text": text})
    message = {**message, "status": "completed", "content": [{**empty, "text": text}]}
    events.append({"type": "response.output_item.done", "output_index": output, "item": message})
    if finished:
        incomplete = {"reason": "max_output_tokens"} if status == "incomplete" else None
        final = {**head, "status": status, "output": [message], "usage": usage, "incomplete_details": incomplete}
        events.append({"type": f"response.{status}", "response": final})
    return [sse({**e, "sequence_number": n}, event=e["type"]) for n, e in enumerate(events)]


def anthropic_stream(
    pieces: Sequence[str],
    *,
    thinking: Sequence[str] = (),
    signature: str = "c2lnbmF0dXJl",
    input_tokens: int = 12,
    output_tokens: int = 30,
    stop_reason: str = "end_turn",
    model: str = "claude-sonnet-4-20250514",
    finished: bool = True,
) -> list[bytes]:
    """The Messages API, with a ping in it."""
    message: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": input_tokens, "output_tokens": 1},
    }
    events: list[dict[str, Any]] = [{"type": "message_start", "message": message}, {"type": "ping"}]

    def block(index: int, start: dict[str, Any], deltas: list[dict[str, Any]]) -> None:
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        events.extend({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas)
        events.append({"type": "content_block_stop", "index": index})

    index = 0
    if thinking:
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in thinking]
        deltas.append({"type": "signature_delta", "signature": signature})
        block(index, {"type": "thinking", "thinking": "", "signature": ""}, deltas)
        index += 1
    block(index, {"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in pieces])
    if finished:
        delta = {"stop_reason": stop_reason, "stop_sequence": None}
        events.append({"type": "message_delta", "delta": delta, "usage": {"output_tokens": output_tokens}})
        events.append({"type": "message_stop"})
    return [sse(event, event=event["type"]) for event in events]


def gemini_stream(
    pieces: Sequence[str],
    *,
    thoughts: Sequence[str] = (),
    prompt_tokens: int = 9,
    candidate_tokens: int = 23,
    thought_tokens: int | None = None,
    finish: str | None = "STOP",
    model: str = "gemini-2.5-flash",
) -> list[bytes]:
    """``streamGenerateContent?alt=sse``: lines end with CRLF, the finish reason comes with the last piece."""
    parts: list[dict[str, Any]] = [{"text": piece, "thought": True} for piece in thoughts]
    parts += [{"text": piece} for piece in pieces]
    usage: dict[str, Any] = {
        "promptTokenCount": prompt_tokens,
        "candidatesTokenCount": candidate_tokens,
        "totalTokenCount": prompt_tokens + candidate_tokens + (thought_tokens or 0),
    }
    if thought_tokens is not None:
        usage["thoughtsTokenCount"] = thought_tokens
    chunks = []
    for number, part in enumerate(parts, start=1):
        candidate: dict[str, Any] = {"content": {"parts": [part], "role": "model"}, "index": 0}
        if number == len(parts) and finish is not None:
            candidate["finishReason"] = finish
        chunks.append(
            {"candidates": [candidate], "usageMetadata": usage, "modelVersion": model, "responseId": "resp-1"}
        )
    return [sse(chunk, end="\r\n") for chunk in chunks]


def cohere_stream(
    pieces: Sequence[str],
    *,
    thinking: Sequence[str] = (),
    input_tokens: int = 507,
    output_tokens: int = 10,
    finish: str = "COMPLETE",
    finished: bool = True,
) -> list[bytes]:
    """Cohere's chat v2."""
    start: dict[str, Any] = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    events: list[dict[str, Any]] = [{"type": "message-start", "id": "co-1", "delta": {"message": start}}]
    index = 0
    for kind, texts in (("thinking", thinking), ("text", pieces)):
        if kind == "thinking" and not texts:
            continue
        content: dict[str, Any] = {"type": kind, kind: ""}
        events.append({"type": "content-start", "index": index, "delta": {"message": {"content": content}}})
        events += [
            {"type": "content-delta", "index": index, "delta": {"message": {"content": {kind: text}}}} for text in texts
        ]
        events.append({"type": "content-end", "index": index})
        index += 1
    if finished:
        usage = {
            "billed_units": {"input_tokens": 12, "output_tokens": output_tokens},
            "tokens": {"input_tokens": input_tokens, "output_tokens": output_tokens},
        }
        events.append({"type": "message-end", "delta": {"finish_reason": finish, "usage": usage}})
    return [sse(event, event=event["type"]) for event in events]
