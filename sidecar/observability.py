"""Structured logs to stderr: JSON lines, context variables, redaction. stdout is the protocol's.

Prompts, answers and settings values are never logged; what is, passes ``redaction.redact`` on its way out.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final

# structlog's console renderer imports rich when it can: 60 ms before the first answer, for something that logs JSON.
_hidden: dict[str, Any] = {} if "rich" in sys.modules else {"rich": None}
sys.modules.update(_hidden)
import structlog  # noqa: E402

for _name in _hidden:
    del sys.modules[_name]

from sidecar.redaction import redact  # noqa: E402

LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
DEFAULT_LEVEL: Final = "warning"
LOG_FILE_BYTES: Final = 5 * 1024 * 1024


def configure_logging(environ: Mapping[str, str]) -> None:
    """Level from ``SCALIX_LOG_LEVEL`` (``warning`` by default), optional rotating file ``SCALIX_LOG_FILE``.

    An option that cannot be followed is left out, and said in the first line of the log.
    """
    unusable: list[str] = []
    level = _level(environ.get("SCALIX_LOG_LEVEL", ""), unusable)
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr), *_file(environ, unusable)]
    sys.excepthook = _end_of_the_program
    threading.excepthook = _end_of_a_thread
    # Of a record that cannot be written (a full disk) ``logging`` would show the arguments, which nobody has redacted.
    logging.raiseExceptions = False
    for handler in handlers:
        handler.setFormatter(_Redacting("%(message)s"))
    logging.basicConfig(level=level, handlers=handlers, force=True)
    # Third parties log requests at INFO, with headers at DEBUG: only their warnings are of use here.
    for noisy in ("aiohttp", "asyncio", "LiteLLM", "httpx", "httpcore", "openai"):
        logging.getLogger(noisy).setLevel(max(level, logging.WARNING))
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _redact_event,
            structlog.processors.JSONRenderer(default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    for sentence in unusable:
        structlog.get_logger("sidecar").error(sentence)


def _level(text: str, unusable: list[str]) -> int:
    name = text.strip().lower() or DEFAULT_LEVEL
    if name not in LEVELS:
        unusable.append(f"SCALIX_LOG_LEVEL is {text!r}, which is none of {', '.join(LEVELS)}; {DEFAULT_LEVEL} is used.")
    return LEVELS.get(name, LEVELS[DEFAULT_LEVEL])


def _file(environ: Mapping[str, str], unusable: list[str]) -> list[logging.Handler]:
    path = environ.get("SCALIX_LOG_FILE", "").strip()
    if not path:
        return []
    from logging.handlers import RotatingFileHandler

    try:
        return [RotatingFileHandler(Path(path).expanduser(), maxBytes=LOG_FILE_BYTES, backupCount=3, encoding="utf-8")]
    except (OSError, RuntimeError) as error:  # RuntimeError: the home folder of a user whom nobody knows
        unusable.append(f"SCALIX_LOG_FILE is not used: {path} ({getattr(error, 'strerror', None) or error})")
        return []


def _redact_event(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {key: _redacted(value) for key, value in event.items()}


def _redacted(value: Any) -> Any:
    """``value`` as it is logged: text everywhere in it redacted, what JSON does not know as text."""
    match value:
        case None | bool() | int() | float():
            return value
        case dict():
            return {redact(str(name)): _redacted(item) for name, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_redacted(item) for item in value]
    return redact(str(value))


class _Redacting(logging.Formatter):
    """What is left after the events: other people's loggers and tracebacks."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record), limit=None)


def _end_of_the_program(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """An exception that nobody caught: to the log instead of bare to stderr."""
    logging.getLogger("sidecar").critical("the program ends", exc_info=(kind, error, trace))


def _end_of_a_thread(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is not None:
        error = (ended.exc_type, ended.exc_value, ended.exc_traceback)
        logging.getLogger("sidecar").error("a thread ends", exc_info=error)
