"""Certificates that are read when somebody needs them, and not when the HTTP client is imported."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from pathlib import Path

import anyio.to_thread
import pytest

from sidecar.catalog.local import list_ollama
from tests.providers import Answer, ScriptedProvider

pytestmark = pytest.mark.anyio

CLIENT = """
import asyncio, ssl, sys
from sidecar.certificates import import_client, read_certificates

aiohttp = import_client()
stores = [ssl.create_default_context().cert_store_stats()["x509"]]

async def ask(**options):
    try:
        async with aiohttp.ClientSession() as session, session.get(sys.argv[1], **options) as response:
            return response.status
    except aiohttp.ClientConnectorCertificateError:
        return "not trusted"

async def main():
    answers = [await ask(), await ask(ssl=ssl.create_default_context())]
    await asyncio.to_thread(read_certificates)
    return [*answers, await ask()]

print(stores[0] > 0, *asyncio.run(main()), sep=", ")
"""


def ask(url: str, trusted: Path) -> str:
    environment = {**os.environ, "SSL_CERT_FILE": str(trusted)}
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, url], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


async def test_the_clients_own_contexts_trust_nobody_until_their_certificates_are_read(
    server_side: ssl.SSLContext, certificate: tuple[Path, Path]
) -> None:
    async with ScriptedProvider(tls=server_side) as provider:
        provider.answer("/", Answer(status=204))
        said = await anyio.to_thread.run_sync(ask, provider.base_url + "/", certificate[0])
    # contexts that others make are whole; the client's own refuses, takes one that is given, and is whole when asked
    assert said == "True, not trusted, 204, 204"


async def test_a_local_server_with_a_certificate_of_the_company_is_trusted(
    server_side: ssl.SSLContext, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    async with ScriptedProvider(tls=server_side) as provider:
        provider.answer("/api/tags", Answer.json({"models": [{"name": "llama3"}]}))
        found = await list_ollama(provider.base_url)
    assert [model.model_name for model in found.models] == ["llama3"]
