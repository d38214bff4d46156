"""What a model takes, so that nothing is sent which it refuses (app contract 16, rows 17 and 18).

Facts of the built-in models are data in ``catalog.builtin``; those of every other model follow from its name.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, Literal

import msgspec


class ModelFacts(msgspec.Struct, frozen=True):
    """How to ask one model, whichever route leads to it."""

    accepts_temperature: bool = True
    """False: the vendor answers 400 to any temperature but its own default. Send none."""
    reasoning: Literal["none", "effort", "budget"] = "none"
    """How thinking is steered: not at all, by an effort word, or by a token budget."""
    image_input: bool | None = None
    """Whether it reads images; None when that is not known."""


PLAIN_TEXT: Final = ModelFacts(image_input=False)
PLAIN_VISION: Final = ModelFacts(image_input=True)
OPENAI_REASONING: Final = ModelFacts(accepts_temperature=False, reasoning="effort", image_input=True)
OPENAI_REASONING_TEXT: Final = ModelFacts(accepts_temperature=False, reasoning="effort", image_input=False)
THINKING_BUDGET: Final = ModelFacts(reasoning="budget", image_input=True)
OPEN_REASONING: Final = ModelFacts(reasoning="effort", image_input=False)
OPEN_THINKING: Final = ModelFacts(reasoning="budget", image_input=False)
UNKNOWN: Final = ModelFacts()

_BY_NAME: Final[tuple[tuple[re.Pattern[str], ModelFacts], ...]] = (
    (re.compile(r"gpt-[5-9](\.\d+)?-chat"), PLAIN_VISION),
    (re.compile(r"o[13]-(mini|preview)"), OPENAI_REASONING_TEXT),
    (re.compile(r"o\d(-|$)|gpt-[5-9]|codex-|computer-use"), OPENAI_REASONING),
    (re.compile(r"gpt-4\.1|gpt-4o|chatgpt-4o"), PLAIN_VISION),
    (re.compile(r"claude-3[.-]7|claude-[a-z]+-[4-9]|claude-[4-9]"), THINKING_BUDGET),
    (re.compile(r"claude-3"), PLAIN_VISION),
    (re.compile(r"gemini-(2\.5|[3-9])|gemini-(flash|flash-lite|pro)-latest"), THINKING_BUDGET),
    (re.compile(r"gemini-"), PLAIN_VISION),
    (re.compile(r"gpt-oss|grok-3-mini"), OPEN_REASONING),
    (re.compile(r"command-a-reasoning"), OPEN_THINKING),
)
"""Beginnings of model names, without the vendor's part; the first match counts."""


@lru_cache(maxsize=1024)
def infer_facts(name: str) -> ModelFacts:
    """Facts of a model that is not in the catalogue, from the last part of its name.

    A model that no rule knows takes everything: refusing on its behalf would take away what works today.
    """
    bare = name.rsplit("/", 1)[-1].lower()
    return next((facts for pattern, facts in _BY_NAME if pattern.match(bare)), UNKNOWN)
