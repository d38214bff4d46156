"""The only module that knows litellm: the route for whatever has no dialect of its own, and the way round a vendor
that changed its dialect (``SCALIX_LITELLM_ROUTE`` names the providers that take it).

litellm costs seconds and 150 MB to import, so it is imported on a worker thread, at the first call that needs it, with
the settings that keep it off the network and off stdout. Its stream is normalised to our events; what it is known to
get wrong is mended where that is possible without the vendor's bytes.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from math import inf
from typing import Any, Final

import anyio
import anyio.to_thread
import msgspec
import structlog

from sidecar.engines.base import (
    Event,
    Finish,
    FinishReason,
    ModelCall,
    ReasoningDelta,
    Target,
    TextDelta,
    ToolCall,
    ToolInputDelta,
    ToolInputStart,
    Usage,
)
from sidecar.engines.dialects.limits import output_limit, temperature
from sidecar.engines.errors import attributed, classify, cut_off, timed_out
from sidecar.engines.openai_compatible import messages, response_format, tool_choice, tools
from sidecar.engines.timeouts import Timeouts
from sidecar.errors import ProviderError
from sidecar.redaction import redact

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
        import litellm
    except ImportError as error:
        raise ProviderError("This build of the sidecar has no litellm, which this provider needs.") from error
    finally:
        gc.freeze()
        if collecting:
            gc.enable()
        sys.setswitchinterval(interval)
    litellm.suppress_debug_info = True
    litellm.disable_hf_tokenizer_download = True
    litellm.telemetry = False
    litellm.drop_params = True
    return litellm


class LitellmEngine:
    """``Engine`` over ``litellm.acompletion``, without its retries: those are ``routing``'s."""

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._loader = LitellmLoader()

    @asynccontextmanager
    async def stream(self, call: ModelCall) -> AsyncIterator[AsyncIterator[list[Event]]]:
        """See ``Engine.stream``."""
        litellm = await self._loader.ready()
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
                raise self._whose(provider_error(error), call) from error
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
        **{name: value for name, value in optional.items() if value is not None},
        **call.provider_options,
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


def provider_error(error: Exception) -> ProviderError:
    """litellm's exception as ours: the vendor's status and sentence are dug out of its wrapping."""
    inner = getattr(error, "original_exception", None) or error
    status = getattr(inner, "status_code", None)
    text = redact(str(getattr(inner, "message", "") or inner) or type(inner).__name__)
    code, retryable = classify(status if isinstance(status, int) else None, text)
    return ProviderError(_sentence(text), code=code, retryable=retryable, status=status, details=None)


def _sentence(text: str) -> str:
    """The vendor's own message, where litellm wrapped its JSON body into a sentence."""
    start = text.find("{")
    if start >= 0:
        try:
            body = msgspec.json.decode(text[start : text.rfind("}") + 1])
        except (msgspec.DecodeError, UnicodeError):
            return text
        inner = body.get("error", body) if isinstance(body, Mapping) else None
        message = inner.get("message") if isinstance(inner, Mapping) else None
        if isinstance(message, str) and message:
            return message
    return text
