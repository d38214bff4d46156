"""Which paths may be touched (upstream lessons 11)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.chat.context.paths import app_directory, confined, is_secret, relative_path
from sidecar.errors import ValidationFailed

TRICKS = [
    "",
    "..",
    "../x.ts",
    "a/../../x.ts",
    "..\\x.ts",
    "a\\..\\..\\x.ts",
    "/etc/passwd",
    "\\windows\\system.ini",
    "C:\\secret.txt",
    "c:secret.txt",
    "//server/share/file",
    "\\\\server\\share\\file",
    "\\\\?\\C:\\file",
    "a\0b",
    "a\nb",
    ".",
    "x/" * 3000,
]


@pytest.mark.parametrize("path", TRICKS)
def test_a_path_that_leads_out_is_refused_by_its_text(path: str) -> None:
    with pytest.raises(ValidationFailed) as caught:
        relative_path(path, field="selectedComponent.relativePath")
    assert caught.value.path == "selectedComponent.relativePath"


@pytest.mark.parametrize(
    ("path", "clean"),
    [
        ("src/a.ts", "src/a.ts"),
        (".\\src\\a.ts", "src/a.ts"),
        ("a//b/./c", "a/b/c"),
        ("a/../b", "b"),
        ("a b.ts", "a b.ts"),
    ],
)
def test_an_ordinary_path_is_cleaned(path: str, clean: str) -> None:
    assert relative_path(path) == clean


@given(st.text(st.sampled_from("ab./\\:~\0 ") | st.characters(), max_size=30))
def test_whatever_is_accepted_stays_below_its_folder(path: str) -> None:
    try:
        clean = relative_path(path)
    except ValidationFailed:
        return
    resolved = os.path.normpath(f"/app/{clean}")
    assert resolved.startswith("/app/") and ".." not in clean.split("/")


@pytest.fixture(scope="module")
def app_with_links(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("confined")
    app = base / "app"
    (app / "inside").mkdir(parents=True)
    (base / "file.txt").write_text("outside")
    (app / "link").symlink_to(base)
    (app / "up").symlink_to("..")
    (app / "loop").symlink_to("loop")
    return app


@given(data=st.data())
def test_what_is_confined_is_inside_with_symlinks_resolved(data: st.DataObject, app_with_links: Path) -> None:
    names = st.sampled_from(["..", ".", "inside", "link", "up", "file.txt", "loop"])
    segments = data.draw(st.lists(names, min_size=1, max_size=6))
    try:
        target = confined(app_with_links, "/".join(segments))
    except ValidationFailed:
        return
    assert target.is_relative_to(app_with_links.resolve())


def test_a_symlink_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.ts").write_text("x")
    app = tmp_path / "app"
    app.mkdir()
    (app / "innocent.ts").symlink_to(tmp_path / "secret.ts")
    (app / "alias.ts").symlink_to(app / ".env")
    for name in ("innocent.ts", "alias.ts"):
        with pytest.raises(ValidationFailed):
            confined(app, name)


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        "config/.env.production",
        ".ENV",
        ".env.",
        "a/.git/config",
        ".git./config",
        ".ssh/id_rsa",
        "keys/id_ed25519",
        "server.key",
        "certs/CA.PEM",
        ".netrc",
        ".aws/credentials",
        ".config/gh/hosts.yml",
        ".npmrc",
    ],
)
def test_secrets_are_known_by_name(path: str) -> None:
    assert is_secret(path)


@pytest.mark.parametrize(
    "path", ["src/environment.ts", "src/key.ts", "git/a.ts", "monkey.tsx", ".gitignore", "id_rsa_help.md"]
)
def test_ordinary_names_are_no_secrets(path: str) -> None:
    assert not is_secret(path)


def test_an_app_lives_below_the_apps_root_or_at_its_absolute_path(tmp_path: Path) -> None:
    assert app_directory("shop", apps_root=tmp_path) == tmp_path / "shop"
    assert app_directory("team/shop", apps_root=tmp_path) == tmp_path / "team" / "shop"
    assert app_directory(str(tmp_path / "elsewhere"), apps_root=Path("/unused")) == tmp_path / "elsewhere"


@pytest.mark.parametrize("path", ["", ".", "..", "../other", "a/..", "C:\\apps", "a\0b"])
def test_an_app_path_that_is_no_folder_of_its_own_is_refused(path: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationFailed):
        app_directory(path, apps_root=tmp_path)
