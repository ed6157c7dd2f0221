"""Standard data sets by name: ``sst2:dev``, ``multi30k:test2016:en-de``, ``wikitext2:valid@/path/to/it``.

None is in the package. Files are looked for in ``NLPSUITE_DATA`` (by default where dialogues are saved, the
platform's directory for a user's data), under their authors' names.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpsuite.data.compression import split_suffixes
from nlpsuite.data.tables import Rows, Table
from nlpsuite.errors import InputInvalidError, InputNotFoundError
from nlpsuite.paths import history_path

if TYPE_CHECKING:
    from nlpsuite.data.dataset_rows import ReadRows

__all__ = ["Dataset", "datasets", "open_dataset"]

_LANGUAGES = {
    "cs": ("Czech", "ces"),
    "de": ("German", "deu"),
    "en": ("English", "eng"),
    "es": ("Spanish", "spa"),
    "fr": ("French", "fra"),
    "it": ("Italian", "ita"),
    "nl": ("Dutch", "nld"),
    "pt": ("Portuguese", "por"),
}
_COMPRESSIONS = ("", ".gz", ".zst")
# Where a problem's function ends: Chen et al. 2021 (arXiv:2107.03374), of whose stops the task takes one.
_FUNCTION = {"max_tokens": 384, "stop": "\ndef "}


@dataclass(frozen=True)
class Dataset:
    """A standard data set.

    Attributes:
        name: as users type it.
        task: that it is meant for; ``lm`` for plain text, whose perplexity is measured.
        summary: one line, for people.
        files: names that each file may have, the authors' first.
        folders: in the directory of data, where they may be.
        published: where its authors publish it.
        rows: name of a function of ``dataset_rows``, and its keywords.
        text, reference, id, options: as in ``Table``.
    """

    name: str
    task: str
    summary: str
    files: tuple[tuple[str, ...], ...]
    folders: tuple[str, ...]
    published: str
    rows: str
    keywords: Mapping[str, Any] = field(default_factory=dict)
    text: str = "text"
    reference: str = "reference"
    id: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


def datasets() -> dict[str, Dataset]:
    """All standard data sets by name, in display order. Reads no file."""
    every = [*_sst2(), *_multi30k(), *_scitldr(), *_code(), *_wikitext(), *_tatoeba()]
    return {dataset.name: dataset for dataset in every}


def open_dataset(name: str) -> Table:
    """The table of a standard data set.

    Args:
        name: as ``datasets`` has it, optionally followed by ``@`` and a path: of its file, or of the
            directory with its files.

    Raises:
        InputInvalidError: there is no such data set; lists similar ones.
        InputNotFoundError: a file is missing; says where it was looked for and where it is published.
    """
    wanted, _, place = name.partition("@")
    every = datasets()
    if wanted not in every:
        close = difflib.get_close_matches(wanted, every, n=1, cutoff=0.5)
        meant = f"Did you mean {close[0]!r}? " if close else ""
        raise InputInvalidError(
            f"There is no data set {wanted!r}.", hint=f"{meant}Data sets: {', '.join(_alike(wanted, every))}."
        )
    dataset = every[wanted]
    files = tuple(_find(dataset, names, place) for names in dataset.files)

    def read() -> Rows:
        from nlpsuite.data import dataset_rows

        rows: ReadRows = getattr(dataset_rows, dataset.rows)
        return rows(files, **dataset.keywords)

    return Table(
        wanted,
        files,
        {"format": "dataset", "dataset": wanted, "version": 1},
        read,
        text=(dataset.text,),
        reference=dataset.reference,
        id=dataset.id,
        options=dataset.options,
    )


def _alike(wanted: str, names: Iterable[str]) -> list[str]:
    """The names of the same collection; of an unknown one, a name of each."""
    collection = wanted.partition(":")[0]
    if alike := [name for name in names if name.partition(":")[0] == collection]:
        return alike
    firsts: dict[str, str] = {}
    for name in names:
        firsts.setdefault(name.partition(":")[0], name)
    return list(firsts.values())


def _find(dataset: Dataset, names: Sequence[str], place: str) -> Path:
    if place:
        path = Path(place).expanduser()
        if path.is_file() and len(dataset.files) == 1:
            return path
        folders = [path]
    else:
        home = history_path().parent
        folders = [home / folder for folder in (*dataset.folders, "")]
    for folder in folders:
        for name in names:
            if (folder / name).is_file():
                return folder / name
    looked = ", ".join(str(folder) for folder in folders)
    plain = " or ".join(name for name in names if split_suffixes(name)[1] == "" or len(names) == 1)
    raise InputNotFoundError(
        f"The data set {dataset.name} needs a file {plain} (compressed or not); there is none in {looked}.",
        hint=f"It is published at {dataset.published}. Put it there, set NLPSUITE_DATA to the directory of "
        f"your data, or give its path: {dataset.name}@PATH",
    )


def _compressed(*names: str) -> tuple[str, ...]:
    return tuple(name + compression for name in names for compression in _COMPRESSIONS)


def _sst2() -> list[Dataset]:
    return [
        Dataset(
            f"sst2:{split}",
            "sentiment",
            f"sentences of film reviews, positive or negative: {rows} rows",
            (_compressed(f"{split}.tsv"),),
            ("sentiment/sst2_glue", "SST-2", "sst2"),
            "https://gluebenchmark.com/tasks (SST-2)",
            "sst2",
        )
        for split, rows in (("dev", "872"), ("train", "67,349"))
    ]


def _multi30k() -> list[Dataset]:
    pairs = [("en", "de"), ("en", "fr"), ("en", "cs"), ("de", "en"), ("fr", "en"), ("cs", "en")]
    pairs += [("de", "fr"), ("fr", "de")]
    splits = (
        ("test2016", "test_2016_flickr", "1,000"),
        ("val", "val", "1,014"),
        ("train", "train", "29,000"),
    )
    return [
        Dataset(
            f"multi30k:{split}:{source}-{target}",
            "translate",
            f"captions of pictures, {_LANGUAGES[source][0]} to {_LANGUAGES[target][0]}: {rows} rows",
            tuple(_compressed(f"{file}.{language}") for language in (source, target)),
            ("translation/multi30k", "multi30k", "data/task1/raw"),
            "https://github.com/multi30k/dataset (data/task1/raw)",
            "aligned",
            options=_languages(source, target),
        )
        for split, file, rows in splits
        for source, target in pairs
    ]


def _scitldr() -> list[Dataset]:
    return [
        Dataset(
            f"scitldr:{split}",
            "summarize",
            f"abstracts of papers, one sentence to sum them up: {rows} rows",
            (_compressed(f"{split}.jsonl"),),
            ("summarization/scitldr_a", "SciTLDR-A", "scitldr"),
            "https://github.com/allenai/scitldr (SciTLDR-Data/SciTLDR-A)",
            "scitldr",
            id="paper_id",
            options={"length": "short"},
        )
        for split, rows in (("dev", "619"), ("train", "1,992"))
    ]


def _code() -> list[Dataset]:
    return [
        Dataset(
            "humaneval",
            "complete",
            "Python functions to be written, with tests: 164 rows",
            (_compressed("HumanEval.jsonl"),),
            ("code/humaneval", "humaneval"),
            "https://github.com/openai/human-eval (data/HumanEval.jsonl.gz)",
            "humaneval",
            text="prompt",
            reference="canonical_solution",
            id="task_id",
            options=_FUNCTION,
        ),
        Dataset(
            "humaneval-infilling:single-line",
            "complete",
            "Python functions of which a line is missing: 1,033 rows",
            (_compressed("HumanEval-SingleLineInfilling.jsonl"),),
            ("code/humaneval_infilling", "humaneval-infilling"),
            "https://github.com/openai/human-eval-infilling (data)",
            "infilling",
            text="prompt",
            id="task_id",
            options={"max_tokens": 96, "stop": "\n"},
        ),
    ]


def _wikitext() -> list[Dataset]:
    return [
        Dataset(
            f"wikitext2:{split}",
            "lm",
            f"articles of Wikipedia, in words: {rows} rows",
            (_compressed(f"wiki.{split}.tokens", f"{split}.txt"),),
            ("lm/wikitext2", "wikitext-2", "wikitext2"),
            "https://github.com/pytorch/examples (word_language_model/data/wikitext-2; Merity et al. 2016, "
            "arXiv:1609.07843)",
            "wikitext",
            reference="",
        )
        for split, rows in (("valid", "60"), ("test", "60"))
    ]


def _tatoeba() -> list[Dataset]:
    found = []
    for code in ("de", "fr", "es", "it", "nl", "pt"):
        long_code = _LANGUAGES[code][1]
        for source, target in (("en", code), (code, "en")):
            found.append(
                Dataset(
                    f"tatoeba:{source}-{target}",
                    "translate",
                    f"short sentences, {_LANGUAGES[source][0]} to {_LANGUAGES[target][0]}, each with all its "
                    "translations",
                    ((f"{long_code}-eng.zip",),),
                    (f"translation/tatoeba_en_{code}", "tatoeba"),
                    "https://www.manythings.org/anki/",
                    "tatoeba",
                    {"name": f"{long_code}.txt", "backwards": source != "en"},
                    options=_languages(source, target),
                )
            )
    return found


def _languages(source: str, target: str) -> dict[str, str]:
    return {"from_": _LANGUAGES[source][0], "to": _LANGUAGES[target][0]}
