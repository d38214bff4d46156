"""Chunks to texts, as a renderer does it, checking every rule of protocol page 6 on the way.

Coalescing makes the number of chunks vary; the text they rebuild does not. This is written without the sidecar's own
patch code, so that a mistake there shows here.
"""

from __future__ import annotations

import bisect
import sys
from array import array
from typing import Any, Final

Json = dict[str, Any]

CHUNK: Final = "chat:response:chunk"
TERMINALS: Final = frozenset({"chat:response:end", "chat:response:error"})

_SEED: Final = 5381
_UTF16: Final = f"utf-16-{sys.byteorder[0]}e"  # the array's byte order, without a byte order mark
_LOW, _HIGH = (0xDC00, 0xDFFF), (0xD800, 0xDBFF)


class ContractBroken(Exception):
    """The sidecar sent something the protocol does not allow; the message says what."""


class RebuiltText:
    """A text of UTF-16 code units under patches. Work per patch is that of its content."""

    def __init__(self) -> None:
        self._units = array("H")
        self._ends = [0]
        """Offsets of known hashes, ascending; a hash is known after every patch."""
        self._hashes = [_SEED]
        self._text: str | None = ""

    def __len__(self) -> int:
        return len(self._units)

    def __str__(self) -> str:
        if self._text is None:
            self._text = self._units.tobytes().decode(_UTF16, "surrogatepass")
        return self._text

    def replace(self, text: str) -> None:
        """Begin anew with a whole text."""
        self._units = array("H")
        self._ends, self._hashes = [0], [_SEED]
        self._append(text)

    def patch(self, offset: int, content: str, prefix_hash: int | None) -> None:
        """``text = text.slice(0, offset) + content``. Raises ``ContractBroken``."""
        if not 0 <= offset <= len(self._units):
            raise ContractBroken(f"a patch begins at {offset}, the text has {len(self._units)} UTF-16 units")
        if (prefix_hash is None) is not (offset == 0):
            raise ContractBroken(f"a patch at offset {offset} has prefixHash {prefix_hash}")
        self._cut(offset)
        if prefix_hash is not None and self._hashes[-1] != prefix_hash:
            raise ContractBroken(
                f"prefixHash is {prefix_hash}, the first {offset} UTF-16 units hash to {self._hashes[-1]}"
            )
        self._append(content)

    def _cut(self, offset: int) -> None:
        if offset == len(self._units):
            return
        if offset and _HIGH[0] <= self._units[offset - 1] <= _HIGH[1] and _LOW[0] <= self._units[offset] <= _LOW[1]:
            raise ContractBroken(f"a patch begins at {offset}, inside a surrogate pair")
        keep = bisect.bisect_right(self._ends, offset)
        del self._ends[keep:], self._hashes[keep:]
        rest = self._units[self._ends[-1] : offset]
        del self._units[offset:]
        self._remember(rest)

    def _append(self, content: str) -> None:
        units = array("H", content.encode(_UTF16, "surrogatepass"))
        self._units.extend(units)
        self._remember(units)

    def _remember(self, units: array[int]) -> None:
        """The hash after ``units``: djb2 with xor over 32 bits, as the renderer computes it."""
        hashed = self._hashes[-1]
        for unit in units:
            hashed = (hashed * 33 ^ unit) & 0xFFFFFFFF
        self._ends.append(len(self._units))
        self._hashes.append(hashed)
        self._text = None


class FoldedStream:
    """One stream as the host knows it."""

    def __init__(self, first: Json) -> None:
        self.chat_id: int = first["chatId"]
        self.stream_id: str = first["streamId"]
        self.message_id: int = first["messages"][-1]["id"]
        self.text = RebuiltText()
        self.text.replace(first["messages"][-1]["content"])
        self.seq = 0
        self.chunks = 1
        self.content_units = 0
        """UTF-16 units of text sent in patches and arrays after the first chunk."""
        self.ended = False

    def chunk(self, params: Json) -> None:
        """A later chunk. Raises ``ContractBroken``."""
        self.chunks += 1
        if "messages" in params:
            last = params["messages"][-1]
            if last["id"] != self.message_id or last["role"] != "assistant":
                raise ContractBroken(f"the last row of a chunk is {last['id']} ({last['role']}), not the answer's")
            self.text.replace(last["content"])
            self.content_units += len(self.text)
            return
        if params["streamingMessageId"] != self.message_id:
            raise ContractBroken(f"a patch is for message {params['streamingMessageId']}, not {self.message_id}")
        patch = params["streamingPatch"]
        if patch["content"] == "" and patch["offset"] == len(self.text):
            raise ContractBroken("a patch changes nothing")
        self.text.patch(patch["offset"], patch["content"], patch.get("prefixHash"))
        self.content_units += len(self.text) - patch["offset"]


class Folder:
    """Takes every frame of a connection in order; knows every stream."""

    def __init__(self) -> None:
        self._streams: dict[str, FoldedStream] = {}
        self._newest: dict[int, FoldedStream] = {}

    def stream(self, chat_id: int) -> FoldedStream | None:
        """The chat's newest stream."""
        return self._newest.get(chat_id)

    def take(self, frame: Json) -> tuple[Json | None, str | None]:
        """The frame as sessions show it (None when it was folded away), and the rebuilt text if it is a stream's.

        Raises ``ContractBroken``.
        """
        params = frame.get("params")
        if "id" in frame or not isinstance(params, dict) or "streamId" not in params:
            return frame, None
        if frame["method"] not in TERMINALS and frame["method"] != CHUNK:
            return frame, None
        stream = self._streams.get(params["streamId"])
        if stream is None:
            return self._first(frame, params), None
        self._count(stream, frame["method"], params)
        if frame["method"] == CHUNK:
            stream.chunk(params)
            return None, None
        stream.ended = True
        return _without_seq(frame), str(stream.text)

    def _first(self, frame: Json, params: Json) -> Json:
        method = frame["method"]
        if method != CHUNK or params.get("seq") != 0 or not params.get("messages"):
            raise ContractBroken(
                f"a stream begins with {method}, seq {params.get('seq')}, not with a chunk of all rows"
            )
        if params["messages"][-1]["role"] != "assistant" or params["messages"][-1]["content"] != "":
            raise ContractBroken("the last row of a first chunk is not the empty answer")
        stream = FoldedStream(params)
        self._streams[stream.stream_id] = self._newest[stream.chat_id] = stream
        return _without_seq(frame)

    def _count(self, stream: FoldedStream, method: str, params: Json) -> None:
        if stream.ended:
            raise ContractBroken(f"{method} after the stream's last word (chat {stream.chat_id})")
        if params["chatId"] != stream.chat_id:
            raise ContractBroken(f"{method} of stream {stream.stream_id} names chat {params['chatId']}")
        stream.seq += 1
        if params.get("seq") != stream.seq:
            raise ContractBroken(f"{method} has seq {params.get('seq')}, {stream.seq} was due (chat {stream.chat_id})")


def _without_seq(frame: Json) -> Json:
    return {**frame, "params": {key: value for key, value in frame["params"].items() if key != "seq"}}
