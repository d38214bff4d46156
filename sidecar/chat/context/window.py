"""Whether a prompt fits its model (app contract 6, upstream lessons 4)."""

from __future__ import annotations

from typing import Final

from protocol.errors import ErrorCode
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
