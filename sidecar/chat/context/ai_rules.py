"""The app's ``AI_RULES.md``: its author's standing instructions to the model (app contract 7.8, point 7a)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import anyio.to_thread
import msgspec

from sidecar.chat.context.cache import MAX_FILE_BYTES, FileCache
from sidecar.chat.context.files import FileTooLarge, decode, read_regular
from sidecar.chat.context.paths import confined
from sidecar.errors import ValidationFailed

AI_RULES_FILE: Final = "AI_RULES.md"


class AiRules(msgspec.Struct, frozen=True):
    """``text`` is None when there is no usable file; ``warnings`` say why, unless there is simply none."""

    text: str | None
    warnings: tuple[str, ...] = ()


async def read_ai_rules(app_dir: Path, *, cache: FileCache) -> AiRules:
    """The rules in ``app_dir``, read on a worker thread. Never raises for a bad file."""
    return await anyio.to_thread.run_sync(rules_in, app_dir, abandon_on_cancel=True, limiter=cache.limiter)


def rules_in(app_dir: Path) -> AiRules:
    """``read_ai_rules``, blocking."""
    try:
        data, _ = read_regular(confined(app_dir, AI_RULES_FILE), MAX_FILE_BYTES)
    except FileNotFoundError:
        return AiRules(None)
    except FileTooLarge:
        return AiRules(None, (f"{AI_RULES_FILE} has more than {MAX_FILE_BYTES:,} bytes and was not used.",))
    except ValidationFailed:
        return AiRules(None, (f"{AI_RULES_FILE} is a link that leads out of the app's folder and was not used.",))
    except OSError:
        return AiRules(None, (f"{AI_RULES_FILE} could not be read and was not used.",))
    text, valid = decode(data)
    if valid:
        return AiRules(text)
    return AiRules(
        text, (f"{AI_RULES_FILE} is not valid UTF-8; what could not be read was replaced. Save it as UTF-8.",)
    )
