"""A corpus: documents from text files, tables, folders and standard input, and a part held out.

What counts as a document:

- a text file, whatever its suffix; one of more than 16 million characters is given in several
  documents, cut at a paragraph's end, so that a file of any size can be read
- a row of a table (JSONL, JSON, CSV, TSV, Parquet and what plugins read): the text in one of its columns
- standard input (``-``), read as one text file

Files may be compressed (``.gz``, ``.zst``). Of a folder, the files with the suffixes of ``SUFFIXES`` are
read, at any depth, in sorted order, without hidden ones; other files, such as source code, are named one by
one or with a pattern (``'src/**/*.py'``). Line ends become ``\\n``.
"""

from __future__ import annotations

import glob
import io
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from nlpsuite.data.columns import Selection
from nlpsuite.data.compression import split_suffixes
from nlpsuite.data.examples import good_rows, is_blank, located, record_of
from nlpsuite.data.reading import has_reader
from nlpsuite.data.record import check_unicode
from nlpsuite.data.sources import files_below, open_table
from nlpsuite.data.text import display_name, known_encoding, read_blocks
from nlpsuite.errors import InputInvalidError, InputNotFoundError, OptionError

__all__ = ["SUFFIXES", "Corpus", "Document", "read_corpus", "split_corpus"]

SUFFIXES = ("txt", "text", "md", "jsonl", "ndjson")
"""The files that are read in a folder, compressed or not."""

# Where a text may be cut, best first: after a paragraph, a line, a word.
_ENDS = (re.compile(r"\n[ \t]*\n"), re.compile(r"\n"), re.compile(r"\s+"))


@dataclass(frozen=True)
class Document:
    """A text and where it came from: a path, ``path:line`` or ``standard input``."""

    text: str
    source: str


class Corpus:
    """The documents of some sources. Each iteration reads them anew; nothing is kept in memory.

    Standard input and pipes can be read only once, so their documents are kept.
    Make one with ``read_corpus``. Iterating raises what ``read_corpus`` says.
    """

    def __init__(self, files: Sequence[str], text_key: str, encoding: str, longest: int) -> None:
        self.files = tuple(files)
        self._text_key = text_key
        self._encoding = encoding
        self._longest = longest
        self._kept: dict[str, list[Document]] = {}

    def __iter__(self) -> Iterator[Document]:
        empty = True
        for file in self.files:
            for document in self._documents(file):
                empty = False
                yield document
        if empty:
            what = (
                display_name(self.files[0]) if len(self.files) == 1 else f"Each of {len(self.files):,} files"
            )
            raise InputInvalidError(f"{what} is empty.", hint="There must be some text to learn from.")

    def _documents(self, file: str) -> Iterable[Document]:
        if file in self._kept:
            return self._kept[file]
        documents = self._rows(file) if _is_table(file) else self._texts(file)
        if file == "-" or not os.path.isfile(file):
            return self._kept.setdefault(file, list(documents))
        return documents

    def _texts(self, file: str) -> Iterator[Document]:
        """A text file as one document, or as several if it is very long."""
        name, part = display_name(file), 1
        waiting: list[str] = []
        length = 0
        line_ends = io.IncrementalNewlineDecoder(None, translate=True)
        for block in map(line_ends.decode, read_blocks(file, self._encoding)):
            waiting.append(block)
            length += len(block)
            if length <= self._longest:
                continue
            rest = "".join(waiting)
            while len(rest) > self._longest:
                at = _cut(rest, self._longest // 2, self._longest, self._longest) or self._longest
                check_unicode(rest[:at], name)
                yield Document(rest[:at], f"{name} (part {part})")
                rest, part = rest[at:], part + 1
            waiting, length = [rest], len(rest)
        text = "".join(waiting) + line_ends.decode("", final=True)
        check_unicode(text, name)
        if text.strip():
            yield Document(text, name if part == 1 else f"{name} (part {part})")

    def _rows(self, file: str) -> Iterator[Document]:
        table = open_table(file, encoding=self._encoding_of(file))
        for line, values in good_rows(table):
            with located(table, line):
                if self._text_key not in values:
                    raise InputInvalidError(
                        f"There is no column {self._text_key!r}.",
                        hint=f"Columns: {', '.join(values) or 'none'}. Name the text's: --text-key KEY.",
                    )
                if is_blank(values[self._text_key]):
                    continue
                text = record_of(values, Selection((self._text_key,))).text
            yield Document(text, f"{file}:{line}")

    def _encoding_of(self, file: str) -> str:
        return "utf-8" if split_suffixes(file)[0] == "parquet" else self._encoding


def _is_table(file: str) -> bool:
    suffix = split_suffixes(file)[0]
    return suffix != "txt" and os.path.isfile(file) and has_reader(suffix)


def read_corpus(
    sources: Sequence[str],
    *,
    text_key: str = "text",
    encoding: str = "utf-8",
    longest: int = 1 << 24,
) -> Corpus:
    """The documents of ``sources``, in their order; a file that is named twice is read once.

    Args:
        sources: files, folders, patterns such as ``'src/**/*.py'``, or ``-``.
        text_key: the column with the text, in tables.
        encoding: of all text files; a byte order mark takes precedence.
        longest: characters of a document of a text file.

    Raises:
        InputNotFoundError: missing, not readable, or a folder without such files.
        InputInvalidError: binary, wrongly encoded, a row that is damaged or lacks the column, or no text at
            all. Raised while iterating, with the byte's offset or ``file:line``.
        OptionError: there is no such encoding.
    """
    known_encoding(encoding)
    files: dict[str, str] = {}
    for source in sources:
        for file in _find_files(source):
            files.setdefault(file if file == "-" else os.path.realpath(file), file)
    if not files:
        raise InputNotFoundError(
            "No corpus is given.", hint="Name files or folders, or - for standard input."
        )
    return Corpus(list(files.values()), text_key, encoding, longest)


def split_corpus(documents: Iterable[Document], fraction: float = 0.1) -> tuple[Iterable[str], Iterable[str]]:
    """Two parts of a corpus, to train on and to hold out. Depends on its arguments alone.

    - If ``fraction`` of the documents is at least two of them, whole documents are held out,
      evenly spaced by position: each tenth for 0.1. A document that equals a held-out one, word
      for word, is left out of the training part.
    - Otherwise the end of each document is held out, cut at the paragraph's end that is nearest
      to the fraction; at a line's or a word's end where there is no paragraph's near.

    Args:
        documents: a ``Corpus`` or a list is read again for each part; an iterator is kept in memory.

    Returns:
        The texts to train on and the texts held out, which can be iterated any number of times.

    Raises:
        OptionError: ``fraction`` is not between 0 and 0.5.
        InputInvalidError: a part would be empty.
    """
    if not 0 < fraction <= 0.5:
        raise OptionError(
            f"{fraction} of the corpus can't be held out.", hint="Give a part up to 0.5, such as 0.1."
        )
    if isinstance(documents, Iterator):
        documents = list(documents)
    count, characters = 0, 0
    heldout: set[bytes] = set()
    for i, document in enumerate(documents):
        count, characters = count + 1, characters + len(document.text)
        if _is_held_out(i, fraction):
            heldout.add(_digest(document.text))

    def whole_train() -> Iterator[str]:
        for i, document in enumerate(documents):
            if not _is_held_out(i, fraction) and _digest(document.text) not in heldout:
                yield document.text

    def whole_heldout() -> Iterator[str]:
        return (document.text for i, document in enumerate(documents) if _is_held_out(i, fraction))

    def beginnings() -> Iterator[str]:
        return (document.text[: _end(document.text, fraction)] for document in documents)

    def ends() -> Iterator[str]:
        texts = (document.text[_end(document.text, fraction) :] for document in documents)
        return (text for text in texts if text)

    makers = (whole_train, whole_heldout) if int(count * fraction) >= 2 else (beginnings, ends)
    train, held = _Texts(makers[0]), _Texts(makers[1])
    for part, purpose in ((train, "train on"), (held, "hold out")):
        if not any(text.strip() for text in part):
            raise InputInvalidError(
                f"The corpus is too small: {count:,} document{'s' * (count != 1)}, {characters:,} characters, and "
                f"nothing to {purpose} after {fraction:.0%} is held out.",
                hint="Give more text, or texts to validate on of their own.",
            )
    return train, held


class _Texts:
    """Texts that are made again for each iteration."""

    def __init__(self, make: Callable[[], Iterator[str]]) -> None:
        self._make = make

    def __iter__(self) -> Iterator[str]:
        return self._make()


def _is_held_out(position: int, fraction: float) -> bool:
    return int((position + 1) * fraction) > int(position * fraction)


def _digest(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=16).digest()


def _end(text: str, fraction: float) -> int:
    """Where the part to train on ends; the whole text if it can't be cut."""
    at = _cut(
        text,
        int(len(text) * (1 - 1.5 * fraction)),
        int(len(text) * (1 - fraction)),
        int(len(text) * (1 - 0.5 * fraction)),
    )
    return at or len(text)


def _cut(text: str, low: int, target: int, high: int) -> int | None:
    """The end of a paragraph in ``text[low:high]`` that is nearest to ``target``; or of a line; or of a word."""
    for pattern in _ENDS:
        if ends := [match.end() for match in pattern.finditer(text, low, high)]:
            return min(ends, key=lambda end: abs(end - target))
    return None


def _find_files(source: str) -> list[str]:
    """The files that a source names: a file, a folder, a pattern or ``-``; sorted.

    Raises:
        InputNotFoundError: there are none, or they can't be read.
    """
    if source == "-":
        return ["-"]
    try:
        if os.path.isdir(source):
            return _texts_in(source)
        os.stat(source)
        return [source]
    except FileNotFoundError:
        if not glob.has_magic(source):
            raise InputNotFoundError(
                f"There is no file or folder {source}.", hint="Check the name."
            ) from None
    except (OSError, ValueError) as error:
        raise InputNotFoundError(
            f"Can't read {source}: {getattr(error, 'strerror', None) or error}."
        ) from None
    if found := sorted(file for file in glob.glob(source, recursive=True) if os.path.isfile(file)):
        return found
    raise InputNotFoundError(f"No file matches {source}.", hint="Check the pattern.")


def _texts_in(folder: str) -> list[str]:
    names = files_below(Path(folder))
    found = [os.path.join(folder, name) for name in names if split_suffixes(name)[0] in SUFFIXES]
    if found:
        return found
    hint = f"Of a folder, {', '.join(f'.{suffix}' for suffix in SUFFIXES)} files are read."
    if names:
        [(suffix, count)] = Counter(Path(name).suffix or Path(name).name for name in names).most_common(1)
        hint += f" For its {count:,} {suffix} files, name them: '{folder.rstrip('/')}/**/*{suffix}'."
    raise InputNotFoundError(f"The folder {folder} has no text files.", hint=hint)
