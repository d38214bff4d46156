"""``models:recommend`` and the order of ``auto``: usable models ranked by what was measured on this machine.

What was measured before this process started comes from the ledger, once; from then on the ledger tells every entry.
Until that is read nothing is known and the order is the app's own; with analytics switched off nothing new is learned.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import anyio

from protocol.language_models import LocalModel
from sidecar.catalog.catalog import Catalog
from sidecar.catalog.prices import PriceList
from sidecar.engines.base import Target
from sidecar.errors import SidecarError, StoreError
from sidecar.lengths import estimate_tokens
from sidecar.routing.auto_order import auto_order
from sidecar.routing.breaker import CircuitBreaker, circuit_of
from sidecar.routing.catalog_view import CatalogSnapshot, catalog_snapshot
from sidecar.routing.from_settings import routing_settings
from sidecar.routing.inputs import Environment, RoutingSettings
from sidecar.routing.keys import find_key
from sidecar.routing.options import option_of, usable_options
from sidecar.routing.pro import is_paid
from sidecar.routing.recommend import ModelOption, needs_of, rank, recommendation
from sidecar.routing.track_record import Evidence, Observation, TrackRecord
from sidecar.secret import SecretText
from sidecar.settings.store import SettingsStore
from sidecar.store.ledger import Ledger, LedgerEntry, recent_entries

if TYPE_CHECKING:
    from protocol.usage import RecommendParams, RecommendResult

HISTORY_MS: Final = 14 * 86_400_000
HISTORY_ENTRIES: Final = 2_000
WAIT_S: Final = 1.0
"""How long advice waits for a locked database, and for local servers to list their models."""

LOCAL_FRESH_S: Final = 10.0
"""How long advice goes by what the local servers listed last."""


class ModelAdvisor:
    """Watches the ledger; gives advice on request.

    ``local_models`` lists what runs on this machine (never raises); ``prompt_tokens`` counts what a chat would send
    with a prompt (raises ``NotFound``).
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        settings: SettingsStore,
        environment: Environment,
        catalog: Catalog,
        prices: PriceList,
        breaker: CircuitBreaker,
        local_models: Callable[[], Awaitable[Sequence[LocalModel]]],
        prompt_tokens: Callable[[int, str], Awaitable[int]],
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._environment = environment
        self._catalog = catalog
        self._prices = prices
        self._breaker = breaker
        self._local_models = local_models
        self._prompt_tokens = prompt_tokens
        self._record = TrackRecord()
        self._keys: dict[str, SecretText] = {}
        self._running: tuple[float, Sequence[LocalModel]] | None = None
        self._ready = False
        ledger.listeners.append(self._observe)
        ledger.on_cleared.append(self._forget)

    async def load(self) -> None:
        """Read what the ledger knows of the last two weeks. A database that cannot be read is asked again next time."""
        if self._ready:
            return
        now = self._ledger.clock()

        def read(connection: sqlite3.Connection) -> list[tuple[int, LedgerEntry]]:
            return recent_entries(connection, now - HISTORY_MS, HISTORY_ENTRIES)

        stored: list[tuple[int, LedgerEntry]] = []
        with anyio.move_on_after(WAIT_S) as waiting:
            try:
                stored = await self._ledger.read(read, self._ledger.zone()) or []
            except StoreError:
                return
        if waiting.cancelled_caught or self._ready:
            return
        known = {identifier for identifier, _ in stored}
        unwritten = [entry for identifier, entry in self._ledger.unwritten() if identifier not in known]
        self._record = TrackRecord()
        self._record.load([*(_observation(entry) for _, entry in stored), *map(_observation, unwritten)], now)
        self._ready = True

    async def recommend(self, params: RecommendParams) -> RecommendResult:
        """The answer to ``models:recommend``. Raises ``NotFound`` for a chat that is not there."""
        await self.load()
        await self._prices.load()
        needs = needs_of(params.needs or (), await self._tokens(params))
        return recommendation(rank(await self.options(), self._evidence(), needs, curious=False), needs)

    async def options(self, *, local: bool = True) -> list[ModelOption]:
        """Every model that could be asked now; without ``local``, no local server is asked for its models."""
        settings = routing_settings(await self._settings.load(), ask_mode=False)
        catalog = await catalog_snapshot(self._catalog)
        self._see_keys(self._usable_keys(settings, catalog))
        running = await self._running_here() if local else ()
        return usable_options(
            settings,
            catalog,
            self._environment,
            prices=self._prices,
            local=running,
            down=self._down(),
        )

    async def _running_here(self) -> Sequence[LocalModel]:
        now = anyio.current_time()
        if self._running is None or now - self._running[0] > LOCAL_FRESH_S:
            with anyio.move_on_after(WAIT_S) as waiting:
                self._running = now, await self._local_models()
            if waiting.cancelled_caught:
                return ()
        return () if self._running is None else self._running[1]

    def in_order(self, targets: Sequence[Target]) -> tuple[Target, ...]:
        """The candidates of ``auto``, best first; whatever the user chose himself keeps its place."""
        automatic = [target for target in targets if target.automatic]
        if len(automatic) < 2:
            return tuple(targets)
        self._see_keys((each.provider, each.api_key) for each in automatic if not is_paid(each))
        down = [(e.provider, e.model) for e in automatic if self._breaker.retry_after_ms(circuit_of(e))]
        by_name = {(target.provider, target.model): target for target in automatic}
        options = [option_of(each, self._prices, down) for each in by_name.values()]
        own_keys = not any(map(is_paid, automatic))
        ranked = auto_order(options, self._evidence(), own_keys=own_keys)
        best = [by_name[each.option.provider, each.option.name] for each in ranked]
        return (*best, *(target for target in targets if target not in best))

    async def _tokens(self, params: RecommendParams) -> int:
        prompt = params.prompt or ""
        if params.chat_id is None:
            return estimate_tokens(prompt)
        return await self._prompt_tokens(params.chat_id, prompt)

    def _down(self) -> Collection[tuple[str, str]]:
        return {(each.provider, each.name) for each in self._breaker.health() if each.state == "open"}

    def _usable_keys(
        self, settings: RoutingSettings, catalog: CatalogSnapshot
    ) -> Iterator[tuple[str, SecretText | None]]:
        for name in catalog.provider_ids():
            if (provider := catalog.provider(name)) is not None:
                with suppress(SidecarError):  # a key that cannot be used is none
                    yield name, find_key(provider, settings, self._environment)

    def _see_keys(self, keys: Iterable[tuple[str, SecretText | None]]) -> None:
        """A new key is a new start for its provider: what the old one failed at says nothing about it."""
        for provider, key in keys:
            if key is not None and self._keys.setdefault(provider, key) != key:
                self._keys[provider] = key
                self._record.forgive(provider)

    def _evidence(self) -> Callable[[str, str], Evidence]:
        now = self._ledger.clock()
        return lambda provider, name: self._record.evidence(provider, name, now)

    def _observe(self, entry: LedgerEntry) -> None:
        if self._ready:
            self._record.observe(_observation(entry))

    def _forget(self) -> None:
        self._record = TrackRecord()


def _observation(entry: LedgerEntry) -> Observation:
    return Observation(
        provider=entry.provider,
        model=entry.model,
        at=entry.at,
        outcome=entry.outcome,
        code=entry.code,
        ttft_ms=entry.ttft_ms,
        ms=entry.ms,
        output_tokens=entry.output_tokens,
    )
