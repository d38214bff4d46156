"""Answers without a model: a prompt that holds ``[scalix-qa=<key>]`` gets a fixed text (app contract 7.7).

The app's own checks, and whoever shows it without a key, rely on them. The app looks for the mark anywhere in the
prompt, in every build. Here that is so in a test build only; elsewhere the mark must be the whole prompt, so that
nobody who merely mentions one gets a made-up answer. A mark with a key nobody knows is ordinary text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

import anyio

WORD_INTERVAL_S: Final = 0.010

_MARK: Final = re.compile(r"\[scalix-qa=([^\]]+)\]")

ANSWERS: Final[Mapping[str, str]] = {
    "ts-error": """\
This file does not compile: it calls what is not there.
<scalix-write path="src/bad-file.ts" description="Holds a type error on purpose">
import { nothing } from "./does-not-exist";

const answer: number = "forty-two";
export const wrong = nothing.at(answer).all;
</scalix-write>
That was all.""",
    "add-dep": """\
The app needs one more package.
<scalix-add-dependency packages="nanoid"></scalix-add-dependency>
That was all.""",
    "add-non-existing-dep": """\
The app needs a package that no registry has.
<scalix-add-dependency packages="@scalix-qa/there-is-no-such-package"></scalix-add-dependency>
That was all.""",
    "add-multiple-deps": """\
The app needs two more packages.
<scalix-add-dependency packages="nanoid date-fns"></scalix-add-dependency>
That was all.""",
    "write": """\
One small file, and nothing else changes.
<scalix-write path="src/greeting.ts" description="Says <hello>">
export const greeting = "Hello, world!";
</scalix-write>
That was all.""",
    "string-literal-leak": """\
Every kind of string must stay inside the file.
<scalix-write path="src/components/Quotes.tsx" description="Strings of every kind, as in title=&quot;a&quot;">
const single = 'it\\'s a "quote"';
const double = "</p> is no tag here, nor is \\"<scalix-file>\\"";
const template = `first line
${single} and \\`ticks\\``;

export const Quotes = () => <p title="a > b">{[single, double, template].join("\\n")}</p>;
</scalix-write>
Nothing of it may show up in the chat.""",
}
"""The text of each key."""


def canned_answer(prompt: str, *, test_build: bool) -> str | None:
    """The fixed answer that the raw ``prompt`` asks for; None when it is a model's to give."""
    found = _MARK.search(prompt) if test_build else _MARK.fullmatch(prompt.strip())
    return None if found is None else ANSWERS.get(found[1])


async def recite(answer: str, say: Callable[[str], object]) -> None:
    """Say ``answer`` as the app does: word by word, a space after each, 10 ms apart. Stops when it is cancelled."""
    for word in answer.split(" "):
        say(f"{word} ")
        await anyio.sleep(WORD_INTERVAL_S)
