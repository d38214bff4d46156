"""Going on with an answer that stopped inside a file (app contract 7.11; upstream asks by a user message).

Vendors differ in whether a pre-filled assistant turn is accepted, so the model gets its partial answer back and a user
message asking for the rest. Models then tend to repeat: the last lines, the code fence, the opening tag, sometimes the
whole file. ``OverlapTrimmer`` removes what is repeated, so that the file is joined without a seam.
"""

from __future__ import annotations

import re

from sidecar.chat.text.cleaning import tag_end
from sidecar.chat.text.tags import open_write, tag_attributes, without_thinking

_REST = (
    "Send only the rest, starting with the very next character after the last one you wrote. Repeat nothing, do not "
    "open the tag or a code fence again, add no remark, and close every tag that is still open."
)
CONTINUE_PROMPT = f"Your previous answer did not finish completely: it stopped inside a file. {_REST}"
"""The user message that follows a partial answer whose last file is open."""

GO_ON_PROMPT = f"Your previous answer did not finish completely: the connection broke. {_REST}"
"""The user message that follows a partial answer that was cut anywhere."""

OVERLAP_LIMIT = 2000
"""How many characters of the partial answer's end a continuation may repeat and have removed."""

OVERLAP_MINIMUM = 12
"""Fewer repeated characters than this, white space not counted, are a repetition only from the start of a line on."""

_LINE_MINIMUM = 4
_RESTART_MINIMUM = 40
_WRITE = "<scalix-write"
_WRITE_CLOSE = "</scalix-write>"
_FENCE = re.compile(r"```[^\n`]{0,40}\n")
_FENCE_START = re.compile(r"`{1,2}\Z|```[^\n`]{0,40}\Z")
_TAG_LIMIT = 2000
_CLOSERS = re.compile(r"(?:\s|</[\w.:-]+>|/?>|[\])};,'\"`])*+")
_SEVERAL_WORDS = re.compile(r"\s*+\S*?\w\S*+\s++\S")
_MARKDOWN = (".md", ".mdx", ".markdown")


class OverlapTrimmer:
    """Removes from the start of a continuation what the partial answer already has.

    ``feed`` each text delta and append what it returns; ``finish`` at the end. The beginning is held back until it is
    clear how much of it is a repetition; from then on deltas pass through.

    1. While the partial answer is inside a write: a leading code fence goes (it may be content in a Markdown file, and
       stays there), and so does an opening tag for the same path. One for another path is a new file and stays.
    2. The longest end of the partial answer (at most ``OVERLAP_LIMIT`` characters) that the continuation begins with
       goes, if it has ``OVERLAP_MINIMUM`` characters, is a whole line, or is all there is of the last line and either
       more than one word or one that goes on; and is more than closing brackets.
    3. White space at the partial answer's very end is not sent to the model, which sees it trimmed; so what of it the
       continuation begins with goes too.
    4. After a re-opened tag the model may write the file from the start again. As far as it is the same it goes; when
       it differs, the first attempt's element is closed and the second one stands after it, which wins when applied.
    """

    __slots__ = (
        "_begun",
        "_body",
        "_fence_goes",
        "_held",
        "_opening",
        "_path",
        "_preamble",
        "_restart",
        "_start",
        "_tail",
        "_through",
    )

    def __init__(self, partial: str) -> None:
        """``partial``: the whole text so far, not trimmed; thinking in it is ignored."""
        partial = without_thinking(partial)
        start = open_write(partial)
        self._path: str | None = None
        self._body = ""
        self._begun = True
        """Something stands after the tag, a line break at least."""
        if start is not None:
            end = partial.find(">", start) + 1
            self._path = tag_attributes(partial[start:end]).get("path")
            self._begun = end < len(partial)
            self._body = partial[end:].lstrip("\n")
        self._fence_goes = not (self._path or "").lower().endswith(_MARKDOWN)
        self._tail = partial[-OVERLAP_LIMIT:]
        self._held = ""
        self._preamble = start is not None
        """Still looking for a fence or tag at the start."""
        self._opening = ""
        """The opening tag that was dropped."""
        self._start = 0
        """First place in the tail from where all of ``_held`` fits; -1 when none is left."""
        self._restart = -1
        """How many characters of ``_held`` repeat the file from its start; -1 when it does not."""
        self._through = False

    def feed(self, delta: str) -> str:
        """Take the next delta; returns what to append now."""
        if self._through:
            return delta
        self._held += delta
        if self._preamble and not self._strip_preamble(final=False):
            return ""
        return self._decide(final=False)

    def finish(self) -> str:
        """The continuation is over; returns what was held back and is no repetition."""
        if self._through:
            return ""
        if self._preamble:
            self._strip_preamble(final=True)
        return "" if self._through else self._decide(final=True)

    # --- fence and tag ---------------------------------------------------------------------------------------------

    def _strip_preamble(self, *, final: bool) -> bool:
        """Drop fence and tag from the start of ``_held``; False when more has to arrive first."""
        while True:
            lead = self._held.lstrip()
            if not final and (not lead or self._may_become_preamble(lead)):
                return False
            if self._fence_goes and (fence := _FENCE.match(lead)):
                self._held = lead[fence.end() :]
            elif not self._opening and (end := self._reopened(lead)):
                self._opening = lead[:end]
                self._held = lead[end:]
                self._restart = 0
            else:
                if self._opening and self._begun:
                    self._held = self._held.lstrip("\n")  # the line break after the tag is there already
                self._preamble = False
                return True

    def _may_become_preamble(self, lead: str) -> bool:
        if self._fence_goes and _FENCE_START.match(lead):
            return True
        if self._opening or len(lead) > _TAG_LIMIT:
            return False
        return _WRITE.startswith(lead) or (lead.startswith(_WRITE) and _end_of_tag(lead) < 0)

    def _reopened(self, lead: str) -> int:
        """Length of the opening tag at the start if it is one for the same path, else 0."""
        if not lead.startswith(_WRITE):
            return 0
        end = _end_of_tag(lead)
        same = end > 0 and self._path is not None and tag_attributes(lead[:end]).get("path") == self._path
        return end if same else 0

    # --- overlap ---------------------------------------------------------------------------------------------------

    def _decide(self, *, final: bool) -> str:
        held = self._held
        if self._start >= 0 and held:
            self._start = self._tail.find(held, self._start)
        if self._restart >= 0:
            self._follow_restart()
        undecided = self._start >= 0 or self._restart == len(held)
        if undecided and not final:
            return ""
        self._through = True
        self._held = ""
        return self._joined(held)

    def _follow_restart(self) -> None:
        """Compare what is new in ``_held`` with the file's start, each character once."""
        held, body, known = self._held, self._body, self._restart
        if body.startswith(held[known:], known):
            self._restart = len(held)
            return
        end = min(len(held), len(body))
        while known < end and held[known] == body[known]:
            known += 1
        self._restart = known

    def _joined(self, held: str) -> str:
        """What is left of the held text once the repetition is gone."""
        if 0 <= self._restart == min(len(self._body), len(held)) and self._restart:
            return held[self._restart :]
        overlap = _overlap(self._tail, held[:OVERLAP_LIMIT])
        if _is_repetition(self._tail, overlap, held[overlap : overlap + 1]):
            return held[overlap:]
        if self._restart >= _RESTART_MINIMUM:
            return f"\n{_WRITE_CLOSE}\n{self._opening}\n{held}"
        unseen = self._tail[len(self._tail.rstrip()) :]
        return held[_overlap(unseen, held[: len(unseen)]) :]


def _end_of_tag(lead: str) -> int:
    return tag_end(lead, 0, lead.rfind(">"))


def _overlap(tail: str, start: str) -> int:
    """Length of the longest end of ``tail`` that ``start`` begins with; linear (Knuth, Morris, Pratt)."""
    if not start:
        return 0
    borders = [0] * len(start)
    length = 0
    for index in range(1, len(start)):
        while length and start[index] != start[length]:
            length = borders[length - 1]
        length += start[index] == start[length]
        borders[index] = length
    length = 0
    for character in tail:
        while length and (length == len(start) or character != start[length]):
            length = borders[length - 1]
        length += character == start[length]
    return length


def _is_repetition(tail: str, overlap: int, after: str) -> bool:
    """Whether the last ``overlap`` characters are enough to be a repetition rather than text that happens to be alike.

    ``after`` is the continuation's next character. Files end in runs of closing brackets and tags, so those prove
    nothing. A line that had just begun does: models like to start that line again. If there is no more of it than one
    word, then only where the line goes on.
    """
    repeated = tail[len(tail) - overlap :]
    if _CLOSERS.fullmatch(repeated):
        return False
    significant = len("".join(repeated.split()))
    if significant >= OVERLAP_MINIMUM:
        return True
    if tail[: len(tail) - overlap][-1:] not in ("\n", ""):
        return False
    if repeated.endswith("\n"):
        return significant >= _LINE_MINIMUM
    one_word_goes_on = any(map(str.isalpha, repeated)) and after not in ("", "\n")
    return one_word_goes_on or _SEVERAL_WORDS.match(repeated) is not None
