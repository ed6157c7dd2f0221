"""Where sentences begin and end: in prose, lists, headings, lines wrapped at a width, and any script.

Rules, no model: a full stop ends a sentence unless an abbreviation, an initial, an ordinal or an open quotation
says otherwise, and a line break ends one unless the line was broken at a width. Takes linear time.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Sentence", "ends_as_sentence", "split_sentences"]


@dataclass(frozen=True)
class Sentence:
    """A sentence of a text, or a line that isn't one, such as a heading.

    Attributes:
        text: as one line, without ``marker``.
        start, end: its place in the text, in characters, with the marker.
        paragraph: number of the paragraph, list item or line that it stands in, from 0.
        marker: of a list item, heading or quoted line, such as ``-``, ``2.``, ``##`` or ``>``.
    """

    text: str
    start: int
    end: int
    paragraph: int
    marker: str = ""

    @property
    def complete(self) -> bool:
        """Whether it ends as a sentence does; a heading doesn't."""
        return ends_as_sentence(self.text)


_ENDS = ".!?…。！？｡।॥؟۔"
_CLOSING = "\"')]}»”’」』）】"
# Full stops and the like with the quotes and brackets that close behind them, before white space; and those
# of scripts that put none behind them. Possessive, for linear time.
_STOP = re.compile(
    rf"(?<![{_ENDS}])(?:[.!?…।॥؟۔]++(?:\s?»|[{re.escape(_CLOSING)}])*+(?=\s|$)"
    rf"|[。！？｡]++[{re.escape(_CLOSING)}]*+)"
)
_MARKER = re.compile(r"(?:[-*+•‣▪◦·–—]|\(?\d{1,3}[.)]|\(?[a-z][.)]|#{1,6}|>+)(?=\s)")
_WORD_CHARACTER = re.compile(r"\w")

# Lines are taken for wrapped at a width between these, in characters.
_NARROWEST, _WIDEST = 40, 120
# A longer quotation is no reason not to end a sentence within it.
_LONGEST_QUOTATION = 400

# Never the end of a sentence, without the last dot.
_TITLES = frozenset(
    "mr mrs ms mx dr prof st messrs rev hon gen col lt sgt capt sen rep gov pres supt m mme mlle hr fr dipl ing "
    "e.g i.e z.b d.h u.a o.ä p.ex c.-à-d cf al vs v viz resp bzw vgl inkl zzgl ca approx est fig figs eq eqs sec "
    "ch art ref refs tab sect".split()
)
# Not before a number.
_NUMBERED = frozenset(
    "no nos nr pp p vol op bd s n jan feb mar apr jun jul aug sep sept oct nov dec mär okt dez art ch §".split()
)
# Before a capital letter they end a sentence only if it begins like one.
_EITHER = frozenset("inc ltd co corp bros jr sr etc usw dept univ ave blvd rd assn mt ft gmbh".split())
_OPENERS = frozenset(
    "the a an this that these those it its he his she her they their we our i you your there here in on at by for "
    "from of to as if when while after before since although but and so then however meanwhile yet still also "
    "some many most all no not what who how why where der die das ein eine es er sie wir ich im am in le la les "
    "un une il elle nous el los una".split()
)
_CALENDAR = re.compile(
    r"(?:mon|tues|wednes|thurs|fri|satur|sun)day|january|february|march|april|may|june|july|august|september|october|"
    r"november|december|utc|gmt|[ecmp][sd]?t\b",
    re.IGNORECASE,
)
_BEFORE_ORDINAL = re.compile(r"\b(?:am|vom|zum|im|der|die|das|den|dem|des|bis|ab)\s+\d{1,2}$", re.IGNORECASE)


def split_sentences(text: str) -> list[Sentence]:
    """The sentences of a text in order, and the lines that are none. White space alone isn't one."""
    uncased = _is_uncased(text)
    found = []
    for paragraph, (start, end) in enumerate(_paragraphs(text)):
        marker = _MARKER.match(text, start, end)
        body = start if marker is None else _skip_space(text, marker.end(), end)
        at = start
        for stop in [*_ends(text, body, end, uncased), end]:
            words = " ".join(text[max(at, body) : stop].split())
            if words:
                found.append(
                    Sentence(words, at, stop, paragraph, marker.group() if marker and at == start else "")
                )
                at = _skip_space(text, stop, end)
    return found


def ends_as_sentence(text: str) -> bool:
    """Whether the last character, closing quotes and brackets aside, ends a sentence."""
    bare = text.rstrip(_CLOSING + " ")
    return bool(bare) and bare[-1] in _ENDS


def _skip_space(text: str, at: int, end: int) -> int:
    while at < end and text[at].isspace():
        at += 1
    return at


def _is_uncased(text: str) -> bool:
    """Whether sentences begin with small letters here, as in chats."""
    small = large = 0
    for match in re.finditer(r"[.!?]\s+(\w)", text):
        small += match[1].islower()
        large += match[1].isupper()
    return small > large


def _paragraphs(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each paragraph, list item or line; lines wrapped at a width are joined."""
    run: list[tuple[int, int]] = []  # lines without a blank one between them
    for match in re.finditer(r"[^\r\n\x0b\x0c\u2028\u2029]+|\r\n?|\n|[\x0b\x0c\u2028\u2029]", text):
        line = match.group()
        bare = line.strip()
        if bare:
            start = match.start() + len(line) - len(line.lstrip())
            run.append((start, start + len(bare)))
        elif run and text.count("\n", run[-1][1], match.end()) > 1:
            yield from _join_wrapped(text, run)
            run = []
    yield from _join_wrapped(text, run)


def _join_wrapped(text: str, lines: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    if not lines:
        return
    width = max(end - start for start, end in lines)
    begin, last = lines[0]
    for start, end in lines[1:]:
        if not _is_wrapped(text, begin, last, start, end, width):
            yield begin, last
            begin = start
        last = end
    yield begin, last


def _is_wrapped(text: str, begin: int, last: int, start: int, end: int, width: int) -> bool:
    """Whether the line from ``start`` goes on with the one that ends at ``last``."""
    if _MARKER.match(text, start, end) or not _WORD_CHARACTER.search(text, start, start + 40):
        return False
    before = last - max(text.rfind("\n", begin, last) + 1, begin)
    if before < _NARROWEST:
        return False
    if text[start].islower() and text[last - 1] not in _ENDS:
        return True
    word = text.find(" ", start, end)
    first = (end if word < 0 else word) - start
    return width <= _WIDEST and before + 1 + first > width


def _ends(text: str, start: int, end: int, uncased: bool) -> Iterator[int]:
    """Where sentences end within a paragraph, its end aside."""
    quotations = _quotations(text, start, end)
    opened = [pair[0] for pair in quotations]
    for match in _STOP.finditer(text, start, end):
        behind = _skip_space(text, match.end(), end)
        if behind >= end:
            return
        i = bisect_right(opened, match.start()) - 1
        if i >= 0 and quotations[i][1] >= match.end():
            continue
        if _is_end(text, start, match, text[behind : behind + 40], uncased):
            yield match.end()


def _quotations(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Start and end of the outermost quotations and brackets that are closed within the paragraph."""
    pairs: list[tuple[int, int]] = []
    stack: list[tuple[str, int]] = []
    for match in re.finditer(r"[\"“”„«»()\[\]「」『』（）【】]", text[start:end]):
        character, at = match.group(), start + match.start()
        if stack and character in _CLOSED_BY[stack[-1][0]]:
            opener = stack.pop()[1]
            if at - opener <= _LONGEST_QUOTATION:
                while pairs and pairs[-1][0] > opener:
                    pairs.pop()
                pairs.append((opener, at))
        elif character in _CLOSED_BY and not (character == '"' and text[max(start, at - 1)].isdigit()):
            stack.append((character, at))  # unless it stands for inches
    return pairs


_CLOSED_BY = {
    '"': '"', "“": "”", "„": "“”", "«": "»", "»": "«", "(": ")", "[": "]", "「": "」", "『": "』", "（": "）",
    "【": "】",
}  # fmt: skip


def _is_end(text: str, start: int, stop: re.Match[str], after: str, uncased: bool) -> bool:
    """Whether a stop that is followed by ``after`` ends a sentence."""
    mark = stop.group()
    if mark[0] in "。！？｡":
        # Behind a closing quotation the sentence may go on with who said it.
        return mark[-1] not in _CLOSING or after[0] in "「『“（" or text[stop.end()].isspace()
    if after[0] in ",;:–—-":
        return False
    if after[0].islower():
        return uncased and not mark.startswith(("..", "…")) and not _is_abbreviation(text, start, stop, after)
    return mark != "." or not _is_abbreviation(text, start, stop, after)


def _is_abbreviation(text: str, start: int, stop: re.Match[str], after: str) -> bool:
    head = text[max(start, stop.start() - 24) : stop.start()]
    word = re.split(r"[\s(\[\"“„‘'/«»]", head)[-1]
    bare = word.casefold()
    if bare in _TITLES or _BEFORE_ORDINAL.search(head):
        return True
    if bare in _NUMBERED and after[0].isdigit():
        return True
    begins = re.match(r"\w+", after)
    opens = begins is not None and begins.group().casefold() in _OPENERS
    if bare in ("a.m", "p.m"):
        return not after[0].isupper() or _CALENDAR.match(after) is not None
    if bare in ("etc", "usw"):
        return not after[0].isupper()
    if bare in _EITHER or re.fullmatch(r"(?:\w\.)+\w", word):
        return not opens
    return len(word) == 1 and word.isupper() and word.isascii() and not opens  # an initial
