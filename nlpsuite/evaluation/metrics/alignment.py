"""What two sequences have in common, by the bits of whole numbers: thousands of items take milliseconds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence

__all__ = ["edit_distance", "subsequence_length", "subsequence_places"]


def subsequence_length(a: Sequence[Hashable], b: Sequence[Hashable]) -> int:
    """The length of the longest common subsequence."""
    last = (1 << len(a)) - 1
    for last in _steps(a, b):  # noqa: B007
        pass
    return len(a) - last.bit_count()


def subsequence_places(a: Sequence[Hashable], b: Sequence[Hashable]) -> list[int]:
    """Where in ``a`` a longest common subsequence lies, the last place first.

    Of several it is the one that is found going back from both ends, one step in ``a`` where that loses
    nothing, else one in ``b``: the one that the package rouge-score takes.
    """
    steps = list(_steps(a, b))
    places: list[int] = []
    if not steps or steps[-1].bit_count() == len(a):
        return places
    i, j = len(a) - 1, len(b) - 1
    while i >= 0 and j >= 0:
        if a[i] == b[j]:
            places.append(i)
            i, j = i - 1, j - 1
        elif steps[j] >> i & 1:  # a[:i] has as much in common with b[:j + 1] as a[:i + 1]
            i -= 1
        else:
            j -= 1
    return places


def _steps(a: Sequence[Hashable], b: Sequence[Hashable]) -> Iterator[int]:
    """For each beginning of ``b`` a number whose bit i is 0 if a[:i + 1] has one more in common with it than
    a[:i] (Hyyrö 2004).
    """
    places = _places(a)
    everything = open_places = (1 << len(a)) - 1
    for item in b:
        matches = open_places & places.get(item, 0)
        if matches:
            open_places = ((open_places + matches) | (open_places - matches)) & everything
        yield open_places


def _places(a: Sequence[Hashable]) -> dict[Hashable, int]:
    """Item to number whose bit i is set if it is a[i]."""
    places: defaultdict[Hashable, int] = defaultdict(int)
    for i, item in enumerate(a):
        places[item] |= 1 << i
    return places


def edit_distance(a: str, b: str) -> int:
    """The fewest insertions, deletions and replacements of a character that make ``b`` of ``a`` (Levenshtein
    1966), by Myers (1999) in the form of Hyyrö (2003).
    """
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    end = 0
    while end < min(len(a), len(b)) - start and a[-1 - end] == b[-1 - end]:
        end += 1
    a, b = a[start : len(a) - end], b[start : len(b) - end]
    if not a or not b:
        return len(a) + len(b)
    places = _places(a)
    everything, last = (1 << len(a)) - 1, 1 << (len(a) - 1)
    # Bit i of these: the column of distances goes up, or down, by 1 from i characters of a to i + 1.
    up, down = everything, 0
    distance = len(a)
    for character in b:
        matches = places.get(character, 0)
        diagonal = (((matches & up) + up) ^ up) | matches | down
        # The same from one character of b to the next.
        more, less = down | ~(diagonal | up) & everything, up & diagonal
        distance += bool(more & last) - bool(less & last)
        more, less = (more << 1 | 1) & everything, less << 1 & everything
        up, down = less | ~(diagonal | more) & everything, more & diagonal
    return distance
