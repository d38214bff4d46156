"""Whether a prompt fits its model (app contract 6, upstream lessons 4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from protocol.errors import ErrorCode
from sidecar.engines.base import Target
from sidecar.errors import SidecarError

SMALLEST_ANSWER_TOKENS: Final = 1024
"""Room an answer needs at least; a prompt that leaves less is refused."""


def fits(total_tokens: int, max_output: int | None, window: int) -> int | None:
    """How many output tokens may be asked for: ``max_output``, or what the prompt leaves of ``window`` when that is
    less; None when ``max_output`` is None.

    Raises ``SidecarError`` with ``CONTEXT_LENGTH_EXCEEDED`` and the counts when the prompt of ``total_tokens`` leaves
    no room for an answer (``SMALLEST_ANSWER_TOKENS``, or ``max_output`` when that is less). The full ``max_output``
    is not demanded: many models' maximum is as large as their window, and they still answer.
    """
    room = window - total_tokens
    needed = min(SMALLEST_ANSWER_TOKENS, window // 8, *(() if max_output is None else (max_output,)))
    if room < needed:
        raise SidecarError(
            f"This prompt has about {total_tokens:,} tokens, but the model reads at most {window:,}, its answer"
            " included. Choose a model with a larger context window, exclude files in the app's context settings,"
            " or start a new chat.",
            code=ErrorCode.CONTEXT_LENGTH_EXCEEDED,
            extra={"totalTokens": total_tokens, "maxOutputTokens": max_output, "contextWindow": window},
        )
    return None if max_output is None else min(max_output, room)


def fitting(targets: Sequence[Target], tokens: int, window: int | None) -> tuple[Target, ...]:
    """The candidates with room for an answer to a prompt of ``tokens``; one that is too small for it is left out.

    Raises the first candidate's CONTEXT_LENGTH_EXCEEDED when the chosen model's ``window`` is known and too small. A
    window nobody knows is the provider's to judge.
    """
    first, *others = targets
    found = [first if window is None else _with_room(first, tokens)]
    for target in others:
        try:
            found.append(_with_room(target, tokens))
        except SidecarError:
            continue
    return tuple(found)


def _with_room(target: Target, tokens: int) -> Target:
    allowed = fits(tokens, target.max_output_tokens, target.context_window)
    return target if allowed == target.max_output_tokens else msgspec.structs.replace(target, max_output_tokens=allowed)
