"""Which model is best for a prompt: what can do it, ranked by what was measured, and why. Pure.

::

    score = order + confidence * (utility - expected) + (1 - confidence) * kin + curiosity

- ``order``       the app's own order: 0.05 for the first model, less by a fifth with each place after it.
- ``utility``     0.5 * success + 0.3 * speed + 0.2 * price, each from 0 to 1:
                  success = (answers + 2 * 0.95) / (answers + failures + 2), the counts fading (``track_record``);
                  speed = 1 / (1 + seconds / 10), seconds to the first token and 500 tokens after it;
                  price = 1 / (1 + usd / 5), usd per million tokens, three of the prompt to one of the answer; a local
                  model has 1 (nobody charges for it), an unknown price 0.5.
- ``expected``    the utility of a model that nothing is known about: success 0.95, speed 0.5, price 0.5.
- ``confidence``  n / (n + 2), n = answers + failures: without data only the order counts, so that the ranking is then
                  exactly the app's.
- ``kin``         0.25 * (success of the provider's other models - 0.95) where that is negative: what is not known of a
                  model is guessed from its provider, because a vendor that is down is down for most of its models.
- ``curiosity``   for ``auto`` only, which learns by asking, and only about the models of the app's own order
                  (``auto_order`` says why); what is recommended to a user has been measured:
                  0.1 * (order / 0.05) * sqrt(ln(1 + N) / (1 + n)), N being all models' n: what has not been
                  tried for a while is tried again, the likelier the higher it stands in the app's order. 0 without
                  data.

A failure fades in half an hour and answers in days, so a bad minute costs a model its place for about as long as an
outage lasts. A model whose circuit is open comes after all others. Equal scores keep the app's order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from sidecar.routing.resolve import AUTO_ORDER
from sidecar.routing.track_record import Evidence

if TYPE_CHECKING:
    from protocol.usage import RecommendResult

FIRST: Final = 0.05
PER_PLACE: Final = 0.8
W_SUCCESS: Final = 0.5
W_SPEED: Final = 0.3
W_PRICE: Final = 0.2
W_KIN: Final = 0.25
USUAL_SUCCESS: Final = 0.95
PSEUDO_COUNT: Final = 2.0
USUAL_SECONDS: Final = 10.0
USUAL_USD: Final = 5.0
ANSWER_TOKENS: Final = 500
USUAL_TTFT_MS: Final = 2_000.0
USUAL_TOKENS_PER_SECOND: Final = ANSWER_TOKENS / 8.0
CURIOSITY: Final = 0.1
DOWN: Final = 10.0
DOUBT: Final = 0.2
"""Taken off a model of which nobody knows whether it can read the images."""

EXPECTED: Final = W_SUCCESS * USUAL_SUCCESS + W_SPEED * 0.5 + W_PRICE * 0.5
LONG_CONTEXT_TOKENS: Final = 200_000
"""What ``long-context`` asks for: a window of at least that many tokens."""

FALLBACKS_SHOWN: Final = 3

_ORDER: Final = {(choice.provider, choice.name): place for place, choice in enumerate(AUTO_ORDER)}


class ModelOption(msgspec.Struct, frozen=True, kw_only=True):
    """A model that may be asked: it has a usable key, or runs on this machine.

    ``usd_per_million`` is (prompt, answer), None where unknown. ``open_circuit``: its circuit breaker refuses calls.
    """

    provider: str
    name: str
    display_name: str | None = None
    context_window: int | None = None
    max_output_tokens: int | None = None
    reads_images: bool | None = None
    reasons: bool = False
    local: bool = False
    usd_per_million: tuple[float, float] | None = None
    open_circuit: bool = False

    @property
    def title(self) -> str:
        """What the user calls it."""
        return self.display_name or self.name


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """What the prompt asks of a model. ``tokens`` is the length of the prompt, 0 when there is none yet."""

    tokens: int = 0
    images: bool = False
    reasoning: bool = False
    long_context: bool = False


class Ranked(msgspec.Struct, frozen=True, kw_only=True):
    """A model with its score and the figures behind it."""

    option: ModelOption
    place: int
    """In the app's order, from 0."""
    score: float
    evidence: Evidence


EvidenceOf = Callable[[str, str], Evidence]


def needs_of(words: Iterable[str], tokens: int = 0) -> Needs:
    """``needs`` of ``models:recommend``; words this build does not know ask for nothing."""
    given = {word.strip().lower() for word in words}
    return Needs(
        tokens=tokens,
        images=bool(given & {"vision", "images", "image"}),
        reasoning=bool(given & {"reasoning", "thinking"}),
        long_context="long-context" in given,
    )


def can_do(option: ModelOption, needs: Needs) -> bool:
    """Whether a model fits. What nobody knows about a model does not rule it out."""
    window = option.context_window
    if window is not None and (needs.tokens >= window or (needs.long_context and window < LONG_CONTEXT_TOKENS)):
        return False
    if needs.images and option.reads_images is False:
        return False
    return option.reasons or not needs.reasoning


def is_own(option: ModelOption) -> bool:
    """Whether Scalix itself names the model in its order (``AUTO_ORDER``)."""
    return (option.provider, option.name) in _ORDER


def rank(
    options: Sequence[ModelOption], evidence_of: EvidenceOf, needs: Needs | None = None, *, curious: bool = True
) -> list[Ranked]:
    """The models that can do it, best first. ``options`` come in the app's order but for those it names itself."""
    wanted = needs or Needs()
    ordered = sorted(options, key=lambda each: _ORDER.get((each.provider, each.name), len(_ORDER)))
    able = [option for option in ordered if can_do(option, wanted)]
    known = [evidence_of(option.provider, option.name) for option in able]
    kin = _by_provider(able, known)
    curiosity = CURIOSITY * math.sqrt(math.log1p(sum(map(_weight, known)))) if curious else 0.0
    ranked = []
    for place, (option, evidence) in enumerate(zip(able, known, strict=True)):
        order = FIRST * PER_PLACE**place
        score = order + _measured(option, evidence, kin[option.provider]) - _drawbacks(option, wanted)
        if is_own(option):
            score += curiosity * (order / FIRST) / math.sqrt(1 + _weight(evidence))
        ranked.append(Ranked(option=option, place=place, score=score, evidence=evidence))
    return sorted(ranked, key=lambda each: -each.score)


def utility(option: ModelOption, evidence: Evidence) -> float:
    """How good a model is, from 0 to 1."""
    return W_SUCCESS * _success(evidence) + W_SPEED * _speed(evidence) + W_PRICE * _price(option)


def _by_provider(options: Sequence[ModelOption], known: Sequence[Evidence]) -> dict[str, tuple[float, float]]:
    """Answers and failures of all of a provider's models."""
    found: dict[str, tuple[float, float]] = {}
    for option, evidence in zip(options, known, strict=True):
        answers, failures = found.get(option.provider, (0.0, 0.0))
        found[option.provider] = (answers + evidence.answers, failures + evidence.failures)
    return found


def _measured(option: ModelOption, evidence: Evidence, provider: tuple[float, float]) -> float:
    """How far what is known, of the model and of its kin, lies above or below what is expected."""
    if provider == (0.0, 0.0):
        return 0.0  # nothing is known of any of them
    weight = _weight(evidence)
    confidence = weight / (weight + PSEUDO_COUNT)
    own = confidence * (utility(option, evidence) - EXPECTED) if weight > 0 else 0.0
    others = Evidence(max(0.0, provider[0] - evidence.answers), max(0.0, provider[1] - evidence.failures), None, None)
    return own + (1 - confidence) * W_KIN * min(0.0, _success(others) - USUAL_SUCCESS)


def _drawbacks(option: ModelOption, needs: Needs) -> float:
    return (DOWN if option.open_circuit else 0.0) + (DOUBT if needs.images and option.reads_images is None else 0.0)


def _weight(evidence: Evidence) -> float:
    return evidence.answers + evidence.failures


def _success(evidence: Evidence) -> float:
    return (evidence.answers + PSEUDO_COUNT * USUAL_SUCCESS) / (evidence.answers + evidence.failures + PSEUDO_COUNT)


def _speed(evidence: Evidence) -> float:
    return 1 / (1 + _seconds(evidence) / USUAL_SECONDS)


def _seconds(evidence: Evidence) -> float:
    """To an answer of 500 tokens."""
    ttft = USUAL_TTFT_MS if evidence.ttft_ms is None else evidence.ttft_ms
    speed = evidence.tokens_per_second
    return ttft / 1000 + ANSWER_TOKENS / max(0.1, USUAL_TOKENS_PER_SECOND if speed is None else speed)


def _price(option: ModelOption) -> float:
    if option.local:
        return 1.0
    usd = usd_per_million(option)
    return 0.5 if usd is None else 1 / (1 + usd / USUAL_USD)


def usd_per_million(option: ModelOption) -> float | None:
    """The price of a million tokens, three of the prompt to one of the answer."""
    if option.usd_per_million is None:
        return None
    prompt, answer = option.usd_per_million
    return (3 * prompt + answer) / 4


# --- in words ------------------------------------------------------------------------------------------------------


def recommendation(ranked: Sequence[Ranked], needs: Needs) -> RecommendResult:
    """The answer to ``models:recommend``."""
    from protocol.usage import Candidate, ModelSelection, RecommendResult  # no chat needs them

    names = [f"{each.option.provider}/{each.option.name}" for each in ranked]
    return RecommendResult(
        model_selection=ModelSelection(
            recommended=names[0] if names else None,
            reason=_reason(ranked, needs),
            fallback_options=names[1 : 1 + FALLBACKS_SHOWN],
        ),
        candidates=[
            Candidate(each.option.provider, each.option.name, round(each.score, 4), why(each, needs)) for each in ranked
        ],
    )


def why(ranked: Ranked, needs: Needs) -> list[str]:
    """The figures behind a score."""
    option, evidence = ranked.option, ranked.evidence
    found = [f"number {ranked.place + 1} in Scalix's own order"]
    if option.open_circuit:
        found.append("not answering at the moment")
    if _weight(evidence) > 0:
        found.append(f"{_success(evidence):.0%} of recent requests answered")
    if evidence.ttft_ms is not None:
        found.append(f"first words after {evidence.ttft_ms / 1000:.1f} s")
    if evidence.tokens_per_second is not None:
        found.append(f"{evidence.tokens_per_second:.0f} tokens per second")
    usd = usd_per_million(option)
    if option.local:
        found.append("runs on this computer")
    else:
        found.append("price unknown" if usd is None else f"${usd:.2f} per million tokens")
    if option.context_window is not None:
        found.append(f"room for {option.context_window:,} tokens")
    if needs.images and option.reads_images is None:
        found.append("unknown whether it reads images")
    return found


def _reason(ranked: Sequence[Ranked], needs: Needs) -> str:
    """One sentence that a user understands."""
    if not ranked:
        return _nothing(needs)
    best, first = ranked[0], min(ranked, key=lambda each: each.place)
    title, other = best.option.title, first.option.title
    if best.option.open_circuit:
        return f"{title} has not been answering, but no other model can be used."
    if best is not first and (trouble := _trouble(first)) is not None:
        return f"{title}, because {other} {trouble}."
    if _weight(best.evidence) > 0:
        return f"{title} has done best lately{_for(needs)}: {_praise(best)}."
    if best is first:
        return f"{title} is Scalix's first choice among the models you can use{_for(needs)}."
    return f"{title} comes next in Scalix's own order, because {other} has been slower or dearer than usual."


def _trouble(first: Ranked) -> str | None:
    if first.option.open_circuit:
        return "is not answering at the moment"
    return "has been failing lately" if first.evidence.failures >= 0.5 else None


def _nothing(needs: Needs) -> str:
    if asked := _asked(needs):
        return f"No model that you can use {asked}. Add an API key for another provider in Settings."
    return "No model can be used yet. Add an API key in Settings, or start Ollama or LM Studio."


def _praise(best: Ranked) -> str:
    seconds = _seconds(best.evidence)
    cheap = " at a low price" if not best.option.local and _price(best.option) > 0.7 else ""
    took = "less than a second" if seconds < 0.95 else f"about {seconds:.0f} second{'s' if seconds >= 1.5 else ''}"
    return f"it answered {_success(best.evidence):.0%} of its recent requests, in {took}{cheap}"


def _asked(needs: Needs) -> str:
    parts = [
        *(["reads images"] if needs.images else []),
        *(["thinks before it answers"] if needs.reasoning else []),
        *(["has room for this prompt"] if needs.tokens or needs.long_context else []),
    ]
    return " and ".join(parts)


def _for(needs: Needs) -> str:
    return " for prompts with images" if needs.images else ""
