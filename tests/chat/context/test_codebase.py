"""The code base as the model gets it (app contract 11)."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from sidecar.chat.context import (
    Codebase,
    ContextRule,
    FileCache,
    Limits,
    VirtualFiles,
    begin_codebase,
    parse_context_rule,
    provided_codebase,
)
from sidecar.chat.context.cache import MAX_READERS
from sidecar.chat.context.codebase import _Extraction
from sidecar.chat.context.walk import Stopped
from sidecar.chat.text.tags import RenameTag, WriteTag
from sidecar.lengths import estimate_tokens
from sidecar.routing.inputs import ContextFile

pytestmark = pytest.mark.anyio

EXCLUDED = "// File contents excluded from context"
LONG_AGO = 1_700_000_000


def write_app(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Each file one second younger than the one before."""
    for index, (name, content) in enumerate(files.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        os.utime(path, (LONG_AGO + index, LONG_AGO + index))
    return folder


async def extract(folder: Path, rule: ContextRule | None = None, **options: Any) -> Codebase:
    options = {"smart_context": False, "engine_files": False, "cache": FileCache(), **options}
    return await begin_codebase(folder, rule or ContextRule(), **options).value()


def paths(codebase: Codebase) -> list[str]:
    return [file.path for file in codebase.files]


def contents(codebase: Codebase) -> dict[str, str]:
    return {file.path: file.content for file in codebase.files}


async def test_the_text_is_one_element_per_file_oldest_first(tmp_path: Path) -> None:
    write_app(tmp_path, {"z.ts": "first", "a/b.md": "second\n", "logo.png": b"\x89PNG"})
    found = await extract(tmp_path)
    assert found.text == (
        '<scalix-file path="z.ts">\nfirst\n</scalix-file>\n\n'
        '<scalix-file path="a/b.md">\nsecond\n\n</scalix-file>\n\n'
        f'<scalix-file path="logo.png">\n{EXCLUDED}\n</scalix-file>\n\n'
    )
    assert found.files == (
        ContextFile("z.ts", "first"),
        ContextFile("a/b.md", "second\n"),
        ContextFile("logo.png", EXCLUDED),
    )
    assert found.warnings == ()
    assert found.token_estimate == estimate_tokens(found.text)


async def test_an_edited_file_goes_last_and_a_test_build_orders_by_path(tmp_path: Path) -> None:
    write_app(tmp_path, {"c.ts": "", "a.ts": "", "b.ts": ""})
    os.utime(tmp_path / "c.ts", (LONG_AGO + 9, LONG_AGO + 9))
    assert paths(await extract(tmp_path)) == ["a.ts", "b.ts", "c.ts"]
    os.utime(tmp_path / "a.ts", (LONG_AGO + 20, LONG_AGO + 20))
    assert paths(await extract(tmp_path)) == ["b.ts", "c.ts", "a.ts"]
    assert paths(await extract(tmp_path, test_build=True)) == ["a.ts", "b.ts", "c.ts"]


async def test_files_of_the_same_age_are_ordered_by_path(tmp_path: Path) -> None:
    write_app(tmp_path, {"b.ts": "", "sub/a.ts": "", "a.ts": ""})
    for path in (tmp_path / "b.ts", tmp_path / "sub/a.ts", tmp_path / "a.ts"):
        os.utime(path, (LONG_AGO, LONG_AGO))
    assert paths(await extract(tmp_path)) == ["a.ts", "b.ts", "sub/a.ts"]


@pytest.mark.parametrize(
    "name",
    [
        "node_modules/x/a.js",
        "sub/node_modules/a.js",
        "dist/a.js",
        "build/a.js",
        ".next/a.js",
        ".git/config.json",
        ".venv/a.py",
        "venv/a.py",
        ".ssh/a.json",
        ".aws/a.json",
        "pnpm-lock.yaml",
        "sub/package-lock.json",
    ],
)
async def test_generated_and_secret_places_are_not_listed(name: str, tmp_path: Path) -> None:
    write_app(tmp_path, {"a.ts": "", name: "SECRET"})
    found = await extract(tmp_path, engine_files=True)
    assert paths(found) == ["a.ts"]
    assert "SECRET" not in found.text


@pytest.mark.parametrize(
    ("name", "in_text", "for_engine"),
    [
        ("a.TSX", True, True),
        ("shader.wgsl", True, True),
        (".gitignore", True, True),
        ("LICENSE", False, False),
        ("a.txt", False, False),
        (".env", False, False),
        (".env.local", False, False),
        (".env.production.json", False, False),
        ("docs/.environment.md", False, False),
        ("server.key.json", True, True),
        ("server.key", False, False),
        ("tls.pem", False, False),
        (".npmrc", False, False),
        ("src/components/ui/button.tsx", False, True),
        ("packages/x/src/components/ui/button.tsx", False, True),
        ("src/components/uikit/x.ts", True, True),
        ("eslint.config.js", False, True),
        ("tsconfig.json", False, True),
        ("tsconfig.app.json", False, True),
        ("components.json", False, True),
        ("my-components.json", True, True),
    ],
)
async def test_a_listed_file_shows_its_content_or_a_placeholder(
    name: str, in_text: bool, for_engine: bool, tmp_path: Path
) -> None:
    write_app(tmp_path, {name: "CONTENT"})
    found = await extract(tmp_path, engine_files=True)
    assert found.text == f'<scalix-file path="{name}">\n{"CONTENT" if in_text else EXCLUDED}\n</scalix-file>\n\n'
    assert contents(found) == {name: "CONTENT" if for_engine else EXCLUDED}
    plain = await extract(tmp_path)
    assert contents(plain) == {name: "CONTENT" if in_text else EXCLUDED}


async def test_gitignore_files_count_in_every_folder(tmp_path: Path) -> None:
    write_app(
        tmp_path,
        {
            ".gitignore": "*.log\n/out/\n",
            "a.log": "",
            "out/a.ts": "",
            "src/.gitignore": "!keep.log\ngenerated\n",
            "src/keep.log": "",
            "src/generated/a.ts": "",
            "src/out/b.ts": "",
        },
    )
    cache = FileCache()
    expected = [".gitignore", "src/.gitignore", "src/keep.log", "src/out/b.ts"]
    assert paths(await extract(tmp_path, cache=cache)) == expected
    (tmp_path / ".gitignore").write_text("")
    assert "a.log" in paths(await extract(tmp_path, cache=cache))


async def test_symlinks_are_never_followed(tmp_path: Path) -> None:
    write_app(tmp_path, {"outside/secret.ts": "SECRET", "app/a.ts": ""})
    app = tmp_path / "app"
    (app / "file.ts").symlink_to(tmp_path / "outside/secret.ts")
    (app / "folder").symlink_to(tmp_path / "outside")
    (app / "loop").symlink_to(app)
    found = await extract(app)
    assert paths(found) == ["a.ts"]


# --- globs -----------------------------------------------------------------------------------------------------------


def stored_rule(**globs: list[str]) -> ContextRule:
    import json

    stored = {"contextPaths": [], "smartContextAutoIncludes": [], **globs}
    return parse_context_rule(json.dumps({name: [{"globPath": g} for g in given] for name, given in stored.items()}))


@pytest.mark.parametrize(
    ("rule", "smart", "expected"),
    [
        ({}, False, {"a.ts", "manual/m.ts", "src/b.ts", "src/sub/c.ts"}),
        ({"contextPaths": ["src/**/*.ts"]}, False, {"src/b.ts", "src/sub/c.ts"}),
        ({"contextPaths": ["src/sub/**"], "smartContextAutoIncludes": ["a.ts"]}, True, {"src/sub/c.ts", "a.ts!"}),
        ({"contextPaths": ["src/sub/**"], "smartContextAutoIncludes": ["a.ts"]}, False, {"src/sub/c.ts"}),
        (
            {"smartContextAutoIncludes": ["a.ts", "manual/**"]},
            True,
            {"a.ts!", "manual/m.ts!", "src/b.ts", "src/sub/c.ts"},
        ),
        ({"contextPaths": ["src/**"], "excludePaths": ["**/c.ts"]}, False, {"src/b.ts"}),
        ({"smartContextAutoIncludes": ["a.ts"], "excludePaths": ["a.*", "src/**"]}, True, {"manual/m.ts"}),
        ({"contextPaths": ["node_modules/**", "../**"]}, False, set()),
    ],
)
async def test_globs_narrow_force_and_exclude(
    rule: dict[str, list[str]], smart: bool, expected: set[str], tmp_path: Path
) -> None:
    write_app(tmp_path, dict.fromkeys(["a.ts", "manual/m.ts", "src/b.ts", "src/sub/c.ts", "node_modules/x/y.ts"], ""))
    found = await extract(tmp_path, stored_rule(**rule), smart_context=smart)
    assert {file.path + "!" * file.force for file in found.files} == expected


async def test_a_selected_component_is_the_whole_context_whatever_its_name(tmp_path: Path) -> None:
    write_app(tmp_path, {"app/[id]/page.tsx": "page", "app/i/page.tsx": "other"})
    assert paths(await extract(tmp_path, ContextRule.only(["app/[id]/page.tsx"]))) == ["app/[id]/page.tsx"]


@pytest.mark.parametrize(
    "stored", ["", "nonsense", "[]", "{}", '{"contextPaths": "src"}', '{"contextPaths": [1]}', b"\xff"]
)
async def test_an_invalid_stored_rule_means_all_files_and_says_so(stored: str | bytes, tmp_path: Path) -> None:
    write_app(tmp_path, {"a.ts": ""})
    found = await extract(tmp_path, parse_context_rule(stored))
    assert paths(found) == ["a.ts"] and len(found.warnings) == 1
    assert parse_context_rule(None) == ContextRule()


# --- virtual files ---------------------------------------------------------------------------------------------------


async def test_an_answer_shows_in_the_code_base_and_not_on_the_disk(tmp_path: Path) -> None:
    write_app(tmp_path, {"gone.ts": "gone", "old.ts": "moved", "edit.ts": "before", "same.ts": "same"})
    virtual = VirtualFiles.of(
        deletes=["gone.ts"],
        renames=[RenameTag("old.ts", "sub/new.ts"), RenameTag("nowhere.ts", "ghost.ts")],
        writes=[WriteTag("edit.ts", "after"), WriteTag("fresh.ts", "fresh"), WriteTag("notes.txt", "x")],
    )
    found = await extract(tmp_path, virtual=virtual)
    assert list(contents(found).items())[:2] == [("edit.ts", "after"), ("same.ts", "same")]
    assert contents(found) == {
        "edit.ts": "after",
        "same.ts": "same",
        "fresh.ts": "fresh",
        "notes.txt": EXCLUDED,
        "sub/new.ts": "moved",
    }
    assert (tmp_path / "edit.ts").read_text() == "before" and not (tmp_path / "fresh.ts").exists()


async def test_deletes_then_renames_then_writes(tmp_path: Path) -> None:
    write_app(tmp_path, {"a.ts": "a", "b.ts": "b"})
    virtual = VirtualFiles.of(
        deletes=["b.ts"],
        renames=[RenameTag("a.ts", "b.ts"), RenameTag("b.ts", "c.ts")],
        writes=[WriteTag("a.ts", "new")],
    )
    assert contents(await extract(tmp_path, virtual=virtual)) == {"a.ts": "new", "c.ts": "a"}


async def test_an_answer_cannot_reach_out_of_the_folder_or_uncover_a_secret(tmp_path: Path) -> None:
    write_app(tmp_path, {"outside.ts": "OUTSIDE", "app/.env": "SECRET", "app/a.ts": ""})
    virtual = VirtualFiles.of(
        renames=[RenameTag(".env", "shown.ts"), RenameTag("../outside.ts", "in.ts")],
        writes=[WriteTag("../evil.ts", "x"), WriteTag("/etc/evil.ts", "x"), WriteTag(".env.ts", "KEY")],
    )
    found = await extract(tmp_path / "app", virtual=virtual)
    assert contents(found) == {"a.ts": "", "shown.ts": EXCLUDED, ".env.ts": EXCLUDED}
    assert len(found.warnings) == 1 and "../evil.ts" in found.warnings[0]


# --- bad input -------------------------------------------------------------------------------------------------------


async def test_a_deleted_app_has_a_text_of_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    found = await extract(folder)
    assert found.text == f"# Error: Directory {folder} does not exist or is not accessible"
    assert found.files == () and len(found.warnings) == 1
    (tmp_path / "file").write_text("")
    assert (await extract(tmp_path / "file")).text.startswith("# Error: Directory ")


async def test_a_large_file_is_left_out_and_told(tmp_path: Path) -> None:
    write_app(tmp_path, {"fits.json": b"x" * 1_024_000, "big.json": b"", "big.png": b""})
    for name in ("big.json", "big.png"):
        with (tmp_path / name).open("r+b") as file:
            file.truncate(1 << 30)  # sparse
    found = await extract(tmp_path)
    assert paths(found) == ["fits.json"]
    assert found.warnings == ("Files of more than 1,024,000 bytes were left out: big.json",)


async def test_bytes_that_are_not_text_are_replaced_and_told(tmp_path: Path) -> None:
    write_app(tmp_path, {"latin.ts": b"caf\xe9", "bom.ts": b"\xef\xbb\xbfx", "crlf.ts": b"a\r\nb"})
    found = await extract(tmp_path)
    assert contents(found) == {"latin.ts": "caf\ufffd", "bom.ts": "\ufeffx", "crlf.ts": "a\r\nb"}
    assert len(found.warnings) == 1 and "latin.ts" in found.warnings[0]


async def test_a_pipe_or_a_vanishing_file_does_not_hang_or_crash(tmp_path: Path) -> None:
    write_app(tmp_path, {"a.ts": "a"})
    os.mkfifo(tmp_path / "pipe.ts")
    assert paths(await extract(tmp_path)) == ["a.ts"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
async def test_an_unreadable_file_or_folder_is_told(tmp_path: Path) -> None:
    write_app(tmp_path, {"a.ts": "a", "locked/b.ts": ""})
    (tmp_path / "a.ts").chmod(0)
    (tmp_path / "locked").chmod(0)
    found = await extract(tmp_path)
    (tmp_path / "locked").chmod(0o700)
    assert contents(found) == {"a.ts": "// Error reading file"}
    assert len(found.warnings) == 2


async def test_an_unreadable_file_has_a_placeholder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_app(tmp_path, {"a.ts": "a", "b.ts": "b"})

    def refuse(path: str, limit: int) -> Any:
        if path.endswith("a.ts"):
            raise PermissionError(13, "denied")
        return original(path, limit)

    from sidecar.chat.context import cache

    original = cache.read_regular
    monkeypatch.setattr(cache, "read_regular", refuse)
    found = await extract(tmp_path)
    assert contents(found) == {"a.ts": "// Error reading file", "b.ts": "b"}
    assert found.warnings == ("These files could not be read: a.ts",)


async def test_too_many_files_are_cut_with_a_note_the_same_way_each_time(tmp_path: Path) -> None:
    write_app(tmp_path, {f"deep/f{index:03}.ts": "" for index in range(50)} | {"top.ts": ""})
    found = await extract(tmp_path, limits=Limits(files=10), test_build=True)
    assert paths(found) == [f"deep/f{index:03}.ts" for index in range(9)] + ["top.ts"]
    assert len(found.warnings) == 1 and "first 10" in found.warnings[0]
    ignored = await extract(tmp_path, limits=Limits(entries=20))
    assert len(ignored.files) < 20 and "too many files" in ignored.warnings[0]


async def test_too_much_content_keeps_what_was_changed_last(tmp_path: Path) -> None:
    write_app(tmp_path, {"old.ts": "x" * 60, "mid.ts": "y" * 60, "new.ts": "z" * 30})
    found = await extract(tmp_path, limits=Limits(content_bytes=100))
    assert contents(found) == {"old.ts": EXCLUDED, "mid.ts": "y" * 60, "new.ts": "z" * 30}
    assert len(found.warnings) == 1 and "old.ts" in found.warnings[0]


async def test_folders_without_end_are_cut_with_a_note(tmp_path: Path) -> None:
    write_app(tmp_path, {"a/" * 6 + "x.ts": "", "a/y.ts": ""})
    found = await extract(tmp_path, limits=Limits(depth=4))
    assert paths(found) == ["a/y.ts"] and "nested too deeply" in found.warnings[0]


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
async def test_a_file_name_that_is_not_utf8_can_be_sent(tmp_path: Path) -> None:
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.ts"))).write_text("x")
    found = await extract(tmp_path)
    found.text.encode("utf-8")
    assert contents(found) == {"caf?.ts": "x"}


# --- cache, threads, tokens ------------------------------------------------------------------------------------------


async def test_a_changed_file_is_read_again_and_an_unchanged_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_app(tmp_path, {"a.ts": "one", "b.ts": "b"})
    reads: list[str] = []
    from sidecar.chat.context import cache as module

    original = module.read_regular
    monkeypatch.setattr(module, "read_regular", lambda path, limit: (reads.append(path), original(path, limit))[1])
    cache = FileCache()
    first = await extract(tmp_path, cache=cache)
    again = await extract(tmp_path, cache=cache)
    assert again.text is first.text and len(reads) == 2
    (tmp_path / "a.ts").write_text("two")
    os.utime(tmp_path / "a.ts", (LONG_AGO + 5, LONG_AGO + 5))
    assert contents(await extract(tmp_path, cache=cache)) == {"b.ts": "b", "a.ts": "two"}
    assert len(reads) == 3


async def test_a_file_just_written_is_not_trusted_to_its_time_stamp(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = FileCache()
    path = tmp_path / "a.ts"
    just_now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: just_now + 1_000_000)
    for content in ("one", "two"):
        path.write_text(content)
        os.utime(path, ns=(just_now, just_now))
        assert contents(await extract(tmp_path, cache=cache)) == {"a.ts": content}


async def test_the_cache_stays_within_its_bytes(tmp_path: Path) -> None:
    write_app(tmp_path, {f"{index}.ts": "x" * 1000 for index in range(20)})
    cache = FileCache(max_bytes=8000)
    found = await extract(tmp_path, cache=cache)
    assert await extract(tmp_path, cache=cache) == Codebase(
        text=found.text,
        files=found.files,
        warnings=(),
        token_estimate=found.token_estimate,
        elapsed_ms=pytest.approx(0, abs=1e6),  # type: ignore[arg-type]
    )
    write_app(tmp_path, {f"{index}.ts": "y" * 1000 for index in range(20)})  # of the same sizes and times
    again = contents(await extract(tmp_path, cache=cache))
    assert 0 < sum(content[0] == "x" for content in again.values()) <= 8, "what it holds is told as it was"


async def test_cancelling_stops_the_work(tmp_path: Path) -> None:
    write_app(tmp_path, {f"{index}.ts": "" for index in range(20)})
    cache, busy = FileCache(), threading.Event()
    for _ in range(MAX_READERS):
        cache.readers.submit(busy.wait)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await extract(tmp_path, cache=cache)
    busy.set()
    assert scope.cancelled_caught
    stop = threading.Event()
    stop.set()
    extraction = _Extraction(
        app_dir=tmp_path,
        rule=ContextRule(),
        heading="",
        virtual=VirtualFiles(),
        smart_context=False,
        engine_files=False,
        cache=FileCache(),
        test_build=False,
        limits=Limits(),
        stop=stop,
    )
    with pytest.raises(Stopped):
        await anyio.to_thread.run_sync(extraction.run)


async def test_tokens_are_those_of_what_is_sent(tmp_path: Path) -> None:
    write_app(tmp_path, {"ascii.ts": "abc", "wide.ts": "→ 😀😀", "ü.ts": "é", "tsconfig.json": "{}"})
    plain = await extract(tmp_path)
    assert plain.token_estimate == estimate_tokens(plain.text)
    engine = await extract(tmp_path, smart_context=True, engine_files=True)
    counted = "\n\n".join(f"<scalix-file={file.path}>{file.content}</scalix-file>" for file in engine.files)
    assert engine.token_estimate == estimate_tokens(counted)


async def test_files_that_came_with_the_request_are_formatted_alike(tmp_path: Path) -> None:
    write_app(tmp_path, {"a.ts": "a", "b.ts": "😀"})
    found = await extract(tmp_path)
    given = await provided_codebase(found.files)
    assert (given.text, given.files, given.token_estimate) == (found.text, found.files, found.token_estimate)


async def test_files_that_came_with_the_request_are_counted_as_smart_context_counts_them(tmp_path: Path) -> None:
    write_app(tmp_path, {"a.ts": "a", "b.ts": "😀"})
    found = await extract(tmp_path, smart_context=True, engine_files=True)
    given = await provided_codebase(found.files, smart_context=True)
    assert given.token_estimate == found.token_estimate
    assert (await provided_codebase([], smart_context=True)).token_estimate == 0


async def test_a_heading_is_part_of_the_text_and_of_no_count(tmp_path: Path) -> None:
    write_app(tmp_path, {"a.ts": "a"})
    plain, headed = await extract(tmp_path), await extract(tmp_path, heading="→ ")
    assert (headed.text, headed.token_estimate) == (f"→ {plain.text}", plain.token_estimate)
    given = await provided_codebase(plain.files, heading="→ ")
    assert (given.text, given.token_estimate) == (headed.text, plain.token_estimate)
