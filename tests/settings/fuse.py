"""Dying in mid-work, inside this process: what a killed process leaves, without the process."""

from __future__ import annotations


class Killed(BaseException):
    """The process is gone: nothing after this runs."""


class Fuse:
    """Counts the steps of a store (``Step``) and dies at the given one; None never."""

    def __init__(self, at: int | None) -> None:
        self.left = at
        self.passed: list[str] = []

    def __call__(self, name: str) -> None:
        self.passed.append(name)
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Killed
