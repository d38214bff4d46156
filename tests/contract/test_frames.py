"""What the sidecar really says is what the contract says: every frame held to its committed schema, closed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from protocol.methods import Direction, methods
from tests.host import Host, RpcError, memory_host
from tests.installation import MODEL as MODEL_REF
from tests.installation import Installation, installation
from tests.planted import planted
from tests.providers.server import Answer

pytestmark = pytest.mark.anyio

SCHEMA = Path(__file__).resolve().parents[2] / "protocol" / "schema"
PROVIDER = {"id": "mine", "name": "Mine", "apiBaseUrl": "http://localhost:1/v1"}
MODEL = {"apiName": "m", "displayName": "M", "providerId": "custom::mine"}


@cache
def validator(file: str) -> jsonschema.Draft202012Validator:
    """A schema under which a member that it does not name is an error."""
    return jsonschema.Draft202012Validator(closed(json.loads((SCHEMA / file).read_text(encoding="utf-8"))))


def closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [closed(member) for member in schema]
    if not isinstance(schema, dict):
        return schema
    members = {name: closed(member) for name, member in schema.items()}
    if "properties" in members and "anyOf" not in members:
        members.setdefault("additionalProperties", False)
    return members


def check(file: str, value: Any) -> None:
    problems = [f"{problem.json_path}: {problem.message}" for problem in validator(file).iter_errors(value)]
    assert problems == [], f"{file}: {problems}\n{value}"


def file_of(direction: Direction, method: str, part: str = "") -> str:
    return f"{direction}/{method.replace(':', '.').replace('$/', '')}{part}.json"


class CheckedHost:
    """A host that believes nothing: it checks what it sends and what it gets."""

    def __init__(self, host: Host) -> None:
        self.host = host

    async def ask(self, method: str, params: Any = None) -> Any:
        check(file_of(Direction.REQUEST_TO_SIDECAR, method, ".params"), {} if params is None else params)
        result = await self.host.request(method, params)
        check(file_of(Direction.REQUEST_TO_SIDECAR, method, ".result"), result)
        return result

    async def refused(self, method: str, params: Any) -> RpcError:
        with pytest.raises(RpcError) as caught:
            await self.host.request(method, params)
        data = caught.value.data
        problems = list(
            jsonschema.Draft202012Validator(json.loads((SCHEMA / "error-data.json").read_text())).iter_errors(data)
        )
        assert problems == []
        return caught.value

    def check_what_was_told(self) -> set[str]:
        """Hold every notification and question to its schema; the methods seen."""
        seen = set()
        for frame in self.host.frames:
            if "method" in frame:
                seen.add(frame["method"])
                asks = "id" in frame
                direction = Direction.REQUEST_TO_HOST if asks else Direction.NOTIFICATION_TO_HOST
                check(file_of(direction, frame["method"], ".params" if asks else ""), frame["params"])
        return seen


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Installation]:
    async with installation(tmp_path) as made:
        yield made


@asynccontextmanager
async def checked(place: Installation, **capabilities: Any) -> AsyncIterator[CheckedHost]:
    async with memory_host(place.folder) as host:
        client = CheckedHost(host)
        host.answer_host = {
            "host:system-prompt": lambda _: {"systemPrompt": "Be brief."},
            "host:apply-response": lambda _: {"updatedFiles": True, "extraFiles": ["a.ts"]},
            "host:check-problems": lambda _: {"problems": []},
            "host:encrypt-secrets": lambda params: {
                "secrets": [
                    {"id": secret["id"], "value": secret["plaintext"][::-1], "encryptionType": "electron-safe-storage"}
                    for secret in params["secrets"]
                ]
            },
            "host:decrypt-secrets": lambda params: {
                "secrets": [{"id": secret["id"], "plaintext": secret["value"][::-1]} for secret in params["secrets"]]
            },
        }
        await client.ask("initialize", {"protocolVersion": 1, "capabilities": capabilities})
        yield client


async def test_the_announced_methods_are_in_the_contract(place: Installation) -> None:
    async with checked(place) as client:
        greeting = client.host.frames[0]["result"]
    announced = greeting["capabilities"]
    assert set(announced["methods"]) - {method.name for method in methods(Direction.REQUEST_TO_SIDECAR)} == set()
    told = {method.name for method in methods(Direction.NOTIFICATION_TO_HOST)} - {"$/cancelRequest"}
    assert set(announced["notifications"]) == told


@pytest.mark.parametrize("mode", ["patch", "messages"])
async def test_a_stream_says_what_the_contract_says(place: Installation, mode: str) -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
    place.answers("Hel", "lo ", "<scalix-chat-summary>Hi</scalix-chat-summary>", usage=usage)
    chat = place.chat()
    host_side = {"systemPrompt": True, "applyResponse": True, "checkProblems": True}
    async with checked(place, chunks=mode, **host_side) as client:
        await client.ask("set-user-settings", {"autoApproveChanges": True, "enableAutoFixProblems": True})
        assert await client.ask("chat:stream", place.stream_params(chat)) == chat
        seen = client.check_what_was_told()
    assert seen >= {"chat:response:chunk", "chat:response:end", "host:system-prompt", "host:apply-response"}


async def test_a_failed_stream_says_what_the_contract_says(place: Installation) -> None:
    place.script(Answer.json({"error": {"message": "no"}}, status=401))
    chat = place.chat()
    async with checked(place, chunks="patch") as client:
        assert await client.ask("chat:stream", place.stream_params(chat)) == "error"
        assert "chat:response:error" in client.check_what_was_told()
        await client.ask("chat:cancel", {"chatId": chat})
        assert "chat:response:end" in client.check_what_was_told()


async def test_lists_and_changes_answer_what_the_contract_says(place: Installation) -> None:
    async with checked(place) as client:
        await client.ask("get-language-model-providers")
        await client.ask("get-language-models-by-providers")
        await client.ask("create-custom-language-model-provider", {**PROVIDER, "envVarName": "MINE"})
        await client.ask("edit-custom-language-model-provider", PROVIDER)
        await client.ask("create-custom-language-model", {**MODEL, "description": "d", "contextWindow": 1000})
        models = await client.ask("get-language-models", {"providerId": "custom::mine"})
        await client.ask("edit-custom-language-model", {**MODEL, "id": models[0]["id"], "maxOutputTokens": 5})
        await client.ask("delete-custom-language-model", {"modelId": "m"})
        await client.ask("delete-custom-model", {"providerId": "custom::mine", "modelApiName": "m"})
        await client.ask("delete-custom-language-model-provider", {"providerId": "custom::mine"})
        await client.ask("chat:count-tokens", {"chatId": place.chat(), "input": "hello"})


async def test_settings_and_switches_answer_what_the_contract_says(place: Installation) -> None:
    old = {"enableDyadPro": True, "selectedModel": {"provider": "openai", "name": "o1-mini"}}
    (place.folder / "user-settings.json").write_text(json.dumps(old))
    async with checked(place, secrets=True) as client:
        await client.ask("get-user-settings")
        await client.ask("settings:migrate", {"dryRun": True})
        await client.ask("settings:migrate")
        await client.ask("set-user-settings", {"providerSettings": {"openai": {"apiKey": {"value": planted()}}}})
        await client.ask("features:set", {"rolloutPercent": 50})
        await client.ask("features:get")
        assert client.check_what_was_told() >= {"host:encrypt-secrets", "settings:migrated"}


async def test_figures_and_advice_are_what_the_contract_says(place: Installation) -> None:
    place.answers("Hello", usage={"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8})
    chat = place.chat()
    async with checked(place) as client:
        await client.ask("chat:stream", {"chatId": chat, "prompt": "hi", "model": MODEL_REF})
        await client.ask("usage:get")
        await client.ask("analytics:get")
        await client.ask("analytics:get", {"bucket": "hour", "since": "2026-01-01", "timeZone": "UTC"})
        await client.ask("models:recommend", {"chatId": chat, "prompt": "hi", "needs": ["vision"]})
        await client.ask("providers:health")
        await client.ask("providers:health", {"probe": True})
        await client.ask("analytics:clear")


async def test_errors_say_what_the_contract_says(place: Installation) -> None:
    async with checked(place) as client:
        assert (await client.refused("get-language-models", {"providerId": "nope"})).data["code"] == "NOT_FOUND"
        assert (await client.refused("chat:stream", {"chatId": 1})).data["path"] == "prompt"
        assert (await client.refused("chat:stream", {"chatId": 999, "prompt": "hi"})).data["code"] == "NOT_FOUND"
        assert (await client.refused("no-such-method", {})).code == -32601


async def test_a_model_call_says_what_the_contract_says(place: Installation) -> None:
    place.answers("Hel", "lo", usage={"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8})
    prompt = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "hi"}]},
    ]
    async with checked(place) as client:
        call = {"callId": "c1", "model": MODEL_REF, "prompt": prompt}
        assert (await client.ask("llm:stream", call))["finishReason"] == "stop"
        await client.ask("llm:cancel", {"callId": "c1"})
        assert "llm:part" in client.check_what_was_told()
