"""The receiver of patches (protocol page 6), as the app's renderer has it: written apart from the sender on purpose."""

from __future__ import annotations

from sidecar.chat.text.patches import Patch


class PatchMismatch(ValueError):
    """The receiver's text is not the one the patch was made for: it has to fetch the whole text again."""


def apply_patch(text: str, patch: Patch) -> str:
    """What a receiver holds after the patch, with JavaScript's indexing.

    Raises ``PatchMismatch`` when the text is shorter than the offset or its hash is another one.
    """
    units = text.encode("utf-16-le", "surrogatepass")
    prefix = units[: patch.offset * 2]
    if patch.offset * 2 > len(units):
        raise PatchMismatch(f"The text has {len(units) // 2} UTF-16 units, the patch starts at {patch.offset}.")
    if patch.prefix_hash is not None and _hash(prefix) != patch.prefix_hash:
        raise PatchMismatch(f"The first {patch.offset} UTF-16 units are not those the patch was made for.")
    return prefix.decode("utf-16-le", "surrogatepass") + patch.content


def _hash(units: bytes) -> int:
    """As the contract says it: ``h = 5381; h = (h * 33) ^ unit``, over 32 bits."""
    h = 5381
    for at in range(0, len(units), 2):
        h = (h * 33 ^ int.from_bytes(units[at : at + 2], "little")) & 0xFFFFFFFF
    return h
