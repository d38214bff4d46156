"""The only module that knows litellm: the route for whatever has no dialect of its own, and the way round a vendor
that changed its dialect (``SCALIX_LITELLM_ROUTE`` names the providers that take it).

litellm costs seconds and 150 MB to import, so it is imported on a worker thread, at the first call that needs it, with
the settings that keep it off the network and off stdout. Its stream is normalised to our events; what it is known to
get wrong is mended where that is possible without the vendor's bytes.
"""

from __future__ import annotations

import ast
import gc
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf
from typing import Any, Final

import anyio
import anyio.to_thread
import msgspec
import structlog

from protocol.errors import ErrorCode
from sidecar.certificates import read_certificates, system_ca_file
from sidecar.engines.base import (
    Event,
    Finish,
    FinishReason,
    ModelCall,
    ReasoningDelta,
    StreamError,
    Target,
    TextDelta,
    ToolCall,
    ToolInputDelta,
    ToolInputStart,
    Usage,
)
from sidecar.engines.dialects.limits import output_limit, snake_case, temperature
from sidecar.engines.errors import attributed, cut_off, from_response, from_stream_error, timed_out
from sidecar.engines.openai_compatible import messages, response_format, tool_choice, tools
from sidecar.engines.timeouts import Timeouts
from sidecar.errors import ProviderError
from sidecar.redaction import redact, register_secret

PROVIDER_PREFIX: Final = {"google": "gemini", "grok": "xai", "together": "together_ai"}
"""Our provider ids where litellm has another name."""

_BEFORE_IMPORT: Final = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # or the import fetches prices over the network
    "LITELLM_OFFLINE_MODE": "True",
    "LITELLM_MODE": "PRODUCTION",  # or it loads a .env file of whatever folder the app was started in
    "REPEATED_STREAMING_CHUNK_LIMIT": "100000000",  # or 100 equal chunks in a row lose the answer
}

_FINISH: Final[dict[str, FinishReason]] = {
    "stop": "stop",
    "length": "length",
    "content_filter": "content-filter",
    "tool_calls": "tool-calls",
    "function_call": "tool-calls",
}

_THREAD_SWITCH_S: Final = 0.001
"""While importing: the loop gets its turn this often (the default of 5 ms would show in a stream)."""

log = structlog.get_logger("sidecar.engines")


class LitellmLoader:
    """Imports litellm once, on a worker thread."""

    def __init__(self) -> None:
        self._module: Any = None
        self._lock = anyio.Lock()

    async def ready(self) -> Any:
        """The module; the first caller waits for the import. Raises ``ProviderError`` when it cannot be imported."""
        if self._module is None:
            async with self._lock:
                if self._module is None:
                    self._module = await anyio.to_thread.run_sync(_import_litellm)
        return self._module

    @property
    def loaded(self) -> Any:
        """The module if it was ever needed."""
        return self._module


def _import_litellm() -> Any:
    os.environ.update({name: value for name, value in _BEFORE_IMPORT.items() if name not in os.environ})
    interval = sys.getswitchinterval()
    sys.setswitchinterval(_THREAD_SWITCH_S)
    collecting = gc.isenabled()
    gc.disable()
    try:
        read_certificates()
        _trust_the_system()
        import litellm
    except ImportError as error:
        raise ProviderError("This build of the sidecar has no litellm, which this provider needs.") from error
    finally:
        gc.freeze()
        if collecting:
            gc.enable()
        sys.setswitchinterval(interval)
    if "SSL_CERT_FILE" not in os.environ and sys.platform.startswith("linux"):
        litellm.ssl_verify = system_ca_file() or True
    litellm.suppress_debug_info = True
    litellm.disable_hf_tokenizer_download = True
    litellm.telemetry = False
    litellm.drop_params = True
    return litellm


def _trust_the_system() -> None:
    """litellm ignores a TLS context it is given, so on Windows and macOS every context has to become the system's. On
    Linux its list of certificates can be replaced by the system's file instead."""
    if not sys.platform.startswith("linux"):
        import truststore

        truststore.inject_into_ssl()


class LitellmEngine:
    """``Engine`` over ``litellm.acompletion``, without its retries: those are ``routing``'s."""

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._loader = LitellmLoader()

    @asynccontextmanager
    async def stream(self, call: ModelCall) -> AsyncIterator[AsyncIterator[list[Event]]]:
        """See ``Engine.stream``."""
        litellm = await self._loader.ready()
        if call.target.api_key:
            register_secret(call.target.api_key)
        try:
            with anyio.fail_after(_seconds(self._timeouts.first_token_s)):
                chunks = await litellm.acompletion(**arguments(call))
        except TimeoutError:
            raise self._whose(timed_out(first=True, seconds=self._timeouts.first_token_s), call) from None
        except Exception as error:
            if isinstance(error, ProviderError):
                raise
            raise self._whose(provider_error(error), call) from error
        try:
            yield self._events(chunks, call)
        finally:
            with anyio.CancelScope(shield=True):
                # Without this the upstream connection stays open.
                await chunks.aclose()

    async def aclose(self) -> None:
        """Close litellm's own clients, if it was ever loaded."""
        if self._loader.loaded is not None:
            from litellm.llms.custom_httpx.async_client_cleanup import close_litellm_async_clients

            await close_litellm_async_clients()

    async def _events(self, chunks: Any, call: ModelCall) -> AsyncIterator[list[Event]]:
        reader = ChunkReader()
        iterator = aiter(chunks)
        first = True
        while True:
            seconds = self._timeouts.first_token_s if first else self._timeouts.idle_s
            try:
                with anyio.fail_after(_seconds(seconds)):
                    chunk = await anext(iterator)
            except StopAsyncIteration:
                break
            except TimeoutError:
                raise self._whose(timed_out(first=first, seconds=seconds), call) from None
            except Exception as error:
                raise self._whose(provider_error(error, answering=not first), call) from error
            events = reader.take(chunk)
            first = first and not events
            if events:
                yield events
        if not reader.finished:
            raise self._whose(cut_off(), call)

    def _whose(self, error: ProviderError, call: ModelCall) -> ProviderError:
        target = call.target
        return attributed(error, provider=target.provider, model=target.model, request_id=call.request_id)


def _seconds(limit: float) -> float | None:
    return None if limit == inf else limit


def arguments(call: ModelCall) -> dict[str, Any]:
    """What ``acompletion`` is called with."""
    target = call.target
    prefix = PROVIDER_PREFIX.get(target.provider, target.provider)
    optional = {
        "api_key": target.api_key.reveal() if target.api_key else None,
        "api_base": _base(target),
        "max_tokens": output_limit(call),
        "temperature": temperature(call),
        "top_p": call.top_p,
        "stop": list(call.stop) or None,
        "tools": tools(call) or None,
        "tool_choice": None if call.tool_choice is None else tool_choice(call.tool_choice),
        "response_format": None if call.response_format is None else response_format(call.response_format),
        "reasoning_effort": call.thinking if target.reasoning != "none" else None,
        "extra_headers": dict(target.headers) or None,
    }
    return {
        "model": f"{prefix}/{target.wire_model}",
        "messages": messages(call.messages),
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_retries": 0,
        "num_retries": 0,
        "_skip_mcp_handler": True,  # or a call with tools dies of the ``mcp`` package, which litellm does not require
        **{name: value for name, value in optional.items() if value is not None},
        **snake_case(call.provider_options),
        **target.body,
    }


def _base(target: Target) -> str | None:
    """litellm adds Anthropic's version itself."""
    base = target.base_url.removesuffix("/v1") if target.provider == "anthropic" else target.base_url
    return base or None


class ChunkReader:
    """litellm's chunks as events. ``finished`` once a finish reason was seen."""

    def __init__(self) -> None:
        self.finished = False
        self._calls: dict[int, tuple[str, str, list[str]]] = {}

    def take(self, chunk: Any) -> list[Event]:
        """The events of one chunk."""
        events: list[Event] = []
        for choice in getattr(chunk, "choices", None) or ():
            delta = choice.delta
            if reasoning := getattr(delta, "reasoning_content", None):
                events.append(ReasoningDelta(reasoning))
            if text := getattr(delta, "content", None):
                events.append(TextDelta(text))
            for piece in getattr(delta, "tool_calls", None) or ():
                events.extend(self._tool(piece))
            if choice.finish_reason:
                events.extend(self._finish(choice.finish_reason))
        if usage := getattr(chunk, "usage", None):
            events.append(_usage(usage))
        return events

    def _tool(self, piece: Any) -> list[Event]:
        index = piece.index or 0
        events: list[Event] = []
        if index not in self._calls:
            call: tuple[str, str, list[str]] = (piece.id or f"call_{index}", piece.function.name or "", [])
            self._calls[index] = call
            events.append(ToolInputStart(call[0], call[1]))
        call_id, _, pieces = self._calls[index]
        if piece.function.arguments:
            pieces.append(piece.function.arguments)
            events.append(ToolInputDelta(call_id, piece.function.arguments))
        return events

    def _finish(self, raw: str) -> list[Event]:
        self.finished = True
        calls: list[Event] = [ToolCall(i, name, "".join(pieces) or "{}") for i, name, pieces in self._calls.values()]
        self._calls.clear()
        return [*calls, Finish(_FINISH.get(raw, "other"), raw)]


def _usage(usage: Any) -> Usage:
    output = getattr(usage, "completion_tokens_details", None)
    prompt = getattr(usage, "prompt_tokens_details", None)
    return Usage(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        reasoning_tokens=getattr(output, "reasoning_tokens", None),
        cached_input_tokens=getattr(prompt, "cached_tokens", None),
        total_tokens=usage.total_tokens,
    )


_PYTHON_BYTES: Final = re.compile(r"""b'(?:[^'\\]|\\.)*'|b"(?:[^"\\]|\\.)*\"""", re.DOTALL)
_WRAPPING: Final = re.compile(
    r"^(?:(?:litellm\.)?\w{1,60}(?:Error|Exception|Timeout)(?:: ?| - ?))+(?:Error code: \d{3} - )?"
)
"""What litellm puts before a vendor's words: ``litellm.RateLimitError: RateLimitError: OpenAIException - ``."""


def provider_error(error: Exception, *, answering: bool = False) -> ProviderError:
    """litellm's exception as ours: the vendor's status, headers and sentence are dug out of its wrapping.

    ``answering``: content has come already, so a connection that failed is a stream that broke.
    """
    inner = getattr(error, "original_exception", None) or error
    text = str(getattr(inner, "message", "") or inner) or type(inner).__name__
    kind = type(inner).__name__
    if kind == "APIConnectionError":
        sentence = redact(_WRAPPING.sub("", text), limit=500)
        return cut_off() if answering else ProviderError(sentence, code=ErrorCode.NETWORK)
    body = _vendor_body(text)
    status = getattr(inner, "status_code", None)
    if not isinstance(status, int):
        return from_stream_error(StreamError(_WRAPPING.sub("", text), type=kind, body=body))
    headers = getattr(inner, "litellm_response_headers", None) or {}
    return from_response(status, {name.lower(): value for name, value in headers.items()}, body.encode())


def _vendor_body(text: str) -> str:
    """The vendor's body inside litellm's message: JSON as it came, or as Python bytes, else its sentence."""
    if quoted := _PYTHON_BYTES.search(text):
        return _unquoted(quoted[0])
    start, end = text.find("{"), text.rfind("}")
    if 0 <= start < end:
        try:
            msgspec.json.decode(text[start : end + 1])
        except (msgspec.DecodeError, UnicodeError):
            pass
        else:
            return text[start : end + 1]
    return _WRAPPING.sub("", text)


def _unquoted(literal: str) -> str:
    try:
        value = ast.literal_eval(literal)
    except (ValueError, SyntaxError):
        return literal
    return bytes(value).decode("utf-8", "replace")
