"""A change the host asks for: checked against the schema, then applied to the settings as they stand.

Pure functions. Nothing that raises here repeats a value: it may be a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sidecar.errors import InvalidParams
from sidecar.settings.document import Document, patched, text_of, value_of
from sidecar.settings.schema import APP_MEMBERS, KEYS, OWN_KEYS, in_member_order, problems_of, secret_places
from sidecar.settings.secrets import Vault


@dataclass(frozen=True, slots=True)
class SettingsPatch:
    """``values`` per key; ``removed`` are keys and member paths given as null, which takes them out."""

    values: Mapping[str, Any]
    removed: frozenset[tuple[str, ...]]


def checked_change(partial: Mapping[str, Any]) -> SettingsPatch:
    """Validate a partial. Raises ``InvalidParams`` naming the field; keys nobody knows are let through."""
    values: dict[str, Any] = {}
    removed: set[tuple[str, ...]] = set()
    for key, value in partial.items():
        known = key in KEYS or key in OWN_KEYS
        if known and value is None:
            removed.add((key,))
            continue
        kept = _without_nulls(value, (key,), removed) if _is_container(key) else value
        values[key] = in_member_order(key, kept)
        for problem in problems_of(key, values[key]):
            raise InvalidParams(f"Failed to write settings: {problem}: {problem.reason}", path=str(problem))
        _writable(key, values[key])
    return SettingsPatch(values, frozenset(removed))


def _is_container(key: str) -> bool:
    return key == "providerSettings" or key in APP_MEMBERS


def _without_nulls(value: Any, path: tuple[str, ...], removed: set[tuple[str, ...]]) -> Any:
    """JavaScript's undefined arrives as null: the member is taken out."""
    if not isinstance(value, dict):
        return value
    kept = {}
    for name, item in value.items():
        if item is None:
            removed.add((*path, name))
        else:
            kept[name] = _without_nulls(item, (*path, name), removed)
    return kept


def _writable(key: str, value: Any) -> None:
    try:
        key.encode()
        text_of(value)
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidParams(f"Failed to write settings: {key!a} cannot be written as JSON.", path=ascii(key)) from error


def apply_change(document: Document, change: SettingsPatch, vault: Vault) -> Document:
    """The document with ``change`` in it; what the change leaves as it was keeps its bytes.

    ``change`` holds envelopes as they are to be stored (``Vault.seal``).
    """
    result = dict(document)
    for path in change.removed:
        if len(path) == 1:
            result.pop(path[0], None)
    for key, value in change.values.items():
        old = result.get(key)
        result[key] = patched(old, value if old is None else _keeping_locked(key, value, old, change, vault))
    return result


def _keeping_locked(key: str, value: Any, old: str, change: SettingsPatch, vault: Vault) -> Any:
    """``value`` with the locked secrets of ``old`` that it leaves out: the host never saw them."""
    for place, envelope in secret_places({key: value_of(old)}):
        names = place.names[1:]
        if not names or not isinstance(value, dict) or vault.plain(envelope) is not None:
            continue
        if any((key, *names[:depth]) in change.removed for depth in range(1, len(names) + 1)):
            continue
        value = _with(value, names, envelope)
    return value


def _with(value: dict[str, Any], names: tuple[str, ...], envelope: dict[str, Any]) -> dict[str, Any]:
    name, rest = names[0], names[1:]
    if not rest:
        return {**value, name: envelope} if name not in value else value
    inner = value.get(name, {})
    return {**value, name: _with(inner, rest, envelope)} if isinstance(inner, dict) else value
