"""Whatever happens to the settings, in whatever order: every key and every ciphertext is kept, and of each key the
latest change counts.

Two sidecars, the app's own old path and a newer build take turns on one installation; processes die, the database is
locked, secrets become unreadable. The machine remembers what each key must be by what was done, not by what was read.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import anyio
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sidecar.errors import DatabaseBusy, SettingsUnreadable
from sidecar.settings.schema import KEYS, defaults
from sidecar.settings.secrets import SecretsBridge
from sidecar.settings.store import RETRY_AFTER_S, SettingsStore
from sidecar.store.database import Database
from tests.app_database import create_app_database, rows
from tests.planted import leaks_in_folder, planted
from tests.settings.desktop_app import SEALED, DesktopApp, Json, Keychain, reading
from tests.settings.fuse import Fuse, Killed

Path_ = tuple[str, ...]
ABSENT = "(not there)"
GITHUB = ("githubAccessToken",)
NEON = ("neon", "accessToken")


class Change(NamedTuple):
    """One member gets a value; None takes it out. ``secret``: the value is the plain text of an envelope."""

    path: Path_
    value: Any
    secret: bool = False


def provider(name: str) -> Path_:
    return ("providerSettings", name, "apiKey")


_fresh = itertools.count()
SECRET = st.builds(lambda: planted(f"key-{next(_fresh)}-{{}}"))
SCALARS: Mapping[str, st.SearchStrategy[Any]] = {
    "lastShownReleaseNotesVersion": st.sampled_from("123"),
    "selectedChatMode": st.sampled_from(["build", "ask"]),
    "enableAutoUpdate": st.booleans(),
    "maxChatTurnsInContext": st.none() | st.integers(1, 9),
    "thinkingBudget": st.none() | st.sampled_from(["low", "high"]),
}
OF_OURS = {"autoFallback": st.booleans(), "ofTomorrow": st.integers(0, 9)}
"""Keys the app does not know."""


def scalar(of: Mapping[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Change]:
    return st.one_of(*(st.builds(Change, st.just((key,)), values, st.just(False)) for key, values in of.items()))


SECRETS = st.builds(
    Change,
    st.sampled_from([GITHUB, NEON, provider("openai"), provider("custom::x"), provider("google")]),
    SECRET | st.none(),
    st.just(True),
)
OF_THE_APP = scalar(SCALARS) | SECRETS
OF_A_SIDECAR = OF_THE_APP | scalar(OF_OURS)


class Sidecar:
    """One sidecar process: its store, its clock, and the point where it dies."""

    def __init__(self, place: Place) -> None:
        self.now = 0.0
        self.fuse = Fuse(None)
        self.database = Database(place.database, busy_timeout_ms=20)
        bridge = SecretsBridge(decrypt=place.keychain.decrypt, encrypt=place.keychain.encrypt)
        self.store = SettingsStore(
            self.database, place.file, environ={}, secrets=bridge, step=self._step, clock=lambda: self.now
        )

    def _step(self, name: str) -> None:
        self.fuse(name)

    async def change(self, change: Change) -> None:
        """As the renderer does: it reads the settings, and sends a container whole."""
        key, *rest = change.path
        if not rest:
            value = {"value": change.value} if change.secret and change.value is not None else change.value
            await self.store.set({key: value})
            return
        shown = await self.store.get_for_host()
        await self.store.set({key: _with(shown.get(key, {}), rest, change)})


def _with(container: Json, names: list[str], change: Change) -> Json:
    name, *rest = names
    if rest:
        return {**container, name: _with(container.get(name, {}), rest, change)}
    return {**container, name: None if change.value is None else {"value": change.value}}


class Place:
    """The installation all of them share."""

    def __init__(self, folder: Path) -> None:
        self.database = folder / "sqlite.db"
        self.file = folder / "user-settings.json"
        self.keychain = Keychain()
        create_app_database(self.database)

    def in_file(self) -> Json | None:
        """None when nobody could read it."""
        try:
            found = json.loads(self.file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def in_table(self) -> Json:
        return {row["key"]: json.loads(row["value"]) for row in rows(self.database, "SELECT * FROM sidecar_settings")}

    def agreed(self) -> bool:
        """Whether the table knows what is in the file."""
        found = rows(self.database, "SELECT name FROM sqlite_master WHERE name = 'sidecar_settings_state'")
        if not found or not self.file.exists():
            return False
        (state,) = rows(self.database, "SELECT file_hash FROM sidecar_settings_state")
        return bool(state["file_hash"] == hashlib.sha256(self.file.read_bytes()).hexdigest())

    @contextmanager
    def locked(self, really: bool) -> Iterator[None]:
        """The database, held by somebody else."""
        if not really:
            yield
            return
        with closing(sqlite3.connect(self.database, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            yield
            other.execute("ROLLBACK")


def flat(settings: Mapping[str, Any], *, opened: bool = False) -> dict[Path_, Any]:
    """Every member by its path, secrets as plain text; over the defaults, which the app writes where a key is not.

    ``opened``: the envelopes hold plain text already.
    """
    found: dict[Path_, Any] = {}

    def walk(value: Any, path: Path_) -> None:
        if isinstance(value, dict) and "value" in value:
            sealed = not opened and value.get("encryptionType") == SEALED
            found[path] = reading(value["value"]) if sealed else value["value"]
        elif isinstance(value, dict):
            for name, item in value.items():
                walk(item, (*path, name))
        else:
            found[path] = value

    walk({**defaults(), **settings}, ())
    return found


class Remembered:
    """What each member must be. Several values: a process died, and either is right until somebody looks."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._values: dict[Path_, list[Any]] = {path: [value] for path, value in flat(settings).items()}
        self._only_in_file: dict[Path_, list[Any]] = {}

    def set(self, change: Change, *, or_before: bool = False) -> None:
        new = ABSENT if change.value is None else change.value
        before = self._values.get(change.path, [ABSENT])
        self._only_in_file.setdefault(change.path, []).extend(before)
        self._values[change.path] = [new, *before] if or_before else [new]

    def both_sides_know(self) -> None:
        """File and table are in agreement: nothing can be lost with one of them."""
        self._only_in_file.clear()

    def file_lost(self, *, but_for: Collection[str] = ()) -> None:
        """Somebody destroyed the file, but for these keys: what no sidecar has seen of it yet may be gone."""
        for path, before in self._only_in_file.items():
            if path[0] not in but_for:
                self._values[path] = [*self._values[path], *before]

    def check(self, settings: Mapping[str, Any]) -> None:
        """Raises ``AssertionError`` when a member is not what it must be; settles what was open."""
        found = flat(settings)
        for path in {*found, *self._values}:
            value, allowed = found.get(path, ABSENT), self._values.get(path, [ABSENT])
            assert value in allowed, f"{'.'.join(path)} is {value!r}, must be one of {allowed!r}"
            self._values[path] = [value]


START: Json = {
    **defaults(),
    "selectedModel": {"name": "gpt-5", "provider": "openai"},
    "telemetryUserId": "me",
    "releaseChannel": "beta",
    "ofANewerBuild": {"deep": [1.0, {"a": 1}]},
}


class Settings(RuleBasedStateMachine):
    """See the module's docstring."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._runner = asyncio.Runner()
        self.place = Place(Path(self._folder.name))
        self.sidecars: list[Sidecar] = [Sidecar(self.place), Sidecar(self.place)]
        self.migrated = False

    def teardown(self) -> None:
        try:
            if hasattr(self, "must") and sys.exc_info()[0] is None:
                self.everybody_is_right()
                assert not list(leaks_in_folder(Path(self._folder.name)))
        finally:
            for sidecar in self.sidecars:
                self._runner.run(sidecar.database.aclose())
            self._runner.close()
            self._folder.cleanup()

    # --- what there is at the start --------------------------------------------------------------------------------

    @initialize(github=st.booleans(), providers=st.booleans(), migrated=st.booleans())
    def start(self, github: bool, providers: bool, migrated: bool) -> None:
        settings = dict(START)
        if github:
            settings["githubAccessToken"] = self.place.keychain.seal(planted("key-github-{}"))
        if providers:
            settings["providerSettings"] = {
                "openai": {"apiKey": self.place.keychain.seal(planted("key-openai-{}")), "ofTomorrow": 1},
                "custom::x": {"apiKey": {"value": planted("key-plain-{}"), "encryptionType": "plaintext"}},
            }
        self.place.file.write_text(json.dumps(settings, indent=2), encoding="utf-8")
        self.must = Remembered(settings)
        if migrated:
            self.migrate(0, None)

    # --- the sidecars ----------------------------------------------------------------------------------------------

    @rule(which=st.integers(0, 1), change=OF_A_SIDECAR, dies_at=st.none() | st.integers(0, 12), locked=st.booleans())
    def a_sidecar_changes(self, which: int, change: Change, dies_at: int | None, locked: bool) -> None:
        with self.place.locked(locked):
            try:
                done = self._do(which, lambda sidecar: sidecar.change(change), dies_at)
            except (SettingsUnreadable, DatabaseBusy):
                assert locked and self.place.in_file() is None  # neither side can be read: told, and nothing written
                return
        self.must.set(change, or_before=not done)

    @rule(changes=st.tuples(OF_A_SIDECAR, OF_A_SIDECAR))
    def both_sidecars_change_at_once(self, changes: tuple[Change, Change]) -> None:
        one, other = changes
        if one.path[0] == other.path[0]:
            return

        refused: list[Change] = []

        async def its(sidecar: Sidecar, change: Change) -> None:
            try:
                await sidecar.change(change)
            except DatabaseBusy:  # the other one took more than 20 ms, and there is no file to change instead
                refused.append(change)

        async def both() -> None:
            async with anyio.create_task_group() as tasks:
                for sidecar, change in zip(self.sidecars, changes, strict=True):
                    tasks.start_soon(its, sidecar, change)

        self._runner.run(both())
        for change in changes:
            if change not in refused:
                self.must.set(change)

    @rule(which=st.integers(0, 1), dies_at=st.none() | st.integers(0, 12))
    def migrate(self, which: int, dies_at: int | None) -> None:
        async def migration(sidecar: Sidecar) -> None:
            await sidecar.store.migrate()

        if self._do(which, migration, dies_at):
            self.migrated = True

    @rule(which=st.integers(0, 1), later=st.booleans())
    def a_sidecar_shows_the_settings(self, which: int, later: bool) -> None:
        sidecar = self.sidecars[which]
        sidecar.now += RETRY_AFTER_S * later
        self._runner.run(sidecar.store.get_for_host())

    @rule(which=st.integers(0, 1))
    def a_sidecar_is_started_again(self, which: int) -> None:
        self._runner.run(self.sidecars[which].database.aclose())
        self.sidecars[which] = Sidecar(self.place)

    def _do(self, which: int, work: Callable[[Sidecar], Coroutine[Any, Any, None]], dies_at: int | None) -> bool:
        sidecar = self.sidecars[which]
        sidecar.fuse = Fuse(dies_at)
        try:
            self._runner.run(work(sidecar))
        except Killed:
            self.a_sidecar_is_started_again(which)
            return False
        finally:
            sidecar.fuse = Fuse(None)
        return True

    # --- everybody else --------------------------------------------------------------------------------------------

    @precondition(lambda self: self.migrated)
    @rule(change=OF_THE_APP, dies_at=st.just(1.0) | st.floats(0, 1, exclude_max=True))
    def the_app_changes(self, change: Change, dies_at: float) -> None:
        app = DesktopApp(self.place.file, self.place.keychain)
        key, *rest = change.path
        value = {"value": change.value} if change.secret and change.value is not None else change.value
        if rest:
            value = _with(app.read().get(key, {}), rest, change)
        begun_anew = app.read()["telemetryUserId"] != START["telemetryUserId"]
        done = app.write({key: value}, dies_at=dies_at)
        self.must.file_lost(but_for=KEYS if done and not begun_anew else ())
        if done:
            self._changed_outside(change)

    @rule(value=st.integers(10, 99), known=scalar(SCALARS))
    def a_newer_build_changes(self, value: int, known: Change) -> None:
        settings = self.place.in_file()
        if settings is None:
            return
        settings["ofANewerBuild"] = {"deep": value}
        settings[known.path[0]] = known.value
        if known.value is None:
            del settings[known.path[0]]
        self.place.file.write_text(json.dumps(settings, indent=2), encoding="utf-8")
        self.must.set(Change(("ofANewerBuild", "deep"), value))
        self._changed_outside(known)

    def _changed_outside(self, change: Change) -> None:
        """Where the app has lost the file and begun a new one, a default says nothing, and nothing is a removal."""
        begun_anew = (self.place.in_file() or {}).get("telemetryUserId") != START["telemetryUserId"]
        says_nothing = change.value is None or change.value == flat({}).get(change.path)
        self.must.set(change, or_before=begun_anew and says_nothing)

    @precondition(lambda self: self.migrated)
    @rule()
    def somebody_deletes_the_file(self) -> None:
        self.place.file.unlink(missing_ok=True)
        self.must.file_lost()

    @rule(path=st.sampled_from([GITHUB, provider("openai")]))
    def the_keychain_forgets(self, path: Path_) -> None:
        value: Any = self.place.in_file() or {}
        for name in path:
            value = value.get(name, {})
        if value.get("encryptionType") == SEALED:
            self.place.keychain.lost.add(value["value"])

    @invariant()
    def what_both_sides_know_is_safe(self) -> None:
        if self.place.agreed():
            self.must.both_sides_know()

    # --- what must be true -----------------------------------------------------------------------------------------

    @rule()
    def everybody_is_right(self) -> None:
        """A new sidecar and both running ones agree on what everybody did, and file and table do."""
        with self._one_more() as newcomer:
            self._runner.run(newcomer.store.load())
            told = self.place.in_file()
            if self.migrated:
                table = self.place.in_table()
                assert told in (table, None)  # a damaged file waits for the next change
                told = table
            assert told is not None
            self.must.check(told)
        for running in self.sidecars:
            running.now += RETRY_AFTER_S
            shown = self._runner.run(running.store.get_for_host())
            locked = self._runner.run(running.store.load()).locked_secrets
            unlocked = {path: value for path, value in flat(told).items() if ".".join(path) not in locked}
            assert flat(shown, opened=True) == unlocked

    @contextmanager
    def _one_more(self) -> Iterator[Sidecar]:
        sidecar = Sidecar(self.place)
        try:
            yield sidecar
        finally:
            self._runner.run(sidecar.database.aclose())


TestSettings = Settings.TestCase
TestSettings.settings = settings(
    max_examples=40,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
)
