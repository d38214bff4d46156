"""The only module that knows litellm: the route for whatever has no dialect of its own, and the way round a vendor
that changed its dialect (``SCALIX_LITELLM_ROUTE`` names the providers that take it).

litellm costs seconds and 150 MB to import, so it is imported on a worker thread, at the first call that needs it, with
the settings that keep it off the network and off stdout. Its calls run on an event loop of their own, because each
kind of first call imports and computes for up to half a second more. Its stream is normalised to our events; what it
is known to get wrong is mended where that is possible without the vendor's bytes.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from math import inf
from typing import Any, Final

import anyio
import anyio.to_thread

from sidecar.certificates import read_certificates, system_ca_file
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
from sidecar.engines.errors import attributed, cut_off, timed_out
from sidecar.engines.litellm_errors import provider_error
from sidecar.engines.members import output_limit, snake_case, temperature
from sidecar.engines.openai_compatible import messages, response_format, tool_choice, tools
from sidecar.engines.own_loop import OwnLoop
from sidecar.engines.timeouts import Timeouts
from sidecar.engines.wire.lenient import count
from sidecar.errors import ProviderError
from sidecar.redaction import register_secret

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

_VOCABULARY: Final = "anthropic_tokenizer.json"

_IMPORTED_S: Final = 1.0
"""When the client of a vendor has certainly been imported, and only the vendor is waited for."""

_THREAD_SWITCH_S: Final = 0.001
"""While importing: the loop gets its turn this often (the default of 5 ms would show in a stream)."""


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
    pause = CollectorPause()
    try:
        read_certificates()
        _trust_the_system()
        with _vocabulary_unread():
            import litellm
    except ImportError as error:
        raise ProviderError("This build of the sidecar has no litellm, which this provider needs.") from error
    finally:
        pause.end()
        sys.setswitchinterval(interval)
    if "SSL_CERT_FILE" not in os.environ and sys.platform.startswith("linux"):
        litellm.ssl_verify = system_ca_file() or True
    litellm.suppress_debug_info = True
    litellm.disable_hf_tokenizer_download = True
    litellm.telemetry = False
    litellm.drop_params = True
    # It counts the prompt of every call for a price that nobody asks for, and invents the usage that a vendor leaves
    # out: 50 MB and 0.2 s for the tokenizer. Without counting it says 0.
    litellm.disable_token_counter = True
    litellm.main.encoding = _Encoding()
    return litellm


@contextmanager
def _vocabulary_unread() -> Iterator[None]:
    """``litellm.utils`` reads Anthropic's vocabulary to write it as text again, for a counter that is not used here.
    Each of the two holds every thread for 20 ms, and megabytes stay."""
    load = json.load

    def others(file: Any, **options: Any) -> Any:
        return {} if str(getattr(file, "name", "")).endswith(_VOCABULARY) else load(file, **options)

    json.load = others  # type: ignore[assignment]
    try:
        yield
    finally:
        json.load = load


class _Encoding:
    """The tokenizer that litellm hands through every call, whether it is used or not: loaded when it is."""

    def __getattr__(self, name: str) -> Any:
        from litellm._lazy_imports import get_default_encoding

        return getattr(get_default_encoding(), name)


class CollectorPause:
    """No garbage is collected until ``end``, and what is there then is never looked at again: what an import makes is
    no garbage, and looking through it holds every thread for 30 to 50 ms."""

    def __init__(self) -> None:
        self._collecting = gc.isenabled()
        self._ended = False
        gc.disable()

    def end(self) -> None:
        """Collect again, if that was so before. The first call counts."""
        if self._ended:
            return
        self._ended = True
        gc.freeze()
        if self._collecting:
            gc.enable()


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
        self._loop = OwnLoop("litellm")
        self._asked: set[str] = set()
        """Vendors whose client has been imported."""

    @asynccontextmanager
    async def stream(self, call: ModelCall) -> AsyncIterator[AsyncIterator[list[Event]]]:
        """See ``Engine.stream``."""
        litellm = await self._loader.ready()
        if call.target.api_key:
            register_secret(call.target.api_key)
        stream = _Stream(litellm, call, self._asked)
        try:
            try:
                with anyio.fail_after(_seconds(self._timeouts.first_token_s)):
                    await self._loop.run(stream.open)
            except TimeoutError:
                raise attributed(timed_out(first=True, seconds=self._timeouts.first_token_s), call) from None
            except Exception as error:
                if isinstance(error, ProviderError):
                    raise
                raise attributed(provider_error(error), call) from error
            yield self._events(stream, call)
        finally:
            with anyio.CancelScope(shield=True):
                # Without this the upstream connection stays open.
                await self._loop.run(stream.close)

    async def aclose(self) -> None:
        """Close litellm's own clients, if it was ever loaded."""
        if self._loader.loaded is not None:
            from litellm.llms.custom_httpx.async_client_cleanup import close_litellm_async_clients

            await self._loop.run(close_litellm_async_clients)
        await self._loop.aclose()

    async def _events(self, stream: _Stream, call: ModelCall) -> AsyncIterator[list[Event]]:
        first = True
        while True:
            seconds = self._timeouts.first_token_s if first else self._timeouts.idle_s
            try:
                with anyio.fail_after(_seconds(seconds)):
                    events = await self._loop.run(stream.next)
            except TimeoutError:
                raise attributed(timed_out(first=first, seconds=seconds), call) from None
            except Exception as error:
                raise attributed(provider_error(error, answering=True), call) from error
            if not events:
                break
            first = False
            yield events
        if not stream.finished:
            raise attributed(cut_off(), call)


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


class _Stream:
    """One call, on litellm's loop. A step that was cancelled ends before the next one begins, so that whatever was
    opened is closed."""

    def __init__(self, litellm: Any, call: ModelCall, asked: set[str]) -> None:
        """``asked``: vendors whose client has been imported, which the first call to each does."""
        self._litellm = litellm
        self._call = call
        self._asked = asked
        self._reader = ChunkReader()
        self._chunks: Any = None
        self._step = asyncio.Lock()

    @property
    def finished(self) -> bool:
        """Whether a finish reason was seen."""
        return self._reader.finished

    async def open(self) -> None:
        """Ask. Raises litellm's exceptions."""
        async with self._step:
            if self._call.target.provider in self._asked:
                self._chunks = await self._litellm.acompletion(**arguments(self._call))
                return
            self._asked.add(self._call.target.provider)
            pause = CollectorPause()
            asyncio.get_running_loop().call_later(_IMPORTED_S, pause.end)
            try:
                self._chunks = await self._litellm.acompletion(**arguments(self._call))
            finally:
                pause.end()

    async def next(self) -> list[Event]:
        """The next events; none at the end. Raises litellm's exceptions."""
        async with self._step:
            async for chunk in self._chunks:
                if events := self._reader.take(chunk):
                    return events
            return []

    async def close(self) -> None:
        """Close the connection."""
        async with self._step:
            if self._chunks is not None:
                await self._chunks.aclose()


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
        if (usage := getattr(chunk, "usage", None)) and (usage.prompt_tokens or usage.completion_tokens):
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
        input_tokens=count(usage.prompt_tokens),
        output_tokens=count(usage.completion_tokens),
        reasoning_tokens=count(getattr(output, "reasoning_tokens", None)),
        cached_input_tokens=count(getattr(prompt, "cached_tokens", None)),
        total_tokens=count(usage.total_tokens),
    )
