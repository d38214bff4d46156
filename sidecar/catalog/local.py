"""Models of local servers: Ollama and LM Studio (app contract 5; 16, row 19).

Addresses are worked out by pure functions from an environment; lists are fetched once per call, with no cache,
because the user starts and stops these servers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import msgspec

from protocol.errors import ErrorCode
from protocol.language_models import LocalModel, LocalModels
from sidecar.certificates import import_client, tls_context
from sidecar.errors import ProviderError

if TYPE_CHECKING:
    import aiohttp

CONNECT_TIMEOUT_S: Final = 2.0
ANSWER_TIMEOUT_S: Final = 10.0
LARGEST_LIST_BYTES: Final = 8 * 1024 * 1024

_OLLAMA_PORT: Final = 11434
_OLLAMA_DEFAULT: Final = "http://localhost:11434"
_LMSTUDIO_DEFAULT: Final = "http://localhost:1234"
_SCHEME: Final = re.compile(r"(https?)://", re.IGNORECASE)
_CLIENT_HOST: Final = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - what we replace, not where we listen
_EMBEDDINGS: Final = frozenset({"embedding", "embeddings"})


# --- addresses ---------------------------------------------------------------------------------------------------


def ollama_base(env: Mapping[str, str]) -> str:
    """Where Ollama is, from ``OLLAMA_HOST``: an address without a trailing slash (app contract 5.1).

    The variable also tells the *server* where to listen, so it may hold a bind address (``0.0.0.0``, ``::``,
    ``:port``); a client connects to this machine then.
    """
    value = env.get("OLLAMA_HOST", "").strip().rstrip("/")
    if not value:
        return _OLLAMA_DEFAULT
    if _SCHEME.match(value):
        return _client_address(value)
    host, slash, path = value.partition("/")
    if host.startswith(":") and host[1:].isdigit():
        host = f"localhost{host}"
    elif host.startswith("["):
        host = host if "]:" in host else f"{host}:{_OLLAMA_PORT}"
    elif host.count(":") > 1:
        host = f"[{host}]:{_OLLAMA_PORT}"
    elif ":" not in host:
        host = f"{host}:{_OLLAMA_PORT}"
    return _client_address(f"http://{host}{slash}{path}")


def lmstudio_base(env: Mapping[str, str]) -> str:
    """Where LM Studio is: an address without a trailing slash and without ``/v1`` (app contract 5.2).

    ``LM_STUDIO_BASE_URL_FOR_TESTING`` wins over ``LM_STUDIO_BASE_URL``.
    """
    given = env.get("LM_STUDIO_BASE_URL_FOR_TESTING") or env.get("LM_STUDIO_BASE_URL") or ""
    value = given.strip().rstrip("/").removesuffix("/v1").rstrip("/")
    if not value:
        return _LMSTUDIO_DEFAULT
    return _client_address(value if _SCHEME.match(value) else f"http://{value}")


def _client_address(url: str) -> str:
    """Lower-case scheme, and a host one can connect to instead of one that only a server can bind."""
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    host, bracket, port = authority.partition("]") if authority.startswith("[") else authority.partition(":")
    if bracket == "]":
        host, bracket = f"{host}]", ""
    return f"{scheme.lower()}://{_CLIENT_HOST.get(host, host)}{bracket}{port}{slash}{path}"


def ollama_display_name(name: str) -> str:
    """``codellama:7b`` -> ``Codellama``: the app's way of writing a model's name (app contract 5.1)."""
    family = name.partition(":")[0].replace("-", " ")
    spaced = re.sub(r"[0-9]+", r" \g<0> ", family, count=1)
    return " ".join(word[:1].upper() + word[1:] for word in spaced.split(" ")).strip()


# --- lists -------------------------------------------------------------------------------------------------------


async def list_ollama(base: str) -> LocalModels:
    """The models Ollama at ``base`` has. Raises ``ProviderError``."""
    answer = await _fetch("ollama", "Ollama", base, f"{base.removesuffix('/v1')}/api/tags")
    names = [item.get("name") for item in _objects(answer, "models")]
    return LocalModels(
        [LocalModel("ollama", name, ollama_display_name(name)) for name in names if isinstance(name, str) and name]
    )


async def list_lmstudio(base: str) -> LocalModels:
    """The models LM Studio at ``base`` has, those for embeddings left out. Raises ``ProviderError``."""
    answer = await _fetch("lmstudio", "LM Studio", base, f"{base}/api/v0/models")
    ids = [item.get("id") for item in _objects(answer, "data") if item.get("type") not in _EMBEDDINGS]
    return LocalModels([LocalModel("lmstudio", name, name) for name in ids if isinstance(name, str) and name])


def _objects(answer: Any, member: str) -> list[dict[str, Any]]:
    """The objects in a list member; a missing or null one counts as empty."""
    items = answer.get(member) if isinstance(answer, dict) else None
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


async def _fetch(provider: str, name: str, base: str, url: str) -> Any:
    aiohttp = await anyio.to_thread.run_sync(import_client)
    tls = await anyio.to_thread.run_sync(tls_context) if url.startswith("https:") else True
    shown = _without_credentials(base)
    # A proxy never leads to this machine, whatever the environment says.
    timeout = aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=not _is_this_machine(base)) as session,
            session.get(url, ssl=tls) as response,
        ):
            if not response.ok:
                raise ProviderError(
                    f"Failed to fetch models from {name}: {shown} answered with HTTP status {response.status}.",
                    code=ErrorCode.MODEL_UNAVAILABLE,
                    status=response.status,
                    provider=provider,
                )
            return msgspec.json.decode(await _body(response))
    except (aiohttp.ClientConnectionError, aiohttp.InvalidURL) as error:
        raise ProviderError(
            f"Could not connect to {name}. Make sure it's running at {shown}", code=ErrorCode.NETWORK, provider=provider
        ) from error
    except TimeoutError as error:
        raise ProviderError(
            f"Failed to fetch models from {name}: {shown} gave no answer within {ANSWER_TIMEOUT_S:g} s.",
            code=ErrorCode.TIMEOUT,
            provider=provider,
        ) from error
    except (aiohttp.ClientError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProviderError(
            f"Failed to fetch models from {name}: {shown} did not answer with a list of models. "
            "Check that this address is the server's.",
            code=ErrorCode.MODEL_UNAVAILABLE,
            retryable=False,
            provider=provider,
        ) from error


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """The body, up to ``LARGEST_LIST_BYTES``; what is cut off there is no JSON any more."""
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_chunked(65536):
        parts.append(part)
        size += len(part)
        if size > LARGEST_LIST_BYTES:
            break
    return b"".join(parts)[:LARGEST_LIST_BYTES]


def _is_this_machine(base: str) -> bool:
    try:
        host = urlsplit(base).hostname or ""
    except ValueError:
        return True
    return host in {"localhost", "::1"} or host.startswith("127.")


def _without_credentials(base: str) -> str:
    """The address for a message: without ``user:password@``."""
    return re.sub(r"^(https?://)[^/]*@", r"\1", base)
