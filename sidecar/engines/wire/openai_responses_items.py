"""Items of a Responses answer: their shape, and those that are calls of tools other than the app's functions.

The names and inputs of the vendor's own tools are the AI SDK's.
"""

from __future__ import annotations

from typing import Any

import msgspec

from sidecar.engines.base import Event, GeneratedFile
from sidecar.engines.wire.lenient import member
from sidecar.engines.wire.tool_calls import json_text, whole_call

_SERVER_TOOLS = {
    "web_search_call": "web_search",
    "x_search_call": "x_search",
    "file_search_call": "file_search",
    "image_generation_call": "image_generation",
    "computer_call": "computer_use",
    "code_interpreter_call": "code_interpreter",
    "mcp_call": "mcp",
    "mcp_approval_request": "mcp",
    "tool_search_call": "tool_search",
}

_LOCAL_TOOLS = {
    # The model asks the client, with tools the app never offers; reported for completeness.
    "local_shell_call": "local_shell",
    "shell_call": "shell",
    "apply_patch_call": "apply_patch",
}

_LOCAL_SHELL = {"timeout_ms": "timeoutMs", "working_directory": "workingDirectory"}


class OutputItem(msgspec.Struct, gc=False):
    """One item of the output, of any type: what is read of them."""

    type: str | None = None
    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: Any = None
    content: Any = None
    summary: Any = None
    code: Any = None
    container_id: Any = None
    action: Any = None
    operation: Any = None
    result: Any = None
    output_format: Any = None


def tool_events(kind: str, item: OutputItem, out: list[Event]) -> None:
    """The call that ``item`` is, and the image that came of it; nothing when its ``kind`` is no tool's."""
    executed = kind in _SERVER_TOOLS
    name = _SERVER_TOOLS.get(kind) or _LOCAL_TOOLS.get(kind)
    if name is None:
        return
    if name == "mcp":
        name = f"mcp.{item.name or ''}"
    call_id = item.id if executed else item.call_id
    whole_call(
        call_id or item.call_id or item.id or kind, name, _tool_input(kind, item), out, provider_executed=executed
    )
    if kind == "image_generation_call" and isinstance(item.result, str) and item.result:
        kind_of_image = item.output_format if isinstance(item.output_format, str) else "png"
        out.append(GeneratedFile(f"image/{kind_of_image}", item.result))


def _tool_input(kind: str, item: OutputItem) -> str:
    """The input of a vendor's tool as the AI SDK gives it. What a search was for is its result there, not its input."""
    action = member(item.action)
    match kind:
        case "code_interpreter_call":
            return json_text({"code": item.code, "containerId": item.container_id})
        case "computer_call":
            return json_text(action)
        case "local_shell_call":
            return json_text({"action": {_LOCAL_SHELL.get(name, name): value for name, value in action.items()}})
        case "shell_call":
            return json_text({"action": {"commands": action.get("commands")}})
        case "apply_patch_call":
            return json_text({"callId": item.call_id, "operation": item.operation})
        case _:
            # xAI gives its own tools' arguments as functions have them.
            return json_text(item.arguments)
