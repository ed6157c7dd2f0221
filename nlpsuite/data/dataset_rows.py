"""Rows of standard data sets, from the files that their authors publish."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from nlpsuite.data.compression import reading_errors
from nlpsuite.data.lines import read_aligned, read_lines
from nlpsuite.data.reading import try_rows
from nlpsuite.data.tables import Rows
from nlpsuite.errors import InputInvalidError

__all__ = ["ReadRows", "aligned", "humaneval", "infilling", "scitldr", "sst2", "tatoeba", "wikitext"]

ReadRows: TypeAlias = Callable[[Sequence[Path]], Rows]

_SENTIMENTS = {"0": "negative", "1": "positive"}
_TITLE = re.compile(r" = [^=].* = \r?\n|\A = [^=] = \r?\n")


def _mapped(path: Path, suffix: str, change: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Rows:
    """Rows of a file, each changed; one that lacks a required value is damaged."""
    for line, values in try_rows(suffix, path):
        if isinstance(values, InputInvalidError):
            yield line, values
            continue
        try:
            changed = change(values)
        except (KeyError, TypeError) as error:
            yield line, InputInvalidError(f"{path}:{line}: not a row of this data set: {error}.")
        else:
            yield line, changed


def sst2(files: Sequence[Path]) -> Rows:
    """GLUE's TSV: ``sentence`` (``content`` in some copies) and ``label``, 0 or 1."""

    def change(values: Mapping[str, Any]) -> Mapping[str, Any]:
        text = values["sentence"] if "sentence" in values else values["content"]
        return {"text": text, "reference": _SENTIMENTS[values["label"]]}

    return _mapped(files[0], "tsv", change)


def scitldr(files: Sequence[Path]) -> Rows:
    """The sentences of an abstract as one text; one summary or several as the reference."""

    def change(values: Mapping[str, Any]) -> Mapping[str, Any]:
        text = " ".join(sentence.strip() for sentence in values["source"])
        title = {"title": values["title"]} if "title" in values else {}
        return {"paper_id": values["paper_id"], **title, "text": text, "reference": list(values["target"])}

    return _mapped(files[0], "jsonl", change)


def humaneval(files: Sequence[Path]) -> Rows:
    """Problems as they are, with the columns of their tests."""
    names = ("task_id", "prompt", "entry_point", "canonical_solution", "test")
    return _mapped(files[0], "jsonl", lambda values: {name: values[name] for name in names})


def infilling(files: Sequence[Path]) -> Rows:
    """Problems with a missing line; the reference is that line without its end, with which the suffix begins."""
    names = ("task_id", "prompt", "suffix", "entry_point", "test")

    def change(values: Mapping[str, Any]) -> Mapping[str, Any]:
        line = values["canonical_solution"].removesuffix("\n")
        found = {name: values[name] for name in names}
        end = values["canonical_solution"][len(line) :]
        return {**found, "suffix": end + found["suffix"], "reference": line}

    return _mapped(files[0], "jsonl", change)


def aligned(files: Sequence[Path]) -> Rows:
    """Two files whose lines correspond."""
    return read_aligned(files[0], files[1], ("text", "reference"))


def wikitext(files: Sequence[Path]) -> Rows:
    """Articles, each from its title on. Together they are the file, character for character."""
    [path] = files
    begins, lines, titled, blank = 1, [""], False, True
    for number, line in read_lines(path):
        is_title = blank and bool(_TITLE.fullmatch(line))
        if is_title and titled:
            yield begins, _article(lines)
            begins, lines = number, [""]
        titled, blank = titled or is_title, not line.strip()
        lines.append(line)
    if len(lines) > 1:
        yield begins, _article(lines)


def _article(lines: Sequence[str]) -> dict[str, str]:
    title = next((line.strip(" =\r\n") for line in lines if line.strip()), "")
    return {"title": title, "text": "".join(lines)}


def tatoeba(files: Sequence[Path], name: str, source: str) -> Rows:
    """A row for each distinct sentence, in the file's order, with all its translations.

    Args:
        name: of the file in the archive: English, translation and perhaps more, with tabs between.
        source: the language of the sentences; unless it is ``en``, English is the translation.
    """
    translations: dict[str, tuple[int, list[str]]] = {}
    for number, line in _zipped_lines(files[0], name):
        cells = line.rstrip("\r\n").split("\t")
        if len(cells) < 2:
            raise InputInvalidError(f"{files[0]}: {name}:{number}: there is no translation.")
        text, translation = cells[:2] if source == "en" else reversed(cells[:2])
        known = translations.setdefault(text, (number, []))[1]
        if translation not in known:
            known.append(translation)
    for text, (number, found) in translations.items():
        yield number, {"text": text, "reference": found}


def _zipped_lines(path: Path, name: str) -> Iterator[tuple[int, str]]:
    try:
        with reading_errors(path), zipfile.ZipFile(path) as archive, archive.open(name) as file:
            yield from enumerate(io.TextIOWrapper(file, "utf-8-sig", newline="\n"), start=1)
    except KeyError:
        raise InputInvalidError(
            f"{path} has no file {name}.", hint="Is it the archive of another pair?"
        ) from None
    except (zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise InputInvalidError(f"{path} is damaged: {error}.", hint="Download it again.") from None
