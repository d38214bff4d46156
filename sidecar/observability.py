"""Structured logs to stderr: JSON lines, context variables, redaction. stdout is the protocol's.

Prompts, answers and settings values are never logged; what is, passes ``redaction.redact`` on its way out.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any, Final

# structlog's console renderer imports rich when it can: 60 ms before the first answer, for something that logs JSON.
_hidden: dict[str, Any] = {} if "rich" in sys.modules else {"rich": None}
sys.modules.update(_hidden)
import structlog  # noqa: E402

for _name in _hidden:
    del sys.modules[_name]

from sidecar.redaction import redact  # noqa: E402

LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
LOG_FILE_BYTES: Final = 5 * 1024 * 1024


def configure_logging(environ: Mapping[str, str]) -> None:
    """Level from ``SCALIX_LOG_LEVEL`` (``warning`` by default), optional rotating file ``SCALIX_LOG_FILE``."""
    level = LEVELS.get(environ.get("SCALIX_LOG_LEVEL", "warning").strip().lower(), 30)
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if path := environ.get("SCALIX_LOG_FILE"):
        from logging.handlers import RotatingFileHandler

        target = Path(path).expanduser()
        handlers.append(
            RotatingFileHandler(target, maxBytes=LOG_FILE_BYTES, backupCount=3, encoding="utf-8", delay=True)
        )
    logging.basicConfig(level=level, format="%(message)s", handlers=handlers, force=True)
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


def _redact_event(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {key: redact(value) if isinstance(value, str) else value for key, value in event.items()}
