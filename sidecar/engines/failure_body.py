"""Reads what a vendor wrote into the body of a failed answer: JSON of a dozen shapes, HTML, text, or nothing."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

_CHARSETS: Final = frozenset({"utf-8", "utf-16", "iso-8859-1", "iso-8859-15", "windows-1252", "gbk", "gb2312", "big5"})
"""Encodings believed; decoding by a name a server made up could run anything Python calls a codec."""

_TRY_AGAIN_IN: Final = re.compile(
    r"\b(?:try again|retry) in (?:(\d{1,4})m)?(\d{1,6}(?:\.\d{1,9})?) ?(ms|s)\b", re.IGNORECASE
)

_DEEPEST: Final = 4
"""Errors wrapped in errors (proxies put the vendor's JSON into their own message) are unwrapped this far."""


class VendorFailure(msgspec.Struct):
    """What could be read. ``status`` is a status named inside the body, ``body`` the text as it came."""

    message: str | None = None
    code: str | None = None
    type: str | None = None
    status: int | None = None
    retry_after_ms: int | None = None
    upgrade_prompt: bool = False
    """A proxy of Scalix says that a better plan would help."""
    is_page: bool = False
    """A web page; ``message`` is ours and names its title."""
    body: str = ""

    def words(self) -> str:
        """Everything the vendor said, for classification; one thing a line."""
        return "\n".join(part for part in (self.code, self.type, self.message, self.body[:20_000]) if part)


def body_text(body: bytes, content_type: str = "") -> str:
    """``body`` as text, in the encoding it says it has; what cannot be read is replaced. A body that is no text at all
    (compressed in a way nobody asked for) is empty."""
    if body.startswith((b"\xff\xfe", b"\xfe\xff")):
        charset = "utf-16"
    else:
        declared = re.search(r"charset=[\"']?([\w.:-]{1,40})", content_type, re.IGNORECASE)
        charset = declared[1].lower() if declared else "utf-8"
        if charset not in _CHARSETS:
            charset = "utf-8"
    text = body.decode(charset, "replace")
    return "" if "\0" in text else text


def read_failure(text: str, content_type: str = "") -> VendorFailure:
    """Reads the body of a failed answer. Never raises; unknown shapes leave ``message`` None."""
    stripped = text.strip()
    failure = VendorFailure(body=text)
    if not stripped or stripped == "null":
        return failure
    document = _json_in(stripped)
    if document is not None:
        _read(document, failure, 0)
        if failure.retry_after_ms is None and failure.message:
            failure.retry_after_ms = _told_wait(failure.message)
    elif "html" in content_type.lower() or stripped[:1] == "<":
        failure.message = _sentence_of_html(stripped)
        failure.is_page = True
    else:
        failure.message = stripped
    return failure


def _json_in(text: str) -> Any | None:
    """The JSON document in ``text``; some servers answer errors as a server-sent event even with status 400."""
    if text.startswith(("event:", "data:")):
        text = next((line[5:].strip() for line in text.splitlines() if line.startswith("data:")), "")
    if text[:1] not in ("{", "[", '"'):
        return None
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None


def _read(document: Any, failure: VendorFailure, depth: int) -> None:
    """Fills what ``failure`` does not know yet; outer members are read first, inner sentences win."""
    if depth > _DEEPEST:
        return
    if isinstance(document, dict) and document.get("upgrade_prompt") is True:
        failure.upgrade_prompt = True
    match document:
        case str():
            failure.message = document or failure.message
        case [first, *_]:  # Google's streaming endpoint wraps its error into an array
            _read(first, failure, depth + 1)
        case {"error": dict() as error}:
            _read_members(error, failure)
            _read_sentence(error, failure, depth)
        case dict():
            _read_members(document, failure)
            _read_sentence(document, failure, depth)


def _read_members(error: dict[str, Any], failure: VendorFailure) -> None:
    code = error.get("code")
    if isinstance(code, int) or (isinstance(code, str) and code.isdecimal()):
        failure.status = int(code) if 100 <= int(code) <= 599 else failure.status
        code = error.get("status")  # Google: {"code": 429, "status": "RESOURCE_EXHAUSTED"}
    if isinstance(code, str) and code:
        failure.code = code
    kind = error.get("type") or error.get("__type")
    if isinstance(kind, str) and kind not in ("", "error"):
        failure.type = kind
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and isinstance(delay := detail.get("retryDelay"), str):  # google.rpc.RetryInfo
            failure.retry_after_ms = _milliseconds(delay)


def _told_wait(sentence: str) -> int | None:
    """Milliseconds of "Please try again in 20s" (OpenAI, Groq) and "Please retry in 41.2s" (Google): errors inside a
    stream have no header to say it in."""
    found = _TRY_AGAIN_IN.search(sentence)
    if found is None:
        return None
    minutes, number, unit = found.groups()
    seconds = float(number) / (1000 if unit == "ms" else 1)
    return int((int(minutes or 0) * 60 + seconds) * 1000)


def _milliseconds(duration: str) -> int | None:
    match = re.fullmatch(r"(\d{1,6}(?:\.\d{1,9})?)s", duration)
    return int(float(match[1]) * 1000) if match else None


def _read_sentence(error: dict[str, Any], failure: VendorFailure, depth: int) -> None:
    sentence = _sentence(error, depth)
    if sentence is None:
        return
    inner = _json_in(sentence.strip()) if sentence.lstrip()[:1] in ("{", "[") else None
    failure.message = sentence
    if isinstance(inner, dict | list):
        _read(inner, failure, depth + 1)
    _read_upstream(error, failure, depth)


def _read_upstream(error: dict[str, Any], failure: VendorFailure, depth: int) -> None:
    """OpenRouter: ``metadata.raw`` is what the vendor behind it said, its own message only says that it did."""
    metadata = error.get("metadata")
    if not isinstance(metadata, dict):
        return
    raw = metadata.get("raw")
    if isinstance(raw, str) and raw.strip():
        upstream = read_failure(raw) if depth < _DEEPEST else VendorFailure(message=raw)
        said, name = upstream.message, metadata.get("provider_name")
        if said:
            failure.message = f"{name}: {said}" if isinstance(name, str) and name else said
        failure.code = upstream.code or failure.code


def _sentence(error: dict[str, Any], depth: int) -> str | None:
    """The member that holds the sentence, by vendor: message (most; Mistral nests a ``detail`` in it), error as text
    (Ollama, xAI), detail (Mistral, FastAPI, RFC 9457), errors (lists of them)."""
    for name in ("message", "Message", "error_message", "error_description", "error", "detail", "details", "errors"):
        sentence = _as_sentence(error.get(name), depth)
        if sentence:
            return sentence
    return _as_sentence(error.get("title"), depth) or _as_sentence(error.get("msg"), depth)


def _as_sentence(value: Any, depth: int) -> str | None:
    if depth > _DEEPEST:
        return None
    match value:
        case str():
            return value.strip() or None
        case {"msg": str(message), "loc": list(path)}:  # FastAPI: one entry per bad field
            return f"{'.'.join(str(step) for step in path)}: {message}"
        case dict():
            return _sentence(value, depth + 1)
        case list():
            sentences = [sentence for item in value[:5] if (sentence := _as_sentence(item, depth + 1))]
            return "; ".join(sentences) or None
    return None


def title_of(page: str) -> str | None:
    """The title of a web page, in one line."""
    from html import unescape  # half a megabyte of entities, for a rare page

    title = re.search(r"<title[^>]{0,200}>([^<]{1,300})", page[:20_000], re.IGNORECASE)
    return unescape(" ".join(title[1].split())) or None if title else None


def _sentence_of_html(page: str) -> str:
    """The title of an error page (a company proxy's, a load balancer's)."""
    if (words := title_of(page)) is not None:
        return f"The server answered with a web page instead of the model's answer: {words}"
    return "The server answered with a web page instead of the model's answer. Check the base URL."
