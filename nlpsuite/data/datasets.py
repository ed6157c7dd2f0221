"""Standard data sets by name: ``sst2:dev``, ``multi30k:test2016:en-de``, ``wikitext2:valid@/path/to/it``.

``datasets.toml`` lists them; the data itself isn't in the package. Files are looked for under their authors' names in
``NLPSUITE_DATA``, by default the platform's directory for a user's data, where dialogues are saved too.
"""

from __future__ import annotations

import difflib
import functools
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpsuite.data.compression import COMPRESSIONS
from nlpsuite.data.tables import Rows, Table
from nlpsuite.errors import InputInvalidError, InputNotFoundError
from nlpsuite.paths import history_path

if TYPE_CHECKING:
    from nlpsuite.data.dataset_rows import ReadRows

__all__ = ["Dataset", "datasets", "open_dataset"]


@dataclass(frozen=True)
class Dataset:
    """A standard data set.

    Attributes:
        name: as users type it.
        task: that it is meant for; ``lm`` for plain text, whose perplexity is measured.
        summary: one line, for people.
        files: names that each file may have, the authors' first; a compression suffix may follow.
        folders: in the directory of data, where they may be.
        published: where its authors publish it.
        rows: name of a function of ``dataset_rows``, and its keywords.
        text, reference, id, options, option_columns: as in ``Table``.
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
    option_columns: Mapping[str, str] = field(default_factory=dict)


@functools.cache
def datasets() -> Mapping[str, Dataset]:
    """All standard data sets by name, in display order. Looks for none of their files."""
    table = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    every = (_variants(collection, table["languages"]) for collection in table["collections"])
    return {dataset.name: dataset for dataset in chain.from_iterable(every)}


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
        option_columns=dataset.option_columns,
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
            for compression in ("", *(f".{suffix}" for suffix in COMPRESSIONS)):
                if (path := folder / (name + compression)).is_file():
                    return path
    looked = ", ".join(str(folder) for folder in folders)
    raise InputNotFoundError(
        f"The data set {dataset.name} needs a file {' or '.join(names)} (compressed or not); there is none in {looked}.",
        hint=f"It is published at {dataset.published}. Put it there, set NLPSUITE_DATA to the directory of "
        f"your data, or give its path: {dataset.name}@PATH",
    )


def _variants(collection: dict[str, Any], languages: Mapping[str, Sequence[str]]) -> Iterator[Dataset]:
    splits, pairs = collection.pop("splits", [{}]), collection.pop("pairs", [""])
    for split, pair in product(splits, pairs):
        values = split | (_pair_values(pair, languages) if pair else {})
        yield Dataset(**_filled(collection, values))


def _pair_values(pair: str, languages: Mapping[str, Sequence[str]]) -> dict[str, str]:
    source, target = pair.split("-")
    foreign = target if source == "en" else source
    return {
        "source": source,
        "target": target,
        "from": languages[source][0],
        "to": languages[target][0],
        "foreign": foreign,
        "foreign3": languages[foreign][1],
    }


def _filled(part: Any, values: Mapping[str, str]) -> Any:
    """A part of a template with the values in its texts, and lists as tuples."""
    if isinstance(part, str):
        return part.format_map(values)
    if isinstance(part, list):
        return tuple(_filled(inner, values) for inner in part)
    return {key: _filled(inner, values) for key, inner in part.items()} if isinstance(part, dict) else part
