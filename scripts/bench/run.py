"""What every measurement gets: the provider, how thorough to be, and a place to say what is going on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from scripts.bench.processes import Provider


@dataclass
class Run:
    """One run of the benchmark."""

    provider: Provider
    quick: bool
    say: Callable[[str], None]

    def rounds(self, full: int, quick: int) -> int:
        """How often to repeat."""
        return quick if self.quick else full
