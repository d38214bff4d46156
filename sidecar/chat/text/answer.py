"""One answer while it streams: deltas in, stored text and patches out (app contract 6, 7.10; protocol page 6).

The way of a piece::

    reasoning --> neutralise tags --+
                                    +--> clean attributes --> substitute (text only) --> PatchLog
    text ---------------------------+

Cleaning works on the whole answer, as the app does; substitution looks at cleaned text outside reasoning, and a key
is not found across a reasoning block. The work per delta depends on the delta alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from sidecar.chat.text.cleaning import TAG_START, TagScanner, clean_full_response, possible_start
from sidecar.chat.text.patches import Patch, PatchLog
from sidecar.chat.text.substitution import Substituter

THINK_OPEN = "<think>"
THINK_CLOSE = "</think>"

_REPLACEMENT = "\ufffd"
_NEUTRALISED = re.compile("<(?=/?scalix|/?think>)")
_NEUTRALISED_TAGS = ("<scalix", "</scalix", THINK_OPEN, THINK_CLOSE)
_NEUTRALISED_STARTS = frozenset(tag[:length] for tag in _NEUTRALISED_TAGS for length in range(1, len(tag)))


class AnswerText:
    """Turns the model's deltas into the text the user sees and the row that is saved.

    * Reasoning is wrapped in ``<think>`` and ``</think>``, nothing added around them. Text after reasoning closes
      the block first, ``finish`` closes one left open.
    * Inside reasoning ``<scalix`` and ``</scalix`` lose their bracket to U+FF1C, so that nothing thought about is
      carried out. Our addition: a literal ``<think>`` or ``</think>`` in reasoning loses it too, so that the model
      cannot close the block early.
    * Brackets in attribute values of ``<scalix-...>`` tags become full-width as they arrive (see ``cleaning``).
      Should a tag turn out never to end, one patch with a smaller offset takes that back.
    * ``substitutions``: the first occurrence of each key is replaced.

    However the deltas are cut, the result is the same. What might be the beginning of something longer (a tag, a key,
    half a surrogate pair) is held back until that is known: at most 7 characters of reasoning or text, or a key's
    length less one. A surrogate without its partner becomes U+FFFD.
    """

    __slots__ = (
        "_half",
        "_held",
        "_held_reasoning",
        "_log",
        "_plain",
        "_scanner",
        "_substitute",
        "_substituter",
        "_tag_pieces",
        "_tag_substituter",
        "_thinking",
    )

    def __init__(self, substitutions: Mapping[str, str] | None = None) -> None:
        self._log = PatchLog()
        self._substituter = Substituter(substitutions or {})
        self._thinking = False
        self._substitute = True
        """Whether what passes the cleaning now may hold keys: text does, reasoning and reports do not."""
        self._half = ""
        """A high surrogate waiting for its partner."""
        self._held_reasoning = ""
        self._held = ""
        """A possible beginning of ``<scalix-``; always empty inside a tag."""
        self._scanner: TagScanner | None = None
        """Set while inside an opening tag; then the log's mark is at its ``<``."""
        self._tag_pieces: list[tuple[str, bool]] = []
        """The raw text since that ``<``, each piece with its ``_substitute``."""
        self._tag_substituter: tuple[dict[str, str], str] = ({}, "")
        self._plain = True
        """No block or tag is open and nothing is held back: text without special characters just passes."""

    # --- in --------------------------------------------------------------------------------------------------------

    def text(self, delta: str) -> None:
        """A piece of the answer proper. Closes an open thinking block."""
        if self._plain and "<" not in delta and delta.isascii() and not self._substituter.concerns(delta):
            if delta:
                self._log.pending.append(delta)
            return
        if not delta:
            return
        self.close_reasoning()
        self._clean(self._well_formed(delta), substitute=True)
        self._settle_plain()

    def reasoning(self, delta: str) -> None:
        """A piece of reasoning. Opens a thinking block when none is open."""
        if not delta:
            return
        if not self._thinking:
            self._release_half()
            self._clean(THINK_OPEN, substitute=False)
            self._thinking = True
            self._plain = False
        elif "<" not in delta and delta.isascii() and not (self._held_reasoning or self._half or self._scanner):
            self._log.pending.append(delta)
            return
        text = _NEUTRALISED.sub("＜", self._held_reasoning + self._well_formed(delta))
        at = text.rfind("<")
        if at >= 0 and text[at:] in _NEUTRALISED_STARTS:
            text, self._held_reasoning = text[:at], text[at:]
        else:
            self._held_reasoning = ""
        self._clean(text, substitute=False)

    def close_reasoning(self) -> None:
        """Close the thinking block if one is open: for any event that is not reasoning."""
        if not self._thinking:
            return
        self._release_half()
        self._clean(self._held_reasoning + THINK_CLOSE, substitute=False)
        self._held_reasoning = ""
        self._thinking = False
        self._settle_plain()

    def append_raw(self, text: str) -> None:
        """Add text of our own, such as a problem report: cleaned, without substitution.

        Whatever the model left open is settled first, so that its unfinished tag cannot swallow the report.
        """
        if text:
            self._settle()
            self._clean(self._well_formed(text), substitute=False)
            self._settle_plain()

    def finish(self) -> str:
        """Close the thinking block, release what is held back, and return the final text.

        Equals ``clean_full_response`` of all that came in (reasoning wrapped and neutralised, surrogates repaired)
        when there are no substitutions. Take the last patch afterwards.
        """
        self._settle()
        return self._log.text

    # --- out -------------------------------------------------------------------------------------------------------

    @property
    def visible(self) -> str:
        """What a receiver of all patches holds after the next one; an open thinking block is still open in it."""
        return self._log.text

    @property
    def value(self) -> str:
        """What ``finish`` would return now: the text to save if the stream ended here. Work: one join."""
        if self._plain and not self._substituter.held:
            return self._log.text
        if self._thinking and not (self._held_reasoning or self._half or self._held or self._scanner):
            return self._log.text + THINK_CLOSE
        return self._copy().finish()

    @property
    def length_utf16(self) -> int:
        """Length of ``visible`` in UTF-16 code units."""
        return self._log.length

    @property
    def visible_changed(self) -> bool:
        """Whether ``take_patch`` would give one."""
        return self._log.changed

    @property
    def thinking(self) -> bool:
        """Whether a thinking block is open."""
        return self._thinking

    def take_patch(self) -> Patch | None:
        """Everything visible since the last patch taken, as one; None when nothing changed."""
        return self._log.take()

    # --- surrogates ------------------------------------------------------------------------------------------------

    def _well_formed(self, delta: str) -> str:
        """The delta without lone surrogates: halves of a pair are joined, across deltas too."""
        if not self._half and delta.isascii():
            return delta
        delta, self._half = self._half + delta, ""
        try:
            delta.encode()
        except UnicodeEncodeError:
            if "\ud800" <= delta[-1] <= "\udbff":
                delta, self._half = delta[:-1], delta[-1]
            return delta.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return delta

    def _release_half(self) -> None:
        """The partner of a half surrogate pair did not come."""
        if self._half:
            self._half = ""
            if self._thinking:
                self._held_reasoning += _REPLACEMENT
            else:
                self._clean(_REPLACEMENT, substitute=True)

    # --- cleaning --------------------------------------------------------------------------------------------------

    def _clean(self, text: str, *, substitute: bool) -> None:
        """Pass well-formed text through the cleaning, tag by tag."""
        if substitute != self._substitute:
            self._release_held()
            if self._substitute:
                self._log.append(self._substituter.flush())
            self._substitute = substitute
        text, self._held = self._held + text, ""
        position = 0
        while position < len(text):
            if self._scanner is None:
                start = text.find(TAG_START, position)
                if start < 0:
                    hold = possible_start(text, position)
                    self._emit(text[position:hold])
                    self._held = text[hold:]
                    return
                self._emit(text[position:start])
                self._open_tag()
                self._emit(TAG_START)
                self._tag_pieces = [(TAG_START, substitute)]
                position = start + len(TAG_START)
            else:
                position = self._inside_tag(self._scanner, text, position)

    def _inside_tag(self, scanner: TagScanner, text: str, position: int) -> int:
        """Pass on what belongs to the open tag; returns the index reached."""
        cleaned, reached, ended = scanner.feed(text, position)
        self._emit(cleaned)
        self._tag_pieces.append((text[position:reached], self._substitute))
        if ended:
            if scanner.rewritten_in_vain:
                self._take_back_tag()
            self._close_tag()
        return reached

    def _open_tag(self) -> None:
        self._scanner = TagScanner()
        self._log.mark()
        self._tag_substituter = (self._substituter.remaining, self._substituter.held)

    def _close_tag(self) -> None:
        self._scanner = None
        self._tag_pieces = []
        self._log.unmark()

    def _take_back_tag(self) -> None:
        """Rewind to the tag's ``<`` and emit again what the reference makes of the raw text since."""
        pieces = self._tag_pieces
        cleaned = clean_full_response("".join(piece for piece, _ in pieces))
        self._log.rewind()
        self._substituter.remaining, self._substituter.held = self._tag_substituter
        substitute_after = self._substitute
        self._substitute = pieces[0][1]
        position = 0
        for piece, substitute in pieces:
            if self._substitute and not substitute:
                self._log.append(self._substituter.flush())
            self._substitute = substitute
            self._emit(cleaned[position : position + len(piece)])
            position += len(piece)
        self._substitute = substitute_after

    def _emit(self, text: str) -> None:
        """Substitute if due, and append."""
        if self._substitute and self._substituter.concerns(text):
            text = self._substituter.feed(text)
        self._log.append(text)

    # --- settling --------------------------------------------------------------------------------------------------

    def _release_held(self) -> None:
        held, self._held = self._held, ""
        if held:
            self._emit(held)

    def _settle(self) -> None:
        """End everything open, as if the answer ended here."""
        self.close_reasoning()
        self._release_half()
        if self._scanner is not None:
            if self._scanner.rewritten:
                self._take_back_tag()
            self._close_tag()
        self._release_held()
        if self._substitute:
            self._log.append(self._substituter.flush())
        self._substitute = True
        self._plain = True

    def _settle_plain(self) -> None:
        self._plain = not (self._thinking or self._half or self._held or self._scanner) and self._substitute

    def _copy(self) -> AnswerText:
        """An independent copy of the state, to look ahead with."""
        other = AnswerText()
        _ = self._log.text  # joins the pieces, so that copying them is cheap
        other._log = self._log.copy()
        other._substituter.remaining, other._substituter.held = self._substituter.remaining, self._substituter.held
        other._thinking, other._substitute, other._plain = self._thinking, self._substitute, self._plain
        other._half, other._held, other._held_reasoning = self._half, self._held, self._held_reasoning
        other._scanner = self._scanner.copy() if self._scanner else None
        other._tag_pieces, other._tag_substituter = self._tag_pieces.copy(), self._tag_substituter
        return other
