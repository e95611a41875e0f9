"""The order in which implementations are timed."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

Name = TypeVar("Name")


def in_turns(names: Sequence[Name], turns: int) -> Iterator[tuple[int, Name]]:
    """Yields each name in each turn, with the turn's number from 0.

    A machine whose speed drifts then treats all alike. No name always follows the same other one,
    whose leftovers it would bear.
    """
    for turn in range(turns):
        first = turn % len(names)
        for name in (*names[first:], *names[:first]):
            yield turn, name
