"""From a params object to a typed struct, or an error that names the field."""

from __future__ import annotations

import re
from typing import Any, Final, TypeVar

import msgspec

from sidecar.errors import InvalidParams

S = TypeVar("S", bound=msgspec.Struct)

_PATH: Final = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_MISSING: Final = re.compile(r"missing required field `(?P<name>[^`]+)`")


def convert(params: dict[str, Any], type_: type[S]) -> S:
    """``params`` as ``type_``; unknown members are ignored, null stands for an absent optional.

    Raises ``InvalidParams`` with ``path`` naming the field (``attachments[0].name``).
    """
    try:
        return msgspec.convert({name: value for name, value in params.items() if value is not None}, type_)
    except msgspec.ValidationError as error:
        text = str(error)
        at = _PATH.search(text)
        path = at["path"] if at else ""
        missing = _MISSING.search(text)
        if missing:
            path = f"{path}.{missing['name']}" if path else missing["name"]
        reason = _PATH.sub("", text)
        where = f" ({path})" if path else ""
        raise InvalidParams(f"Invalid params{where}: {reason}.", path=path) from None
