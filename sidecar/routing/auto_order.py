"""In which order ``auto`` asks: the ranking, held to what somebody who chose ``auto`` expects. Pure.

Choosing ``auto`` is leaving the choice to Scalix, among the models Scalix picked for it (``AUTO_ORDER``). A key that
was put in for something else is no wish to chat with every model behind it. So:

- Scalix's own models are ordered by the ranking, whose curiosity (``recommend``) is about them alone. Where none of
  them can be asked, the first of the other models stands for them.
- Another model comes among them only as an equal: it has answered here lately, its price is known and not above the
  dearest of theirs, and it takes images and prompts as they do.
- Every other model comes after them, for the case that all of them fail.
- Where Scalix or a team's proxy pays, nothing is asked out of curiosity: it is not ours to spend.

Without data that is exactly the order in which the candidates came.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sidecar.engines.base import DEFAULT_CONTEXT_WINDOW
from sidecar.routing.recommend import EvidenceOf, ModelOption, Ranked, is_own, rank, usd_per_million

LATELY: Final = 1.0
"""Faded answers (``track_record``) from which on a model is known to be one that chats."""


def auto_order(options: Sequence[ModelOption], evidence_of: EvidenceOf, *, own_keys: bool = True) -> list[Ranked]:
    """The candidates of ``auto``, the first to ask first. ``own_keys``: the user pays, not Scalix or a proxy."""
    ranked = rank(options, evidence_of, curious=own_keys)
    own = [option for option in options if is_own(option)] or list(options[:1])
    leading = [each for each in ranked if each.option in own or _is_equal(each, own)]
    return leading + [each for each in ranked if each not in leading]


def _is_equal(ranked: Ranked, own: Sequence[ModelOption]) -> bool:
    """Whether a model may be asked instead of Scalix's own without anybody being surprised."""
    option, usd = ranked.option, usd_per_million(ranked.option)
    prices = [price for each in own if (price := usd_per_million(each)) is not None]
    return (
        ranked.evidence.answers >= LATELY
        and usd is not None
        and usd <= max(prices, default=-1.0)
        and option.reads_images is True
        and _window(option) >= min(map(_window, own), default=0)
    )


def _window(option: ModelOption) -> int:
    return option.context_window or DEFAULT_CONTEXT_WINDOW
