"""Connections that fail, certificates, proxies, and what is never followed or sent twice."""

from __future__ import annotations

import socket
import ssl
from contextlib import closing
from pathlib import Path

import anyio
import anyio.abc
import anyio.lowlevel
import pytest

from protocol.errors import ErrorCode
from sidecar.engines.base import Engine
from sidecar.engines.exchange import Exchange, endpoint
from sidecar.engines.http import ProviderHttp
from sidecar.engines.network import is_loopback, place_of, proxy_for
from sidecar.engines.openai_compatible import OpenAICompatibleEngine
from sidecar.engines.timeouts import Timeouts, unusable_timeouts
from sidecar.errors import Cancelled, ProviderError, StreamInterrupted
from tests.engines.calls import KEY, call, collect, target, text_of
from tests.providers import Answer, Drop, Later, Pause, ScriptedProvider, openai_chat_stream

pytestmark = pytest.mark.anyio

PATH = "/v1/chat/completions"
OK = Answer.stream(openai_chat_stream(["ok"]))


@pytest.fixture
def engine(http: ProviderHttp) -> Engine:
    return OpenAICompatibleEngine(Exchange(http, Timeouts()))


async def failure(engine: Engine, base_url: str) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await collect(engine, call(target(base_url)))
    assert KEY not in str(caught.value.data()) + caught.value.message
    return caught.value


def unused_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


# --- connections that fail ---------------------------------------------------------------------------------------


async def test_a_refused_connection_names_the_address_and_may_be_repeated(engine: Engine) -> None:
    port = unused_port()
    error = await failure(engine, f"http://127.0.0.1:{port}/v1")
    assert (error.code, error.retryable, error.status) == (ErrorCode.NETWORK, True, None)
    assert f"127.0.0.1:{port}" in error.message
    assert "nothing is listening" in error.message
    assert (error.provider, error.request_id) == ("custom::x", "req-1")


async def test_what_arrived_before_the_connection_broke_is_read_before_it_is_said_to_be_broken(
    http: ProviderHttp, provider: ScriptedProvider
) -> None:
    provider.answer(PATH, Answer.stream([b"data: one\n\n", b"data: two\n\n", Drop()]))
    with closing(await http.post_stream(provider.base_url + PATH, {}, b"{}")) as answer:
        with anyio.fail_after(5):
            while answer._response.content.exception() is None:  # nobody reads meanwhile: the consumer is busy
                await anyio.lowlevel.checkpoint()
        assert await answer.read() == b"data: one\n\ndata: two\n\n"
        with pytest.raises(StreamInterrupted):
            await answer.read()


async def test_a_name_nobody_knows_is_said_to_be_one(engine: Engine) -> None:
    error = await failure(engine, "http://no-such-host.invalid/v1?key=hidden-in-the-query")
    assert error.code is ErrorCode.NETWORK
    assert "no-such-host.invalid" in error.message
    assert "hidden-in-the-query" not in error.message


async def test_a_server_that_hangs_up_without_an_answer(engine: Engine, provider: ScriptedProvider) -> None:
    provider.answer(PATH, Answer(raw=True))
    error = await failure(engine, provider.base_url + "/v1")
    assert (error.code, error.retryable) == (ErrorCode.NETWORK, True)
    assert "begins with https" in error.message


@pytest.mark.parametrize("answer", [Answer.text("", status=404), Answer.json({"detail": "Not Found"}, status=404),
                                    Answer.json({"error": {"message": "Method Not Allowed"}}, status=405)])  # fmt: skip
async def test_a_place_where_nothing_is_is_named(engine: Engine, provider: ScriptedProvider, answer: Answer) -> None:
    provider.answer(PATH, answer)
    error = await failure(engine, provider.base_url + "/v1?key=hidden-in-the-query")
    assert f"Nothing answers at 127.0.0.1:{provider.port}{PATH}: check the base URL" in error.message
    assert "hidden-in-the-query" not in error.message


@pytest.mark.parametrize("sentence", ["The model 'x' does not exist", "No endpoints found that support image input"])
async def test_a_model_that_is_missing_is_the_vendors_sentence(
    engine: Engine, provider: ScriptedProvider, sentence: str
) -> None:
    provider.answer(PATH, Answer.json({"error": {"message": sentence}}, status=404))
    assert (await failure(engine, provider.base_url + "/v1")).message == sentence


@pytest.mark.parametrize(
    "headers", ["Content-Security-Policy: " + "a" * 20_000, "\r\n".join(f"X-{number}: a" for number in range(200))]
)
async def test_answers_with_long_and_many_headers_are_read(
    engine: Engine, provider: ScriptedProvider, headers: str
) -> None:
    """As company gateways send them."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{headers}\r\n\r\n".encode()
    provider.answer(PATH, Answer([head, *openai_chat_stream(["Hello"])], raw=True))
    assert text_of(await collect(engine, call(target(provider.base_url + "/v1")))) == "Hello"


async def test_a_stream_with_another_status_of_success_is_an_answer(engine: Engine, provider: ScriptedProvider) -> None:
    provider.answer(PATH, Answer.stream(openai_chat_stream(["Hello"]), status=201))
    assert text_of(await collect(engine, call(target(provider.base_url + "/v1")))) == "Hello"
    provider.answer(PATH, Answer.json({}, status=202))
    assert (await failure(engine, provider.base_url + "/v1")).status == 202


async def test_a_server_that_does_not_speak_http(engine: Engine, provider: ScriptedProvider) -> None:
    provider.answer(PATH, Answer([b"SSH-2.0-OpenSSH_9.6\r\n"], raw=True))
    error = await failure(engine, provider.base_url + "/v1")
    assert error.code is ErrorCode.NETWORK
    assert "did not answer in HTTP" in error.message


@pytest.mark.parametrize("base", ["not a url", "http://", "ftp://host/v1", "http://[::1/v1", "http://host:port/v1"])
async def test_an_address_that_is_none_is_refused_without_a_request(engine: Engine, base: str) -> None:
    error = await failure(engine, base)
    assert (error.code, error.retryable) == (ErrorCode.BAD_REQUEST, False)


async def test_a_header_with_a_line_break_is_refused_without_showing_it(
    engine: Engine, provider: ScriptedProvider
) -> None:
    to = target(provider.base_url + "/v1", headers={"X-Custom": "secret\r\nX-Evil: 1"})
    with pytest.raises(ProviderError) as caught:
        await collect(engine, call(to))
    assert caught.value.code is ErrorCode.BAD_REQUEST
    assert "secret" not in caught.value.message
    assert provider.requests == []


async def test_redirects_are_not_followed_so_that_keys_stay_where_they_were_sent(
    engine: Engine, provider: ScriptedProvider
) -> None:
    async with ScriptedProvider() as elsewhere:
        elsewhere.answer(PATH, OK)
        provider.answer(PATH, Answer(status=307, headers={"Location": elsewhere.base_url + PATH}))
        error = await failure(engine, provider.base_url + "/v1")
        assert elsewhere.requests == []
    assert "redirects" in error.message


async def test_an_answer_called_a_web_page_is_read_all_the_same(engine: Engine, provider: ScriptedProvider) -> None:
    """PHP calls everything text/html that says nothing else."""
    provider.answer(PATH, Answer.stream(openai_chat_stream(["o", "k"]), headers={"Content-Type": "text/html"}))
    assert text_of(await collect(engine, call(target(provider.base_url + "/v1")))) == "ok"


@pytest.mark.parametrize(
    ("page", "said"), [("<html><title>Sign in</title></html>", "Sign in"), ("Please sign in", "web page"), ("", "200")]
)
async def test_a_web_page_is_no_answer(engine: Engine, provider: ScriptedProvider, page: str, said: str) -> None:
    provider.answer(PATH, Answer.text(page, content_type="text/html"))
    error = await failure(engine, provider.base_url + "/v1")
    assert (error.code, error.retryable) == (ErrorCode.MODEL_UNAVAILABLE, False)
    assert said in error.message


async def test_a_page_whose_first_byte_never_comes_is_a_time_out(
    http: ProviderHttp, provider: ScriptedProvider
) -> None:
    provider.answer(PATH, Answer([Pause()], headers={"Content-Type": "text/html"}))
    with anyio.fail_after(5):
        error = await failure(
            OpenAICompatibleEngine(Exchange(http, Timeouts(first_token_s=0.2))), f"{provider.base_url}/v1"
        )
    assert error.code is ErrorCode.TIMEOUT


@pytest.mark.parametrize("encoding", ["br", "zstd"])
async def test_a_compression_nobody_asked_for_is_named(
    engine: Engine, provider: ScriptedProvider, encoding: str
) -> None:
    provider.answer(PATH, Answer.stream([b"\x28\xb5\x2f\xfd"], headers={"Content-Encoding": encoding}))
    error = await failure(engine, provider.base_url + "/v1")
    assert (error.code, error.retryable) == (ErrorCode.NETWORK, False)
    assert "compression" in error.message
    assert provider.last().headers["accept-encoding"] == "identity"


async def test_a_refusal_whose_body_never_ends_is_still_told(engine: Engine, provider: ScriptedProvider) -> None:
    body = b'{"error":{"message":"Invalid key"}}' + b" " * (1 << 18)
    provider.answer(PATH, Answer([body, Pause()], status=401))
    with anyio.fail_after(2):
        error = await failure(engine, provider.base_url + "/v1")
    assert (error.message, error.code) == ("Invalid key", ErrorCode.AUTHENTICATION_FAILED)


async def test_a_connection_closed_while_it_lay_in_the_pool_costs_no_attempt(http: ProviderHttp) -> None:
    """The server closes its end just as the second request is sent: the request goes out again on a new connection."""
    engine = OpenAICompatibleEngine(Exchange(http, Timeouts()))
    body = b"".join(openai_chat_stream(["ok"]))
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(body)
    connections = 0

    async def serve(client: anyio.abc.SocketStream) -> None:
        nonlocal connections
        connections += 1
        async with client:
            await client.receive()
            await client.send(head + body)
            await client.receive()  # the second request of this connection is not answered

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        to = target(f"http://127.0.0.1:{port}/v1")
        for _ in range(2):
            assert text_of(await collect(engine, call(to))) == "ok"
        await http.aclose()
        tasks.cancel_scope.cancel()
    assert connections == 2


async def test_after_closing_there_are_no_more_calls(http: ProviderHttp, engine: Engine) -> None:
    await http.aclose()
    with pytest.raises(Cancelled):
        await collect(engine, call(target("http://127.0.0.1:1/v1")))


async def test_64_streams_to_one_host_run_at_once(engine: Engine, provider: ScriptedProvider) -> None:
    pause = Pause()
    stream = openai_chat_stream(["ok"])
    provider.answer(PATH, Answer.stream([*stream[:2], pause, *stream[2:]]))
    texts: list[str] = []

    async def one() -> None:
        texts.append(text_of(await collect(engine, call(target(provider.base_url + "/v1")))))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            for _ in range(64):
                tasks.start_soon(one)
            await provider.request_number(64)
            pause.resume()
    assert texts == ["ok"] * 64


async def test_a_document_that_comes_in_pieces_is_read_whole(http: ProviderHttp, provider: ScriptedProvider) -> None:
    provider.answer("/user", Answer([b'{"a":', Later(0.02), b"1}"]))
    for _ in range(2):  # the second one on the connection of the first
        assert await http.get(provider.base_url + "/user", {"x": "y"}) == (200, b'{"a":1}')


# --- certificates ------------------------------------------------------------------------------------------------


async def test_an_untrusted_certificate_says_what_to_do_and_is_not_retried(
    engine: Engine, server_side: ssl.SSLContext
) -> None:
    async with ScriptedProvider(tls=server_side) as provider:
        provider.answer(PATH, OK)
        error = await failure(engine, provider.base_url + "/v1")
        assert provider.requests == []
    assert (error.code, error.retryable) == (ErrorCode.NETWORK, False)
    assert "SSL_CERT_FILE" in error.message


async def test_the_certificates_of_ssl_cert_file_are_trusted(
    engine: Engine, server_side: ssl.SSLContext, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    async with ScriptedProvider(tls=server_side) as provider:
        provider.answer(PATH, OK)
        to = target(provider.base_url + "/v1")
        assert text_of(await collect(engine, call(to))) == "ok"
        assert text_of(await collect(engine, call(to))) == "ok"
        assert provider.requests[0].peer == provider.requests[1].peer


async def test_certificates_are_still_verified_when_someone_replaces_the_context_class(
    engine: Engine, server_side: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiohttp takes no notice of a context that is not an ``ssl.SSLContext``, and then verifies nothing."""
    import truststore

    async with ScriptedProvider(tls=server_side) as provider:
        provider.answer(PATH, OK)
        await failure(engine, provider.base_url + "/v1")
        monkeypatch.setattr(ssl, "SSLContext", truststore.SSLContext)
        error = await failure(engine, provider.base_url + "/v1")
        assert provider.requests == []
    assert error.code is ErrorCode.NETWORK


async def test_https_to_a_server_without_it_says_so(engine: Engine, provider: ScriptedProvider) -> None:
    error = await failure(engine, provider.base_url.replace("http:", "https:") + "/v1")
    assert error.code is ErrorCode.NETWORK
    assert "secure connection" in error.message


# --- proxies -----------------------------------------------------------------------------------------------------


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


def test_proxies_are_those_of_the_environment_and_never_for_loopback(no_proxies: pytest.MonkeyPatch) -> None:
    assert proxy_for("https://api.example/v1") is None
    no_proxies.setenv("HTTPS_PROXY", "http://user:p%40ss@proxy.example:3128")
    no_proxies.setenv("NO_PROXY", "internal.example")
    found = proxy_for("https://api.example/v1")
    assert found is not None
    assert found.url == "http://proxy.example:3128"
    assert found.headers == {"Proxy-Authorization": "Basic dXNlcjpwQHNz"}
    assert proxy_for("http://api.example/v1") is None
    for direct in ("https://internal.example", "https://a.internal.example", "https://localhost:1", "https://[::1]:1"):
        assert proxy_for(direct) is None


def test_a_socks_proxy_is_passed_over(no_proxies: pytest.MonkeyPatch) -> None:
    no_proxies.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    assert proxy_for("https://api.example/v1") is None


async def test_a_request_goes_through_the_proxy(
    engine: Engine, provider: ScriptedProvider, no_proxies: pytest.MonkeyPatch
) -> None:
    """An HTTP proxy sees the whole address as the target of the request."""
    no_proxies.setenv("HTTP_PROXY", provider.base_url.replace("//", "//user:secret@"))
    provider.handle(PATH, lambda _: OK)
    assert text_of(await collect(engine, call(target("http://api.invalid/v1")))) == "ok"
    request = provider.last()
    assert request.headers["host"] == "api.invalid"
    assert request.headers["proxy-authorization"].startswith("Basic ")


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_wants_a_password_is_not_asked_again(
    engine: Engine, no_proxies: pytest.MonkeyPatch, scheme: str
) -> None:
    """Of a secure request it refuses the CONNECT, of any other the request itself."""

    async def refuse(client: anyio.abc.SocketStream) -> None:
        async with client:
            await client.receive()
            await client.send(b"HTTP/1.1 407 Authentication Required\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as proxy, anyio.create_task_group() as tasks:
        tasks.start_soon(proxy.serve, refuse)
        port = proxy.extra(anyio.abc.SocketAttribute.local_port)
        no_proxies.setenv(f"{scheme.upper()}_PROXY", f"http://127.0.0.1:{port}")
        error = await failure(engine, f"{scheme}://api.invalid/v1")
        tasks.cancel_scope.cancel()
    assert (error.code, error.retryable) == (ErrorCode.NETWORK, False)
    assert "user name and password" in error.message


async def test_a_proxy_that_is_not_there_is_blamed_for_it(engine: Engine, no_proxies: pytest.MonkeyPatch) -> None:
    no_proxies.setenv("HTTPS_PROXY", f"http://user:secret@127.0.0.1:{unused_port()}")
    error = await failure(engine, "https://api.invalid/v1")
    assert error.code is ErrorCode.NETWORK
    assert "proxy" in error.message
    assert "secret" not in error.message


# --- addresses ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST.", "app.localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]", "0.0.0.0"]
)
def test_names_of_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["example.com", "localhost.example.com", "10.0.0.1", "", "host"])
def test_names_of_other_machines(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("base", "query", "url"),
    [
        ("https://h/v1", {}, "https://h/v1/x"),
        ("https://h/v1/", {"a": "b c"}, "https://h/v1/x?a=b+c"),
        ("https://h/v1?tenant=7", {"a": "1"}, "https://h/v1/x?tenant=7&a=1"),
        ("https://h", {}, "https://h/x"),
    ],
)
def test_a_path_is_appended_to_a_base_and_its_query_kept(base: str, query: dict[str, str], url: str) -> None:
    assert endpoint(base, "/x", query) == url


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://u:p@h:8080/v1?key=x", "h:8080"),
        ("https://h/v1", "h"),
        ("nonsense", "the provider"),
        ("http://[::1", "the provider"),
        ("http://h:port", "the provider"),
    ],
)
def test_a_message_names_host_and_port_only(url: str, place: str) -> None:
    assert place_of(url) == place


@pytest.mark.parametrize(
    ("text", "seconds"), [("5", 5), ("0", float("inf")), ("-1", 120), ("x", 120), ("nan", 120), ("", 120), (None, 120)]
)
def test_timeouts_come_from_the_environment(text: str | None, seconds: float) -> None:
    environ = {} if text is None else {"SCALIX_TIMEOUT_FIRST_TOKEN_S": text}
    assert Timeouts.from_environment(environ).first_token_s == seconds


def test_a_timeout_that_is_no_number_is_told() -> None:
    environ = {"SCALIX_TIMEOUT_FIRST_TOKEN_S": "2 min", "SCALIX_TIMEOUT_IDLE_S": "0"}
    assert unusable_timeouts(environ) == [
        "SCALIX_TIMEOUT_FIRST_TOKEN_S is '2 min', which is no number of seconds; 120 is used."
    ]
    assert unusable_timeouts({"SCALIX_TIMEOUT_IDLE_S": " "}) == []
