"""The main job, seen from the host's side: spawn, initialize, list, chat, watch it stream, stop one, look into SQLite.

Without arguments a scripted loopback provider speaks OpenAI's streaming bytes: no key, no network. With
``--model provider/name`` and that provider's key in the environment, the real provider answers.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.app_database import create_app_database, insert_app, insert_chat, insert_model, insert_provider, rows  # noqa: E402
from tests.host import Json, ProcessHost, process_host  # noqa: E402
from tests.providers.server import Answer, Later, Pause, Recorded, ScriptedProvider, Step  # noqa: E402
from tests.providers.streams import openai_chat_stream  # noqa: E402

DIM, BOLD, GREEN, RESET = ("\033[2m", "\033[1m", "\033[32m", "\033[0m") if sys.stdout.isatty() else ("", "", "", "")

ANSWER = (
    "Here is the page you asked for.\n\n"
    '<scalix-write path="src/pages/Index.tsx" description="a page with <b>one</b> heading">\n'
    "export default function Index() {\n  return <h1>Hello, Scalix 👋</h1>;\n}\n"
    "</scalix-write>\n\nIt shows one heading. <scalix-chat-summary>Hello page</scalix-chat-summary>"
)
PACE_S = 0.02


def main() -> int:
    """Run the demo; returns 0 when everything was where it should be."""
    parser = argparse.ArgumentParser(description="See a chat stream through the sidecar.")
    parser.add_argument(
        "--model", metavar="PROVIDER/NAME", help="use a real provider; its key must be in the environment"
    )
    parser.add_argument("--prompt", default="Make me a page that says hello.", help="what to ask")
    options = parser.parse_args()
    return anyio.run(demo, options.model, options.prompt)


async def demo(model: str | None, prompt: str) -> int:
    """The story, step by step."""
    with tempfile.TemporaryDirectory(prefix="scalix-demo-") as folder:
        user_data = Path(folder)
        database = user_data / "sqlite.db"
        create_app_database(database)
        app = insert_app(database, name="demo", path=str(user_data / "app"))
        chats = [insert_chat(database, app), insert_chat(database, app)]
        async with scripted_provider(database) as provider:
            chosen = reference(model) if model else {"provider": "custom::demo", "name": "demo-model"}
            environment = dict(os.environ) if model else {}
            started = time.perf_counter()
            async with process_host(user_data, environment) as host:
                result = await host.initialize(capabilities={"chunks": "patch"})
                step(f"initialize answered after {ms(started)} ms", result["serverInfo"])
                providers = await host.request("get-language-model-providers")
                models = await host.request("get-language-models-by-providers")
                step(
                    f"{len(providers)} providers, {sum(map(len, models.values()))} models", [p["id"] for p in providers]
                )
                await first_chat(host, chats[0], prompt, chosen)
                await second_chat(host, chats[1], prompt, chosen, provider)
        return show_rows(database, chats)


async def first_chat(host: ProcessHost, chat: int, prompt: str, model: Json) -> None:
    """Stream one answer to its end, printing it as it arrives."""
    say(f"\n{BOLD}you:{RESET} {prompt}\n{BOLD}{model['provider']}/{model['name']}:{RESET} ")
    meter = Meter(host)
    await host.request("chat:stream", {"chatId": chat, "prompt": prompt, "model": model})
    (end,) = host.terminals(chat)
    say("\n")
    if "error" in end:
        step("the stream ended with an error", f"{end['code']}: {end['error']}")
        return
    step(
        f"time to first token {meter.first_ms} ms, {meter.patches} patches, {meter.bytes} bytes on the wire",
        f"finish reason {end['finishReason']}, title {end.get('chatSummary')!r}, usage {end['usage']}",
    )


async def second_chat(host: ProcessHost, chat: int, prompt: str, model: Json, provider: Scripted) -> None:
    """Stop an answer half-way."""
    say(f"\n{BOLD}you:{RESET} {prompt} (stopped half-way)\n{BOLD}{model['provider']}/{model['name']}:{RESET} ")
    provider.pause_after = 8
    meter = Meter(host)
    stream = await host.start("chat:stream", {"chatId": chat, "prompt": prompt, "model": model})
    await host.until(lambda: len(host.text(chat)) > 30 or host.terminals(chat))
    cancelled = time.perf_counter()
    await host.request("chat:cancel", {"chatId": chat})
    took = ms(cancelled)
    await host.answer(stream)
    (end,) = host.terminals(chat)
    say("\n")
    closed = f", upstream closed after {provider.closed_after(cancelled)} ms" if provider.closed_at else ""
    step(f"stopped in {took} ms{closed}, {meter.patches} patches", f"wasCancelled {end.get('wasCancelled')}")


def show_rows(database: Path, chats: list[int]) -> int:
    """What the app finds in its database afterwards."""
    say(f"\n{BOLD}messages in sqlite.db{RESET}\n")
    complete = True
    for chat in chats:
        found = rows(database, "SELECT id, role, content FROM messages WHERE chat_id = ? ORDER BY id", chat)
        complete &= [row["role"] for row in found] == ["user", "assistant"] and bool(found[1]["content"])
        for row in found:
            content = row["content"].replace("\n", "⏎")
            shown = content if len(content) <= 100 else f"{content[:60]} … {content[-36:]}"
            say(f"  chat {chat} #{row['id']} {row['role']:9} {shown}\n")
    return 0 if complete else 1


class Meter:
    """Prints deltas as they arrive and counts what a host would."""

    def __init__(self, host: ProcessHost) -> None:
        self._start = time.perf_counter()
        self._bytes_before = host.bytes_received
        self._host = host
        self.patches = 0
        self.first_ms: float | None = None
        host.on_frame = self._frame

    @property
    def bytes(self) -> int:
        return self._host.bytes_received - self._bytes_before

    def _frame(self, frame: Json) -> None:
        patch = frame.get("params", {}).get("streamingPatch") if "method" in frame else None
        if patch is None:
            return
        if self.first_ms is None:
            self.first_ms = ms(self._start)
        self.patches += 1
        say(f"{GREEN}{patch['content']}{RESET}")


class Scripted:
    """The loopback provider's script: paced pieces, and a place to wait in when it is to be stopped."""

    def __init__(self) -> None:
        self.pause_after: int | None = None
        self.closed_at: float | None = None

    def steps(self) -> list[Step]:
        pieces = [ANSWER[i : i + 8] for i in range(0, len(ANSWER), 8)]
        steps: list[Step] = []
        for number, chunk in enumerate(
            openai_chat_stream(pieces, usage={"prompt_tokens": 21, "completion_tokens": 73})
        ):
            if self.pause_after is not None and number > self.pause_after:
                steps.append(Pause())
                break
            steps += [chunk, Later(PACE_S)]
        return steps

    def closed_after(self, start: float) -> float:
        return round(((self.closed_at or start) - start) * 1000, 1)


@asynccontextmanager
async def scripted_provider(database: Path) -> AsyncIterator[Scripted]:
    """A custom provider row that points at a loopback server."""
    script = Scripted()
    async with ScriptedProvider() as server, anyio.create_task_group() as tasks:

        async def watch(request: Recorded) -> None:
            await request.gone.wait()
            script.closed_at = time.perf_counter()

        def answer(request: Recorded) -> Answer:
            tasks.start_soon(watch, request)
            return Answer.stream(script.steps())

        server.handle("/v1/chat/completions", answer)
        insert_provider(database, "custom::demo", name="Demo", api_base_url=f"{server.base_url}/v1")
        insert_model(database, "custom::demo", "demo-model", display_name="Demo model")
        yield script
        tasks.cancel_scope.cancel()


def reference(model: str) -> Json:
    """``provider/name`` as a model reference."""
    provider, _, name = model.partition("/")
    if not name:
        raise SystemExit("--model takes provider/name, for example openai/gpt-4.1-mini")
    return {"provider": provider, "name": name}


def step(title: str, detail: Any) -> None:
    """One finding."""
    say(f"{BOLD}•{RESET} {title}\n  {DIM}{detail}{RESET}\n")


def say(text: str) -> None:
    """Print at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


def ms(since: float) -> float:
    """Milliseconds since a ``perf_counter`` reading."""
    return round((time.perf_counter() - since) * 1000, 1)


if __name__ == "__main__":
    raise SystemExit(main())
