"""What is generated from ``protocol/`` is what is committed, and it is what it says it is."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from protocol.errors import ErrorCode, ErrorData
from protocol.methods import METHODS, Direction, methods

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "protocol" / "schema"
GENERATED = ROOT / "protocol" / "typescript" / "src" / "generated.ts"


def load(name: str) -> dict[str, Any]:
    return json.loads((SCHEMA / name).read_text(encoding="utf-8"))


def validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(load(name))


def generate(*arguments: str, hash_seed: str = "0") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "generate.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
    )


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_generated_files_are_what_the_contract_says_whatever_the_hash_order(hash_seed: str) -> None:
    done = generate("--check", hash_seed=hash_seed)
    assert done.returncode == 0, f"\n{done.stdout}{done.stderr}"


def test_drift_names_the_file_and_the_command_that_mends_it() -> None:
    left_over = SCHEMA / "left-over-of-a-test.json"
    left_over.write_text("{}")
    try:
        done = generate("--check")
    finally:
        left_over.unlink()
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "protocol/schema/left-over-of-a-test.json is left over",
        "Mend it with: python3 scripts/dev.py generate",
    ]


@pytest.mark.parametrize("path", sorted(SCHEMA.rglob("*.json")), ids=lambda path: path.name)
def test_every_schema_is_valid_2020_12(path: Path) -> None:
    schema = json.loads(path.read_text(encoding="utf-8"))
    if path.name != "openrpc.json":
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        jsonschema.Draft202012Validator.check_schema(schema)


def test_no_file_name_is_refused_by_any_file_system() -> None:
    assert [path for path in SCHEMA.rglob("*") if re.search(r'[:*?"<>|$\\]', path.name)] == []


def test_the_openrpc_document_has_every_method_and_no_loose_reference() -> None:
    document = load("openrpc.json")
    assert [(method["name"], method["x-direction"]) for method in document["methods"]] == [
        (method.name, str(method.direction)) for method in METHODS
    ]
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    known |= {f"#/components/errors/{name}" for name in document["components"]["errors"]}
    references = set(re.findall(r'"\$ref": "([^"]+)"', json.dumps(document)))
    assert references - known == set()
    for method in document["methods"]:
        required = [param["required"] for param in method["params"]]
        assert required == sorted(required, reverse=True), "OpenRPC wants required params first"


def test_every_method_is_in_the_typescript_map_of_its_direction() -> None:
    source = GENERATED.read_text(encoding="utf-8")
    maps = {
        Direction.REQUEST_TO_SIDECAR: "SidecarRequests",
        Direction.REQUEST_TO_HOST: "HostRequests",
        Direction.NOTIFICATION_TO_HOST: "SidecarNotifications",
        Direction.NOTIFICATION_TO_SIDECAR: "HostNotifications",
    }
    for direction, name in maps.items():
        body = source.split(f"export interface {name} {{")[1].split("\n}")[0]
        found = [name.strip('"') for name in re.findall(r'^  readonly ("[^"]+"|\w+): ', body, re.MULTILINE)]
        assert found == [method.name for method in methods(direction)]


def test_the_codes_of_errors_are_closed_and_their_data_is_described() -> None:
    schema = validator("error-data.json")
    good = {"code": "NOT_FOUND", "kind": "not_found", "retryable": False, "path": "chatId", "unknown": [1]}
    assert list(schema.iter_errors(good)) == []
    assert {error.json_path for error in schema.iter_errors({**good, "code": "OOPS"})} == {"$.code"}
    assert ErrorData.__struct_fields__[:3] == ("code", "kind", "retryable")
    assert len(set(ErrorCode)) == len(ErrorCode)


@pytest.mark.parametrize(
    ("file", "message", "wrong"),
    [
        ("request-to-sidecar/chat.stream.params.json", {"chatId": 1, "prompt": "hi"}, {"chatId": "1", "prompt": "hi"}),
        ("request-to-sidecar/chat.stream.result.json", "error", "failed"),
        ("request-to-sidecar/get-user-budget.result.json", None, {"usedCredits": 1}),
        (
            "notification-to-host/chat.response.chunk.json",
            {
                "chatId": 1,
                "streamId": "s",
                "seq": 3,
                "streamingMessageId": 9,
                "streamingPatch": {"offset": 4, "content": "x", "prefixHash": 1},
            },
            {"chatId": 1, "streamId": "s", "seq": 3},
        ),
        (
            "notification-to-host/chat.response.end.json",
            {"chatId": 1, "updatedFiles": False, "wasCancelled": True},
            {"chatId": 1, "updatedFiles": False},
        ),
        (
            "request-to-host/host.decrypt-secrets.params.json",
            {"secrets": [{"id": "a", "value": "eA==", "encryptionType": "electron-safe-storage"}]},
            {"secrets": [{"id": "a"}]},
        ),
    ],
)
def test_schemas_accept_what_the_page_shows_and_refuse_the_rest(file: str, message: object, wrong: object) -> None:
    assert list(validator(file).iter_errors(message)) == []
    assert list(validator(file).iter_errors(wrong)) != []


def test_what_the_sidecar_always_writes_is_required_and_what_it_leaves_out_is_not() -> None:
    provider = load("request-to-sidecar/get-language-model-providers.result.json")["$defs"]["LanguageModelProvider"]
    assert provider["required"] == ["id", "name", "type"]
    counts = load("request-to-sidecar/chat.count-tokens.result.json")["$defs"]["TokenCounts"]
    assert counts["required"] == list(counts["properties"])
    params = load("request-to-sidecar/chat.count-tokens.params.json")["$defs"]["ChatCountTokensParams"]
    assert params["required"] == ["chatId", "input"]
