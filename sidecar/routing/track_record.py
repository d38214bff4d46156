"""How each model has been doing lately: evidence that fades.

Two memories, because outages pass and speed stays: a failure loses half its weight in ``FAILURE_HALF_LIFE_MS``, an
answer and its speed in ``ANSWER_HALF_LIFE_MS``. Each new answer leaves ``FADE`` of the older ones of that model, so
that a model which became slow is known to be slow after some twenty answers, however many came before; and each failure
leaves ``SHAKE`` of them, so that a long good past does not outweigh a bad present.

Pure state over given times; the same entries in the same order give the same evidence.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from protocol.errors import ErrorCode

FAILURE_HALF_LIFE_MS: Final = 30 * 60_000.0
ANSWER_HALF_LIFE_MS: Final = 3 * 86_400_000.0
FADE: Final = 0.95
SHAKE: Final = 0.7

_NOT_THE_MODELS_FAULT: Final = frozenset(
    code.value
    for code in (
        ErrorCode.BAD_REQUEST,
        ErrorCode.CANCELLED,
        ErrorCode.CONTENT_FILTERED,
        ErrorCode.CONTEXT_LENGTH_EXCEEDED,
        ErrorCode.VALIDATION,
    )
)
"""Another prompt would have been answered."""


class Observation(NamedTuple):
    """One attempt. ``at`` in ms since the epoch; times in ms; None is unknown."""

    provider: str
    model: str
    at: int
    outcome: str
    code: str | None
    ttft_ms: float | None
    ms: float
    output_tokens: int | None


class Evidence(NamedTuple):
    """What is known about a model now. ``answers`` and ``failures`` are faded counts; 0 of both is no data."""

    answers: float
    failures: float
    ttft_ms: float | None
    tokens_per_second: float | None


NOTHING: Final = Evidence(0.0, 0.0, None, None)


class _Model:
    __slots__ = ("answers", "at", "failures", "speed_ms", "speed_tokens", "ttft", "ttft_weight")

    def __init__(self, at: int) -> None:
        self.at = at
        self.answers = self.failures = 0.0
        self.ttft = self.ttft_weight = 0.0
        self.speed_tokens = self.speed_ms = 0.0

    def age(self, now: int) -> None:
        """Fade to ``now``. A clock that was set back fades nothing and holds nothing up."""
        passed = now - self.at
        self.at = now
        if passed <= 0:
            return
        self.failures *= 0.5 ** (passed / FAILURE_HALF_LIFE_MS)
        self._fade(0.5 ** (passed / ANSWER_HALF_LIFE_MS))

    def _fade(self, share: float) -> None:
        self.answers *= share
        self.ttft *= share
        self.ttft_weight *= share
        self.speed_tokens *= share
        self.speed_ms *= share

    def answered(self, seen: Observation) -> None:
        self._fade(FADE)
        self.answers += 1
        if seen.ttft_ms is None or seen.ttft_ms < 0:
            return
        self.ttft += seen.ttft_ms
        self.ttft_weight += 1
        if seen.output_tokens and seen.output_tokens > 0 and seen.ms > seen.ttft_ms:
            self.speed_tokens += seen.output_tokens
            self.speed_ms += seen.ms - seen.ttft_ms

    def failed(self) -> None:
        self._fade(SHAKE)
        self.failures += 1

    def evidence(self) -> Evidence:
        return Evidence(
            self.answers,
            self.failures,
            self.ttft / self.ttft_weight if self.ttft_weight > 0 else None,
            self.speed_tokens * 1000 / self.speed_ms if self.speed_ms > 0 else None,
        )


class TrackRecord:
    """Evidence about every model seen."""

    def __init__(self) -> None:
        self._models: dict[tuple[str, str], _Model] = {}

    def observe(self, seen: Observation) -> None:
        """Take an attempt into account. What says nothing about the model (cancelled, skipped, unknown) is left out."""
        answered = seen.outcome == "ok"
        failed = seen.outcome == "error" and seen.code not in _NOT_THE_MODELS_FAULT
        if not answered and not failed:
            return
        model = self._models.setdefault((seen.provider, seen.model), _Model(seen.at))
        model.age(seen.at)
        if answered:
            model.answered(seen)
        else:
            model.failed()

    def load(self, history: Iterable[Observation], now: int) -> None:
        """Start from a history, oldest first; what is dated later than ``now`` counts as of now."""
        for seen in history:
            self.observe(seen if seen.at <= now else seen._replace(at=now))

    def forgive(self, provider: str) -> None:
        """Take back the failures of a provider's models, because what they came from has been mended."""
        for (owner, _), model in self._models.items():
            if owner == provider:
                model.failures = 0.0

    def evidence(self, provider: str, model: str, now: int) -> Evidence:
        """What is known about a model at ``now``."""
        found = self._models.get((provider, model))
        if found is None:
            return NOTHING
        found.age(now)
        return found.evidence()
