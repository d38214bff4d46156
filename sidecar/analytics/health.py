"""``providers:health``: the circuits of this process together with the last seven days of the ledger."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, Protocol

import anyio

from protocol.usage import HealthResult, ModelHealth, ProviderHealth
from sidecar.analytics.figures import added
from sidecar.analytics.sums import ModelKey, Period, Sums, read_models
from sidecar.errors import StoreError
from sidecar.store.ledger import Ledger
from sidecar.store.ledger_tables import DAY_MS

DAYS: Final = 7
WAIT_S: Final = 1.0

_STATES: Final = ("closed", "half-open", "open")
"""From the best to the worst."""


class Circuit(Protocol):
    """One circuit's snapshot (``routing.breaker.CircuitHealth``); times in ms."""

    @property
    def provider(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def success_rate(self) -> float | None: ...
    @property
    def ttft_p50_ms(self) -> float | None: ...
    @property
    def ttft_p95_ms(self) -> float | None: ...
    @property
    def last_error_code(self) -> str | None: ...
    @property
    def retry_after_ms(self) -> int | None: ...
    @property
    def calls(self) -> int: ...


Model = tuple[str, str]
"""(provider, name)."""


class Past(NamedTuple):
    """The ledger's part: sums by model, and the code of each model's newest failure."""

    sums: dict[Model, Sums]
    codes: dict[Model, str]


async def provider_health(ledger: Ledger, circuits: Iterable[Circuit]) -> HealthResult:
    """How every model called lately has been doing; without a readable database, in this process only."""
    with anyio.move_on_after(WAIT_S):
        await ledger.flush()
    now, zone = ledger.clock(), ledger.zone()
    past: Past | None = None
    with anyio.move_on_after(WAIT_S):
        try:
            past = await ledger.read(
                lambda c: Past(_by_model(read_models(c, zone, Period(now - DAYS * DAY_MS, now + 1))), _codes(c, now)),
                zone,
            )
        except StoreError:
            past = None  # the circuits alone are an answer too
    return health(list(circuits), past or Past({}, {}))


def health(circuits: Sequence[Circuit], past: Past) -> HealthResult:
    """Circuits and past put together: the models called by this process first, then the others by their use."""
    # One model behind two addresses: the one called last is the one in use.
    present = {(circuit.provider, circuit.name): circuit for circuit in circuits}
    rest = sorted(past.sums.keys() - present.keys(), key=lambda model: (-past.sums[model]["attempts"], model))
    models = [_model_health(model, present.get(model), past) for model in (*present, *rest)]
    grouped: dict[str, list[ModelHealth]] = {}
    for each in models:
        grouped.setdefault(each.provider, []).append(each)
    return HealthResult(
        providers=[_provider_health(provider, group, past) for provider, group in grouped.items()], models=models
    )


def _model_health(model: Model, circuit: Circuit | None, past: Past) -> ModelHealth:
    sums = past.sums.get(model)
    judged = 0 if sums is None else sums["ok"] + sums["errors"]
    if sums is None or judged == 0:
        source = (None, None, None, 0) if circuit is None else _of_circuit(circuit)
    else:
        source = (sums["ok"] / judged, sums.ttft_ms(0.5), sums.ttft_ms(0.95), int(judged))
    code = past.codes.get(model)
    return ModelHealth(
        provider=model[0],
        name=model[1],
        state="closed" if circuit is None else circuit.state,
        success_rate=source[0],
        ttft_p50_ms=source[1],
        ttft_p95_ms=source[2],
        last_error_code=code if circuit is None else circuit.last_error_code or code,
        retry_after_ms=None if circuit is None else circuit.retry_after_ms,
        calls=source[3],
    )


def _of_circuit(circuit: Circuit) -> tuple[float | None, float | None, float | None, int]:
    return circuit.success_rate, circuit.ttft_p50_ms, circuit.ttft_p95_ms, circuit.calls


def _provider_health(provider: str, models: Sequence[ModelHealth], past: Past) -> ProviderHealth:
    sums = added(found for each in models if (found := past.sums.get((each.provider, each.name))) is not None)
    calls = sum(each.calls for each in models)
    good = sum((each.success_rate or 0.0) * each.calls for each in models)
    alone = models[0] if len(models) == 1 else None
    return ProviderHealth(
        provider=provider,
        state=min((each.state for each in models), key=_severity),
        success_rate=good / calls if calls else None,
        ttft_p50_ms=alone.ttft_p50_ms if alone is not None else sums.ttft_ms(0.5),
        ttft_p95_ms=alone.ttft_p95_ms if alone is not None else sums.ttft_ms(0.95),
        last_error_code=next((each.last_error_code for each in models if each.last_error_code), None),
        calls=calls,
    )


def _severity(state: str) -> int:
    return _STATES.index(state) if state in _STATES else len(_STATES)


def _by_model(models: dict[ModelKey, Sums]) -> dict[Model, Sums]:
    found: dict[Model, Sums] = {}
    for key, sums in models.items():
        found.setdefault((key.provider, key.model), Sums()).add(sums)
    return found


def _codes(connection: sqlite3.Connection, now: int) -> dict[Model, str]:
    rows = connection.execute(
        "SELECT provider, model, code, MAX(at) FROM sidecar_requests"
        " WHERE at >= ? AND at <= ? AND outcome = 'error' AND typeof(code) = 'text' GROUP BY provider, model",
        (now - DAYS * DAY_MS, now),
    )
    return {(str(row[0]), str(row[1])): row[2] for row in rows}
