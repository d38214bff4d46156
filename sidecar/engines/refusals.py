"""What a server refuses to be asked with: read from its sentence, left out of the next request, remembered.

Models differ in what they take, and no list of facts is complete: custom servers, deployments with names of their own,
organisations that may not have what others may. A refused member of the request costs one more request, once.

Only members that the user's answer does not depend on are left out: sampling, limits, thinking, the wish for usage,
and that the answer come piece by piece.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from protocol.errors import ErrorCode
from sidecar.engines.base import Dialect, Message, ModelCall, Part, Target
from sidecar.errors import ProviderError

SYSTEM: Final = "system"
"""Stands for the system role; what was said in it is then said by the user."""

NEIGHBOURS: Final = "neighbours"
"""Stands for two messages of one side in a row, as a failed answer leaves them; they are then sent as one."""

MAX_REFUSALS: Final = 4
"""Of one call. Servers name one member at a time."""

_LIMIT: Final = re.compile(r"\bmax_(?:completion_)?tokens\b")
_TOO_LARGE: Final = re.compile(r"too (?:large|high)|at most|less than|exceeds?|maximum", re.IGNORECASE)

_TEMPERATURE: Final = re.compile(r"\btemperature\b", re.IGNORECASE)
_TOP_P: Final = re.compile(r"\btop_?p\b", re.IGNORECASE)
_TOP_K: Final = re.compile(r"\btop_?k\b", re.IGNORECASE)
_PRESENCE: Final = re.compile(r"\bpresence_?penalty\b", re.IGNORECASE)
_FREQUENCY: Final = re.compile(r"\bfrequency_?penalty\b", re.IGNORECASE)
_SEED: Final = re.compile(r"['\"`.]seed\b")
_STREAM: Final = re.compile(r"\bverified to stream\b")
"""OpenAI streams some models to verified organisations only; others get the answer in one piece."""
_THINKING: Final = re.compile(r"\bthinking", re.IGNORECASE)
_EFFORT: Final = re.compile(r"\breasoning[._ ]?effort\b", re.IGNORECASE)

_NAMES: Final[dict[Dialect, dict[str, re.Pattern[str]]]] = {
    "openai-chat": {
        "temperature": _TEMPERATURE,
        "top_p": _TOP_P,
        "top_k": _TOP_K,
        "presence_penalty": _PRESENCE,
        "frequency_penalty": _FREQUENCY,
        "seed": _SEED,
        "stream": _STREAM,
        "stream_options": re.compile(r"\bstream_options\b|\binclude_usage\b|" + _STREAM.pattern),
        "reasoning_effort": _EFFORT,
        "reasoning": re.compile(r"\breasoning(?:\.max_tokens)?\b(?![._ ]effort)", re.IGNORECASE),
        "thinking": _THINKING,
    },
    "openai-responses": {
        "temperature": _TEMPERATURE,
        "top_p": _TOP_P,
        "stream": _STREAM,
        "max_output_tokens": re.compile(r"\bmax_output_tokens\b"),
        "reasoning.effort": _EFFORT,
        "reasoning.summary": re.compile(r"\breasoning[._ ]summar(?:y|ies)\b", re.IGNORECASE),
        "reasoning": re.compile(r"['\"`]reasoning['\"`]"),
    },
    "anthropic": {
        "temperature": _TEMPERATURE,
        "top_p": _TOP_P,
        "top_k": _TOP_K,
        "thinking": _THINKING,
        "max_tokens": re.compile(r"\bmax_tokens\b[^.\n]{0,80}\bmaximum allowed\b"),
        "output_config": re.compile(r"\boutput_config\b|\beffort\b"),
    },
    "google": {
        "generationConfig.temperature": _TEMPERATURE,
        "generationConfig.topP": _TOP_P,
        "generationConfig.topK": _TOP_K,
        "generationConfig.maxOutputTokens": re.compile(r"\bmax_?output_?tokens\b", re.IGNORECASE),
        "generationConfig.thinkingConfig": _THINKING,
    },
    "cohere": {
        "temperature": _TEMPERATURE,
        "p": re.compile(r"\btop_p\b|['\"`]p['\"`]"),
        "k": re.compile(r"\btop_k\b|['\"`]k['\"`]"),
        "max_tokens": re.compile(r"\bmax_tokens\b"),
        "thinking": _THINKING,
    },
}
"""By dialect: members that may go, and how sentences name them."""

_NO_SYSTEM: Final = re.compile(
    r"'?messages\[\d+\]\.role'? does not support '(?:system|developer)'|developer instruction is not enabled"
    r"|system (?:role|messages?|prompts?) (?:is |are )?(?:not supported|unsupported|not allowed)"
    r"|(?:does not|doesn't) support (?:the )?system (?:role|messages?|prompts?|instructions?)",
    re.IGNORECASE,
)
_NO_NEIGHBOURS: Final = re.compile(r"(?:should|must) alternate", re.IGNORECASE)
"""Perplexity's servers, and the chat templates of Gemma, Mistral and Llama 2 on anybody's."""

_LIMITS: Final[dict[Dialect, frozenset[str]]] = {
    "openai-chat": frozenset({"max_tokens", "max_completion_tokens"}),
    "openai-responses": frozenset({"max_output_tokens"}),
    "anthropic": frozenset({"max_tokens"}),
    "cohere": frozenset({"max_tokens"}),
}
_LIMIT_ALONE: Final = re.compile(r"max_(?:completion_)?tokens`? must be less than or equal to")
"""Groq's sentence speaks of the context window as well."""
_ROOM: Final = (
    re.compile(r"exceed context limit: (?P<prompt>\d+) \+ \d+ > (?P<window>\d+)"),  # Anthropic
    re.compile(r"maximum context length is (?P<window>\d+) tokens.{1,80}?has (?P<prompt>\d+) input tokens"),  # vLLM
    re.compile(  # OpenAI, DeepSeek and OpenRouter
        r"maximum context length is (?P<window>\d+) tokens.{1,80}?\((?P<prompt>\d+) (?:in the messages|of text input)"
    ),
    re.compile(r"must be <= (?P<window>\d+)\. Given: (?P<prompt>\d+) `inputs` tokens"),  # Together
)
"""Prompt and answer's limit together outgrow the window."""
_PARAM: Final = re.compile(r'"param"\s*:\s*"([\w.]{1,60})"')


def refused_members(error: ProviderError, dialect: Dialect) -> frozenset[str]:
    """The members of a request that its refusal names: paths with dots, or ``SYSTEM``. Empty when it is about
    something else."""
    about_members = error.code is ErrorCode.BAD_REQUEST or _LIMIT_ALONE.search(error.message)
    if error.status not in (400, 422) or not about_members or dialect not in _NAMES:
        return frozenset()
    if _NO_SYSTEM.search(error.message):
        return frozenset({SYSTEM})
    if _NO_NEIGHBOURS.search(error.message):
        return frozenset({NEIGHBOURS})
    named = _PARAM.search(error.details or "")
    sentence = f"{error.message} '{named[1]}'" if named else error.message
    found = {path for path, name in _NAMES[dialect].items() if name.search(sentence)}
    if dialect == "openai-chat" and (limit := _LIMIT.search(sentence)):
        # "Unsupported parameter: 'max_tokens' ... Use 'max_completion_tokens' instead": the first one is meant.
        too_large = _TOO_LARGE.search(sentence) and "nsupported" not in sentence
        found |= {"max_tokens", "max_completion_tokens"} if too_large else {limit[0]}
    return frozenset(found)


def leaves_room(sentence: str) -> bool:
    """Whether a prompt was refused only because of how long its answer may be: the prompt alone fits."""
    found = next((match for pattern in _ROOM if (match := pattern.search(sentence))), None)
    return found is not None and int(found["prompt"]) < int(found["window"])


class Refusals:
    """What was refused so far, by endpoint and model, for the life of the process."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], frozenset[str]] = {}

    def known(self, call: ModelCall) -> ModelCall:
        """``call`` without what its model refuses."""
        return left_out(call, self._known.get(_key(call.target))) if self._known else call

    def learn(self, call: ModelCall, error: ProviderError) -> ModelCall | None:
        """``call`` without what ``error`` names as well; None when it names nothing that could still go."""
        dialect = call.target.dialect
        if leaves_room(error.message):  # true of this prompt, not of the model: not remembered
            limits = _LIMITS.get(dialect, frozenset()) - call.without
            return left_out(call, limits) if limits else None
        refused = refused_members(error, dialect) - call.without
        if not refused:
            return None
        key = _key(call.target)
        self._known[key] = self._known.get(key, frozenset()) | refused
        return left_out(call, refused)


def _key(target: Target) -> tuple[str, str]:
    return target.base_url, target.wire_model


def left_out(call: ModelCall, members: frozenset[str] | None) -> ModelCall:
    """``call`` to be sent without ``members``."""
    if not members or members <= call.without:
        return call
    messages = call.messages
    if SYSTEM in members and SYSTEM not in call.without:
        messages = said_by_the_user(messages)
    if NEIGHBOURS in members and NEIGHBOURS not in call.without:
        messages = taking_turns(messages)
    return msgspec.structs.replace(call, messages=messages, without=call.without | members)


def said_by_the_user(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The system messages' texts at the head of the first user message."""
    system: tuple[Part, ...] = tuple(part for message in messages if message.role == "system" for part in message.parts)
    rest = [message for message in messages if message.role != "system"]
    first = next((index for index, message in enumerate(rest) if message.role == "user"), None)
    if first is None:
        return (Message("user", system), *rest) if system else tuple(rest)
    rest[first] = Message("user", (*system, *rest[first].parts))
    return tuple(rest)


def taking_turns(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Neighbours of the same side as one message. Tool results stay apart."""
    merged: list[Message] = []
    for message in messages:
        if merged and merged[-1].role == message.role in ("user", "assistant"):
            merged[-1] = Message(message.role, (*merged[-1].parts, *message.parts))
        else:
            merged.append(message)
    return tuple(merged)


def without(body: dict[str, Any], members: frozenset[str]) -> dict[str, Any]:
    """``body`` less the members at these paths; an object that is left empty goes as well."""
    for path in members:
        body = _without(body, path.split("."))
    return body


def _without(body: dict[str, Any], way: list[str]) -> dict[str, Any]:
    name, *rest = way
    if name not in body:
        return body
    others = {key: value for key, value in body.items() if key != name}
    inner = body[name]
    if not rest:
        return others
    if isinstance(inner, Mapping) and (left := _without(dict(inner), rest)):
        return {key: (left if key == name else value) for key, value in body.items()}
    return others
