"""What the build takes from the modules that every sidecar imports: their docstrings, and nothing else."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest

from scripts.hooks.docstrings import without_docstrings

SOURCE = textwrap.dedent(
    '''\
    """What it is about."""
    from __future__ import annotations

    from dataclasses import dataclass


    @dataclass
    class Point:
        """Where something is."""

        x: Unknown = 0


    class Other:
        """Nothing but this."""


    def told(text="said"):
        """said"""
        assert text, "there is a text"
        return text + "said"


    async def later():
        """First."""
        """Second."""
        return told.__code__.co_firstlineno
    '''
)


def run(source: str) -> dict[str, Any]:
    space: dict[str, Any] = {"__name__": __name__}
    exec(without_docstrings(source.encode(), "somewhere.py"), space)
    return space


def test_functions_classes_and_the_module_have_none_and_data_classes_keep_theirs() -> None:
    space = run(SOURCE)
    assert [space.get("__doc__"), space["Other"].__doc__, space["told"].__doc__, space["later"].__doc__] == [None] * 4
    assert space["Point"].__doc__ == "Where something is."
    assert "Nothing but this." not in str(without_docstrings(SOURCE.encode(), "x").co_consts)


def test_the_code_does_what_it_did() -> None:
    space = run(SOURCE)
    assert space["told"]() == "saidsaid"
    assert space["told"].__code__.co_firstlineno == SOURCE.splitlines().index('def told(text="said"):') + 1
    with pytest.raises(AssertionError, match="there is a text"):
        space["told"]("")


def test_a_text_behind_the_docstring_of_a_module_does_not_become_one() -> None:
    assert run('"""First."""\n"""Second."""\n')["__doc__"] == "First."
