"""Does every provider that could be asked now answer at all, and does it take its key? Asked without spending tokens.

Each door is asked once, all at the same time: a door is an address with its key, so behind Pro or a proxy there is one
for all their models. Whatever HTTP answer comes shows that the network is fine; what it says about the key comes with
it. Nobody waits longer than ``PROBE_S``. What is found is told and not learnt from: circuits and ranking are about
answers, not about lists.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Final, NamedTuple

import anyio
import msgspec

from protocol.errors import ErrorCode
from protocol.usage import ProviderProbe
from sidecar.catalog.catalog import Catalog
from sidecar.engines.base import Target
from sidecar.engines.errors import from_response
from sidecar.engines.models_list import models_request, takes_key
from sidecar.engines.network import place_of
from sidecar.errors import ProviderError, SidecarError
from sidecar.routing.catalog_view import catalog_snapshot
from sidecar.routing.failures import KEY_ERRORS
from sidecar.routing.from_settings import routing_settings
from sidecar.routing.inputs import AUTO, CatalogView, Environment, ModelChoice, RoutingSettings
from sidecar.routing.keys import find_key
from sidecar.routing.pro import is_paid
from sidecar.routing.resolve import find_route
from sidecar.secret import SecretText
from sidecar.settings.store import SettingsStore

PROBE_S: Final = 5.0
"""The longest a probe takes, however many providers there are."""

_SILENT_ON_LISTS: Final = frozenset({404, 405, 501})
"""An endpoint that has no list of models is none the worse for it (Perplexity, many own servers)."""

Fetch = Callable[[str, Mapping[str, str]], Awaitable[tuple[int, bytes]]]
"""``(url, headers) -> (status, body)``; raises ``ProviderError`` when there is no answer."""


class Door(NamedTuple):
    """Where calls to a provider go; ``target`` is the error that keeps them from going anywhere."""

    provider: str
    target: Target | SidecarError


async def probe_all(
    settings: SettingsStore, catalog: Catalog, environ: Environment, fetch: Fetch
) -> list[ProviderProbe]:
    """Ask every provider that is set up in these settings."""
    wanted = routing_settings(await settings.load(), ask_mode=False)
    return await probe(doors(wanted, await catalog_snapshot(catalog), environ), fetch)


def doors(settings: RoutingSettings, catalog: CatalogView, environ: Environment) -> list[Door]:
    """Every provider that is set up, in the catalogue's order; ``auto`` stands for what Scalix or a proxy serves."""
    alone = msgspec.structs.replace(settings, auto_fallback=False)
    seen: set[tuple[str, SecretText | None]] = set()
    found = []
    for choice in _choices(catalog):
        try:
            target = find_route(choice, alone, catalog, environ).targets[0]
        except SidecarError as error:
            if _has_key(choice.provider, settings, catalog, environ):
                found.append(Door(choice.provider, error))
            continue
        if choice.provider == AUTO and not is_paid(target):
            continue
        if (door := (target.base_url, target.api_key)) not in seen:
            seen.add(door)
            found.append(Door(AUTO if is_paid(target) else choice.provider, target))
    return found


async def probe(
    doors: list[Door], fetch: Fetch, *, within_s: float = PROBE_S, clock: Callable[[], float] = time.perf_counter
) -> list[ProviderProbe]:
    """Ask at every door at once; one answer per door, in their order, within ``within_s`` seconds."""
    found: dict[int, ProviderProbe] = {}

    async def ask(number: int, door: Door) -> None:
        found[number] = await _probed(door, fetch, within_s, clock)

    async with anyio.create_task_group() as tasks:
        for number, door in enumerate(doors):
            tasks.start_soon(ask, number, door)
    return [found[number] for number in range(len(doors))]


async def _probed(door: Door, fetch: Fetch, within_s: float, clock: Callable[[], float]) -> ProviderProbe:
    target = door.target
    if isinstance(target, SidecarError):
        return ProviderProbe(provider=door.provider, reachable=False, code=target.code.value, message=target.message)
    started = clock()
    status: int | None = None
    error: SidecarError | None = None
    try:
        with anyio.fail_after(within_s):
            url, headers = models_request(target)
            status, body = await fetch(url, headers)
            error = _complaint(target, status, body)
    except TimeoutError:
        error = ProviderError(f"No answer within {within_s:g} seconds.", code=ErrorCode.TIMEOUT)
    except SidecarError as failure:
        error = failure
    return ProviderProbe(
        provider=door.provider,
        address=place_of(target.base_url),
        reachable=status is not None,
        ms=round((clock() - started) * 1000, 1),
        code=None if error is None else error.code.value,
        message=None if error is None else error.message,
    )


def _complaint(target: Target, status: int, body: bytes) -> ProviderError | None:
    """What is wrong with an answer; None when it shows that calls may work."""
    if status < 300 or status in _SILENT_ON_LISTS:
        return None
    error = from_response(status, {}, body)
    return None if error.code in KEY_ERRORS and not takes_key(target) else error


def _has_key(provider_id: str, settings: RoutingSettings, catalog: CatalogView, environ: Environment) -> bool:
    """Whether somebody set this provider up, so that what keeps it from being asked is worth telling."""
    provider = catalog.provider(provider_id)
    try:
        return provider is not None and find_key(provider, settings, environ) is not None
    except SidecarError:
        return True  # there is one, and it cannot be used


def _choices(catalog: CatalogView) -> Iterator[ModelChoice]:
    """One model per provider: its first, or any name where none is listed."""
    for provider in (AUTO, *(name for name in catalog.provider_ids() if name != AUTO)):
        names = catalog.model_names(provider)
        yield ModelChoice(provider, AUTO if provider == AUTO else next(iter(names), "any"))
