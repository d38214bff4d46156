"""Which side changed what: the settings table, the settings file, and what both held when they last agreed.

A three-way merge per key; inside the containers the app knows, per member. The side that changed a value since the
last agreement wins; when both did, the later one. Pure functions over JSON text.

The app takes part without knowing it, so two of its habits are read for what they are (app contract 14, 16):

* it drops every key and member it does not know whenever it writes: such a loss is no removal;
* a file it cannot read it replaces by defaults plus one change: that is no removal of everything else either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sidecar.settings.document import Document, NotAnObject, equal, is_object, members, render, same, value_of
from sidecar.settings.schema import APP_KEYS, APP_MEMBERS, PROVIDER_MEMBERS, defaults, in_schema_order


@dataclass(frozen=True, slots=True)
class Row:
    """A key in the table. ``file_value`` is what the file held when both last agreed, None when it had no such key.

    ``updated_at`` is in ms since the epoch.
    """

    value: str
    updated_at: int
    file_value: str | None


def merged(rows: Mapping[str, Row], file: Mapping[str, str] | None, file_changed_at: int) -> Document:
    """The settings both sides make together. ``file_changed_at`` is the file's modification time in ms.

    ``file`` is None when there is none: nobody takes settings out by deleting the file ("reset all" deletes the
    database too), so the table stands alone.
    """
    if file is None:
        return in_schema_order({key: row.value for key, row in rows.items()})
    reset = was_reset(rows, file)
    plain = {key: value for key, value in defaults().items() if key != "providerSettings"} if reset else {}
    result: Document = {}
    for key in (*file, *(key for key in rows if key not in file)):
        row, theirs = rows.get(key), file.get(key)
        if row is None:
            result[key] = file[key]
            continue
        if reset and (theirs is None or key == "telemetryUserId" or equal(value_of(theirs), plain.get(key))):
            result[key] = row.value
            continue
        kept = _merge(row.file_value, row.value, theirs, (key,), newer=file_changed_at >= row.updated_at)
        if kept is not None:
            result[key] = kept
    return in_schema_order(result)


def with_dropped(file: Mapping[str, str], written: Mapping[str, str]) -> Document:
    """``file`` with what it held when it was ``written`` and the app has dropped since, not knowing it."""
    result = dict(file)
    for key, text in written.items():
        if key in file:
            result[key] = _with_dropped_members(file[key], text, (key,))
        elif key not in APP_KEYS:
            result[key] = text
    return result


def _with_dropped_members(theirs: str, written: str, path: tuple[str, ...]) -> str:
    if theirs == written or not (_is_container(path) and is_object(theirs) and is_object(written)):
        return theirs
    result = members(theirs)
    for name, text in _members(written).items():
        inner = (*path, name)
        if name in result:
            result[name] = _with_dropped_members(result[name], text, inner)
        elif not _is_container(inner) and not _app_removes(inner):
            result[name] = text
    return theirs if result == _members(theirs) else render(result, len(path))


def was_reset(rows: Mapping[str, Row], file: Mapping[str, str]) -> bool:
    """Whether the app could not use the file and has begun a new one from defaults.

    Two signs of that. The user's id is another one: the app makes one up for a file without it, and never changes it.
    Or every provider entry is gone at once, and there were some: deleting a key there leaves an entry without it.
    """
    user = rows.get("telemetryUserId")
    if user is not None and user.file_value is not None and not same(file.get("telemetryUserId"), user.file_value):
        return True
    known = rows.get("providerSettings")
    if known is None or not _members(known.value):
        return False
    return not _members(file.get("providerSettings", "{}"))


def _merge(base: str | None, ours: str | None, theirs: str | None, path: tuple[str, ...], newer: bool) -> str | None:
    """One value. None is "not there". ``newer`` says that their change is the later one."""
    if same(theirs, base) or same(ours, theirs):
        return ours
    if theirs is None:
        removed = _app_removes(path) and (newer or same(ours, base))
        return None if removed else ours
    if ours is None:
        return theirs if newer or base is None else None
    if _is_container(path) and is_object(ours) and is_object(theirs):
        return _merge_members(base, ours, theirs, path, newer)
    return theirs if newer or same(ours, base) else ours


def _merge_members(base: str | None, ours: str, theirs: str, path: tuple[str, ...], newer: bool) -> str:
    before, mine, other = _members(base or "{}"), _members(ours), _members(theirs)
    result: Document = {}
    for name in (*other, *(name for name in mine if name not in other)):
        kept = _merge(before.get(name), mine.get(name), other.get(name), (*path, name), newer)
        if kept is not None:
            result[name] = kept
    if all(same(text, other.get(name)) for name, text in result.items()) and len(result) == len(other):
        return theirs
    return render(result, len(path))


def _members(text: str) -> Document:
    try:
        return members(text)
    except NotAnObject:
        return {}


def _is_container(path: tuple[str, ...]) -> bool:
    match path:
        case ("providerSettings",) | ("providerSettings", _):
            return True
        case (key,):
            return key in APP_MEMBERS
    return False


def _app_removes(path: tuple[str, ...]) -> bool:
    """Whether a value missing in the file was taken out on purpose: only what the app knows can be.

    A provider entry that is gone altogether was not: the app never removes one.
    """
    match path:
        case ("providerSettings",) | ("providerSettings", _):
            return False
        case ("providerSettings", _, member):
            return member in PROVIDER_MEMBERS
        case (key,):
            return key in APP_KEYS
        case (key, member):
            return member in APP_MEMBERS.get(key, ())
    return False
