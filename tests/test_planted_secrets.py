"""No secret is left behind: the search that every test ends with, and a whole day of a sidecar searched by it."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests import planted as search
from tests.app_database import create_app_database, execute, insert_chat, insert_message, rows
from tests.host import Host, RpcError, process_host
from tests.installation import CHAT, Installation, installation
from tests.planted import MARK, forms_in, leaks_in_folder, planted
from tests.providers.server import Answer, Pause, Recorded
from tests.providers.streams import openai_chat_stream, sse

SECRET = planted("sk-{}/+=é")

# --- the search ------------------------------------------------------------------------------------------------------

WAYS: dict[str, Callable[[str], bytes]] = {
    "as it is": str.encode,
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-16, big-endian": lambda text: text.encode("utf-16-be"),
    "base64": lambda text: base64.b64encode(text.encode()),
    "base64 after one byte": lambda text: base64.b64encode(b"a" + text.encode()),
    "base64 after two bytes": lambda text: base64.b64encode(b"ab" + text.encode()),
    "base64 of UTF-16": lambda text: base64.b64encode(text.encode("utf-16-le")),
    "base64 of UTF-16 after a byte order mark": lambda text: base64.b64encode(text.encode("utf-16")),
    "URL-safe base64": lambda text: base64.urlsafe_b64encode(text.encode()),
    "basic authentication": lambda text: base64.b64encode(f"user:{text}".encode()),
    "quoted for a URL": lambda text: quote(text, safe="").encode(),
    "percent signs only": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()).encode(),
    "hexadecimal": lambda text: text.encode().hex().encode(),
    "hexadecimal in capitals": lambda text: text.encode().hex().upper().encode(),
    "inside JSON": lambda text: json.dumps({"a": {"b": text}}).encode(),
    "JSON escapes only": lambda text: "".join(f"\\u{ord(character):04x}" for character in text).encode(),
    "backwards": lambda text: text[::-1].encode(),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("before", ["", "x", "of two"])
def test_a_secret_is_found_in_whatever_form_it_was_written(way: Callable[[str], bytes], before: str) -> None:
    assert forms_in(b"noise \xff\x00" + before.encode() + way(SECRET) + b" more noise")
    assert not forms_in(b"noise \xff\x00" + before.encode() + way("sk-another0123456789/+=") + b" more noise")


def test_files_may_hold_it_in_the_envelopes_of_the_settings_and_nowhere_else(tmp_path: Path) -> None:
    settings = tmp_path / "user-settings.json.bak"
    envelope = {"value": SECRET, "encryptionType": "plaintext"}
    settings.write_text(json.dumps({"providerSettings": {"a": {"apiKey": envelope}}}, indent=2))
    torn = tmp_path / "user-settings.json.recovery-1"
    torn.write_text(settings.read_text()[: settings.read_text().index(MARK) + len(MARK)])
    database = tmp_path / "sqlite.db"
    create_app_database(database)
    execute(database, "CREATE TABLE sidecar_settings (key TEXT, value TEXT)")
    execute(database, "INSERT INTO sidecar_settings VALUES ('a', ?)", json.dumps(envelope | {"n": "x" * 9000}))
    assert list(leaks_in_folder(tmp_path)) == []

    settings.write_text(json.dumps({"providerSettings": {"a": {"apiKey": SECRET}}}))
    (tmp_path / "log").write_bytes(base64.b64encode(SECRET.encode()))
    (tmp_path / "nested").mkdir()
    (tmp_path / "nested" / f"{MARK}.txt").write_text("")
    insert_message(database, _chat(database), "user", f"my key is {SECRET}")
    leaks = list(leaks_in_folder(tmp_path))
    assert len(leaks) == 4
    for name in ("user-settings.json.bak", "log", f"{MARK}.txt", "sqlite.db"):
        assert any(name in leak for leak in leaks)
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()


def _chat(database: Path) -> int:
    execute(database, "INSERT INTO apps (name, path) VALUES ('a', 'a')")
    return insert_chat(database, 1, None)


def test_frames_may_show_it_where_the_host_asked_for_its_own_settings_and_nowhere_else() -> None:
    def leaks(*sent: dict[str, Any]) -> int:
        frames = search.Frames()
        for identifier, method in enumerate(["get-user-settings", "set-user-settings", "settings:migrate"]):
            frames.asked(json.dumps({"id": identifier, "method": method}).encode())
        for frame in sent:
            frames.sent(json.dumps(frame).encode())
        found = len(list(frames.leaks()))
        search.leaks_since_last_asked(())
        return found

    shown = {"githubAccessToken": {"value": SECRET}}
    assert leaks({"id": 0, "result": shown}, {"id": 1, "result": shown}) == 0
    assert leaks({"id": "sidecar-1", "method": "host:encrypt-secrets", "params": {"secrets": [SECRET]}}) == 0
    assert leaks({"id": 2, "result": shown}, {"id": 0, "error": {"message": SECRET}}) == 2
    assert leaks({"method": "chat:response:error", "params": {"error": f"refused: {SECRET}"}}) == 1
    assert leaks({"id": "sidecar-1", "method": "host:decrypt-secrets", "params": {"secrets": [SECRET]}}) == 1


def test_a_test_that_leaves_a_secret_behind_fails(tmp_path: Path) -> None:
    (tmp_path / "test_leaks.py").write_text(
        textwrap.dedent(
            """
            import base64, json, sys
            import tests.planted as search

            SECRET = search.planted()

            def test_in_a_file(tmp_path):
                (tmp_path / "recording.ndjson").write_text(json.dumps({"a": search.planted()}))

            def test_in_a_frame():
                search.Frames().sent(json.dumps({"id": 1, "result": SECRET}).encode())

            def test_on_the_stderr_of_a_child():
                search.logged(base64.b64encode(SECRET.encode()))

            def test_in_the_log():
                print(f"key={SECRET}", file=sys.stderr)

            def test_nowhere(tmp_path):
                (tmp_path / "file").write_text("nothing")
            """
        )
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "-c", "/dev/null", str(tmp_path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert "5 passed, 4 errors" in done.stdout, done.stdout


# --- a day of a sidecar ----------------------------------------------------------------------------------------------


LOGGING = """
import logging, os, sys, threading
from sidecar.observability import configure_logging
configure_logging({"SCALIX_LOG_LEVEL": "debug"})
import structlog
from sidecar.redaction import register_secret
from sidecar.secret import SecretText

secret = os.environ["THE_SECRET"]
register_secret(SecretText(secret))
log = structlog.get_logger("sidecar.test")
error = ValueError(f"https://a.test/?x={secret} refused")
log.warning(f"one {secret}", error=error, many=[{secret: (secret, error)}], raw=secret.encode())
logging.getLogger("asyncio").error("Task exception was never retrieved %s", secret)
logging.getLogger("aiohttp").warning({"header": secret})
try:
    raise error
except ValueError:
    log.exception("two")
    logging.getLogger("asyncio").exception("three")
thread = threading.Thread(target=lambda: 1 / len(secret[:0]) if not secret else open(secret + "/missing"))
thread.start()
thread.join()
raise error
"""


def test_nothing_that_can_be_logged_shows_a_secret_that_is_in_use() -> None:
    """Values that are no strings, other people's loggers, tracebacks, threads and the program's own end."""
    environ = {**os.environ, "THE_SECRET": planted("opaque-{}-99")}
    done = subprocess.run([sys.executable, "-c", LOGGING], check=False, capture_output=True, env=environ)
    assert done.returncode == 1
    for seen in (b"one", b"two", b"three", b"never retrieved", b"header", b"refused", b"missing", b"Traceback"):
        assert seen in done.stderr
    assert forms_in(done.stderr) == []


VENDORS = (
    "openai",
    "anthropic",
    "google",
    "openrouter",
    "azure",
    "grok",
    "mistral",
    "cohere",
    "together",
    "perplexity",
)
VARIABLES = {name: f"{name.upper()}_API_KEY" for name in VENDORS} | {"google": "GEMINI_API_KEY"}
PRO = planted("scalix_{}abcdef")
SEALED = "electron-safe-storage"


def key(owner: str) -> str:
    """Another secret for each: none of them looks like a vendor's, but for the mark."""
    return planted(f"{owner}-{{}}-0123")


def seal(text: str) -> dict[str, str]:
    return {"value": base64.b64encode(text[::-1].encode()).decode(), "encryptionType": SEALED}


def unseal(value: str) -> str:
    return base64.b64decode(value).decode()[::-1]


SETTINGS: dict[str, Any] = {
    "selectedModel": {"name": "test-model", "provider": "custom::testing"},
    "providerSettings": {
        "auto": {"apiKey": seal(PRO)},
        "anthropic": {"apiKey": seal(key("anthropic"))},
        "google": {"apiKey": {"value": key("google"), "encryptionType": "plaintext"}},
        "custom::testing": {"apiKey": {"value": key("custom")}},
    },
    "githubAccessToken": seal(key("github")),
    "vercelAccessToken": seal(key("vercel")),
    "supabase": {"accessToken": seal(key("supabase")), "refreshToken": seal(key("supabase-refresh"))},
    "neon": {"accessToken": seal(key("neon"))},
    "aws": {"accessKeyId": seal(key("aws-id")), "secretAccessKey": {"value": key("aws")}},
    "sentry": {"dsn": {"value": f"https://{key('sentry')}@sentry.test/1"}},
    "telemetryUserId": "me",
    "thinkingBudget": "HIGH",
}


def echo(request: Recorded) -> Answer:
    """A server that tells everybody what it was sent, in every way there is; one kind of answer after the other."""
    sent = [*request.headers.values(), str(request.query), request.path]
    bare = [word for text in sent for word in text.split() if MARK in word]
    told = " ".join([*sent, *(quote(text, safe="") for text in sent), *(json.dumps(text) for text in bare)])
    told += " " + " ".join(base64.b64encode(word.encode()).decode() for word in bare)
    answers = [
        Answer.json({"error": {"message": f"Incorrect API key provided: {told}", "code": "invalid"}}, status=401),
        Answer.text(f"<html><pre>{told}</pre></html>", status=403, content_type="text/html"),
        Answer.text(told, status=400),
        Answer.stream([sse({"error": {"message": told, "code": 400}})]),
        Answer.stream([sse({"type": "error", "error": {"type": "invalid_request_error", "message": told}})]),
        Answer.json({"message": told, "error": told, "detail": [told]}, status=404),
        Answer.json({"error": {"message": "x"}}, status=401, headers={"X-Told": told[:4000], "x-request-id": bare[0]}),
    ]
    kind = sum(MARK in value for value in request.headers.values()) + len(request.path) + len(_echoed)
    _echoed.append(request.path)
    return answers[kind % len(answers)]


_echoed: list[str] = []


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Installation]:
    _echoed.clear()
    async with installation(tmp_path / "user data") as made:
        (made.folder / "user-settings.json").write_text(json.dumps(SETTINGS, indent=2))
        yield made


def everything(place: Installation, tmp_path: Path) -> dict[str, str]:
    """Every key there is in the environment, every address the echo's, and as much logging as there can be."""
    base = place.provider.base_url
    return {
        **{variable: key(f"env-{name}") for name, variable in VARIABLES.items()},
        **{f"SCALIX_{name.upper()}_BASE_URL": f"{base}/{name}" for name in VENDORS},
        "SCALIX_PRO_API_KEY": PRO,
        "SCALIX_HELP_URL": f"{base}/help",
        "SCALIX_API_URL": f"{base}/user",
        "SCALIX_ENGINE_URL": f"{base}/engine",
        "SCALIX_GATEWAY_URL": f"{base}/gateway",
        "OLLAMA_HOST": f"http://me:{key('ollama')}@127.0.0.1:1",
        "SCALIX_LOG_LEVEL": "debug",
        "SCALIX_LOG_FILE": str(tmp_path / "sidecar.log"),
        "PYTHONASYNCIODEBUG": "1",
    }


def with_safe_storage(host: Host) -> None:
    def decrypt(params: Any) -> Any:
        return {"secrets": [{"id": each["id"], "plaintext": unseal(each["value"])} for each in params["secrets"]]}

    def encrypt(params: Any) -> Any:
        return {"secrets": [{"id": each["id"], **seal(each["plaintext"])} for each in params["secrets"]]}

    host.answer_host = {"host:decrypt-secrets": decrypt, "host:encrypt-secrets": encrypt}


async def refused(host: Host, method: str, params: Any) -> None:
    with pytest.raises(RpcError):
        await host.request(method, params)


@pytest.mark.process
@pytest.mark.anyio
async def test_a_day_full_of_secrets_leaves_none_behind(place: Installation, tmp_path: Path) -> None:
    """Whatever goes wrong: the search at the end of the test goes through all it wrote, sent and logged."""
    environ = everything(place, tmp_path)
    arguments = ("--record", str(tmp_path / "record.ndjson"))
    hello = {"capabilities": {"chunks": "patch", "secrets": True}}
    for vendor in VENDORS:
        for path in ("chat/completions", "responses", "messages", "chat", "models/m:streamGenerateContent"):
            place.provider.handle(f"/{vendor}/{path}", echo)
    for path in ("/help/responses", "/user/user/info", "/engine/chat/completions", "/gateway/chat/completions"):
        place.provider.handle(path, echo)
    halted = Pause()
    place.script([*openai_chat_stream(["Hello"])[:2], halted])

    async with process_host(place.folder, environ, arguments=arguments) as host:
        with_safe_storage(host)
        await host.initialize(**hello)
        shown = await host.request("get-user-settings")
        assert shown["githubAccessToken"]["value"] == key("github")
        assert shown["sentry"]["dsn"]["value"] == f"https://{key('sentry')}@sentry.test/1"
        await host.request("settings:migrate")
        for vendor in VENDORS:
            model = {"provider": vendor, "name": "m"}
            for _ in range(3):
                await host.request("chat:stream", place.stream_params(place.chat(), model=model, files=[]))
        await refused(
            host,
            "llm:stream",
            {
                "callId": "c",
                "model": {"provider": "mistral", "name": "m"},
                "prompt": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
                "headers": {"X-Company": key("company")},
            },
        )
        await host.request("get-user-budget")
        await host.request("help:chat:start", {"sessionId": "s", "message": "hi"})
        await host.notification("help:chat:response:error")
        await refused(host, "local-models:list-ollama", None)
        address = f"https://me:{key('url')}@custom.test/v1?key={key('url')}"
        provider = {"id": "x", "name": "x", "apiBaseUrl": address}
        await refused(host, "create-custom-language-model-provider", provider)
        await refused(host, "set-user-settings", {"githubAccessToken": key("bare")})
        providers = {**shown["providerSettings"], "mistral": {"apiKey": {"value": key("new")}}}
        await host.request("set-user-settings", {"providerSettings": providers, "enableScalixPro": True})
        pro = {"model": {"provider": "openai", "name": "gpt-4.1"}, "files": []}
        await host.request("chat:stream", place.stream_params(place.chat(), **pro))
        await host.request("set-user-settings", {"enableScalixPro": False})
        await host.start("chat:stream", place.stream_params(place.chat()))
        await halted.reached.wait()
        host.process.send_signal(signal.SIGABRT if sys.platform != "win32" else signal.SIGTERM)
        await host.closed.wait()

    halted.resume()
    async with process_host(place.folder, environ) as host:  # what the one that was killed left, without safe storage
        await host.initialize()
        await host.request("get-user-settings")
        await host.request("chat:stream", place.stream_params(place.chat()))

    sent = " ".join(value for request in place.provider.requests for value in request.headers.values())
    used = [
        "anthropic",
        "google",
        "custom",
        "new",
        "company",
        *(f"env-{name}" for name in VENDORS[3:] if name != "mistral"),
    ]
    assert [name for name in used if key(name) not in sent] == ["new"] and PRO in sent
    assert len(set(_echoed)) >= len(VENDORS) + 3
    assert place.provider.last().path == CHAT
    kept = [json.loads(row["value"]) for row in rows(place.database, "SELECT value FROM sidecar_settings")]
    assert seal(key("new"))["value"] in json.dumps(kept)
