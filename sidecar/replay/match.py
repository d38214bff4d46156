"""Expected JSON with placeholders against what came. Pure (``sidecar.replay.format`` describes the placeholders)."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

OPEN: Final = "..."
"""As a member of an object: more members are allowed."""
OPEN_LIST: Final = "${...}"

_TOKEN: Final = re.compile(r"\$\$\{|\$\{([A-Za-z][\w-]*)(?::([\w.-]+))?\}")
_UUID: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_KINDS: Final = {
    "any": r"[\s\S]*?",
    "string": r"[\s\S]*?",
    "int": r"-?\d+",
    "ms": r"\d+(?:\.\d+)?",
    "uuid": _UUID,
    "iso": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",
}
_MISSING: Final = object()


class Mismatch(msgspec.Struct, frozen=True):
    """The first place where they differ. ``path`` is like ``params.messages[1].content``; empty for the whole."""

    path: str
    expected: Any
    got: Any
    why: str = "differs"


class UnknownPlaceholder(ValueError):
    """``${name}`` stands for a value nobody has captured."""


class Bindings:
    """The values behind names, kept for one session."""

    def __init__(self, values: dict[str, Any] | None = None) -> None:
        self._values: dict[str, Any] = dict(values or {})

    def difference(self, expected: Any, got: Any, path: str = "") -> Mismatch | None:
        """Where ``got`` is not what was expected; captures named placeholders on the way.

        Raises ``UnknownPlaceholder``.
        """
        if isinstance(expected, str):
            return self._text(expected, got, path)
        if isinstance(expected, dict):
            return self._object(expected, got, path)
        if isinstance(expected, list):
            return self._list(expected, got, path)
        same = type(expected) is type(got) and expected == got
        if isinstance(expected, float) and isinstance(got, int | float) and not isinstance(got, bool):
            same = expected == got
        return None if same else Mismatch(path, expected, got)

    def fill(self, value: Any) -> Any:
        """``value`` with known placeholders replaced. Raises ``UnknownPlaceholder``."""
        if isinstance(value, list):
            return [self.fill(item) for item in value]
        if isinstance(value, dict):
            return {key: self.fill(item) for key, item in value.items()}
        if not isinstance(value, str):
            return value
        whole = _TOKEN.fullmatch(value)
        if whole is not None and whole[1]:
            return self._known(whole)
        return _TOKEN.sub(lambda token: str(self._known(token)) if token[1] else "${", value)

    def _known(self, token: re.Match[str]) -> Any:
        name = token[2] or token[1]
        if name not in self._values:
            raise UnknownPlaceholder(f"nothing is known as {token[0]}")
        return self._values[name]

    # --- by type -----------------------------------------------------------------------------------------------------

    def _object(self, expected: dict[str, Any], got: Any, path: str) -> Mismatch | None:
        if not isinstance(got, dict):
            return Mismatch(path, expected, got, "is not an object")
        for key, value in expected.items():
            if key == OPEN:
                continue
            inner = f"{path}.{key}" if path else key
            if key not in got:
                return Mismatch(inner, value, None, "is missing")
            if (found := self.difference(value, got[key], inner)) is not None:
                return found
        if OPEN not in expected:
            for key in got:
                if key not in expected:
                    return Mismatch(f"{path}.{key}" if path else key, None, got[key], "was not expected")
        return None

    def _list(self, expected: list[Any], got: Any, path: str) -> Mismatch | None:
        if not isinstance(got, list):
            return Mismatch(path, expected, got, "is not a list")
        is_open = bool(expected) and expected[-1] == OPEN_LIST
        wanted = expected[:-1] if is_open else expected
        for index, value in enumerate(wanted):
            inner = f"{path}[{index}]"
            if index >= len(got):
                return Mismatch(inner, value, None, "is missing")
            if (found := self.difference(value, got[index], inner)) is not None:
                return found
        if len(got) > len(wanted) and not is_open:
            return Mismatch(f"{path}[{len(wanted)}]", None, got[len(wanted)], "was not expected")
        return None

    def _text(self, expected: str, got: Any, path: str) -> Mismatch | None:
        if "${" not in expected:
            return None if expected == got and isinstance(got, str) else Mismatch(path, expected, got)
        token = _TOKEN.fullmatch(expected)
        if token is not None and token[1]:
            return self._placeholder(token, expected, got, path)
        if not isinstance(got, str):
            return Mismatch(path, expected, got)
        return self._template(expected, got, path)

    def _placeholder(self, token: re.Match[str], expected: str, got: Any, path: str) -> Mismatch | None:
        kind, name = token[1], token[2]
        if kind not in _KINDS:
            known = self._known(token)
            return None if known == got else Mismatch(path, known, got, f"is not {expected}")
        if not _is_kind(kind, got):
            return Mismatch(path, expected, got)
        return self._capture(name, got, expected, path)

    def _capture(self, name: str | None, got: Any, expected: str, path: str) -> Mismatch | None:
        if name is None:
            return None
        known = self._values.setdefault(name, got)
        return None if known == got else Mismatch(path, known, got, f"is not the same {expected}")

    def _template(self, expected: str, got: str, path: str) -> Mismatch | None:
        """A longer string with placeholders in it."""
        pattern, captures, position = "", list[str | None](), 0
        for token in _TOKEN.finditer(expected):
            pattern += re.escape(expected[position : token.start()])
            position = token.end()
            if token[1] is None:
                pattern += r"\$\{"
            elif token[1] in _KINDS:
                pattern += f"({_KINDS[token[1]]})"
                captures.append(token[2])
            else:
                pattern += re.escape(str(self._known(token)))
        found = re.fullmatch(pattern + re.escape(expected[position:]), got)
        if found is None:
            return Mismatch(path, expected, got)
        for name, text in zip(captures, found.groups(), strict=True):
            if (different := self._capture(name, text, f"${{{name}}}", path)) is not None:
                return different
        return None


def literal(value: Any) -> Any:
    """``value`` as expected JSON that means exactly itself: ``${`` in its texts is no placeholder."""
    if isinstance(value, str):
        return value.replace("${", "$${")
    if isinstance(value, list):
        return [literal(item) for item in value]
    if isinstance(value, dict):
        return {key: literal(item) for key, item in value.items()}
    return value


def _is_kind(kind: str, got: Any) -> bool:
    if kind == "any":
        return True
    if kind in {"int", "ms"}:
        number = isinstance(got, int | float) and not isinstance(got, bool)
        return number and (isinstance(got, int) if kind == "int" else got >= 0)
    return isinstance(got, str) and re.fullmatch(_KINDS[kind], got) is not None
