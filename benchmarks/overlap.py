"""Does training data hold evaluation data? Shares, examples, and exit code 1 if there is any overlap.

    python benchmarks/overlap.py train.jsonl --against humaneval --against humaneval-infilling:single-line \\
        --join text,completion,suffix
    python benchmarks/overlap.py train.tsv --against multi30k:test2016:en-de --against multi30k:val:en-de --lines

Training files and evaluation sets are anything that `nlpsuite score` reads. Every column with texts is looked at;
those named by --join are joined in that order first, so that a run of words across their borders counts too.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from nlpsuite.data.examples import good_rows
from nlpsuite.data.overlap import NGRAM, OverlapIndex
from nlpsuite.data.sources import open_table
from nlpsuite.errors import NlpsuiteError

SHOWN = 5


def texts(values: Any, joined: Sequence[str] = ()) -> Iterator[str]:
    """The texts of a row: of the joined columns one, and of each other column, or item of a list in it, another."""
    if joined:
        yield "".join(str(values.get(column) or "") for column in joined)
    for column, value in values.items():
        if column not in joined:
            yield from (
                item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str)
            )


def check(
    train: Sequence[str], against: str, ngram: int, joined: Sequence[str], columns: Sequence[str]
) -> int:
    """Print what training files share with an evaluation set; returns the number of its rows that are concerned."""
    index = OverlapIndex(ngram)
    rows = 0
    for number, (_, values) in enumerate(good_rows(open_table(against))):
        rows += 1
        for text in texts({name: values[name] for name in columns} if columns else values):
            index.add(number, text)
    concerned: set[int] = set()
    units: set[str] = set()
    examples: list[str] = []
    trained = touched = 0
    for name in train:
        for line, values in good_rows(open_table(name)):
            trained += 1
            found = [hit for text in texts(values, joined) for hit in index.found(text)]
            touched += bool(found)
            for numbers, unit in found:
                if unit not in units and len(examples) < SHOWN:
                    examples.append(f"    {name}:{line} and row {min(numbers) + 1:,}: {unit[:120]}")
                concerned |= numbers
                units.add(unit)
    kind = f"runs of {ngram} words" if ngram else "lines"
    print(
        f"{against}: {len(concerned):,} of {rows:,} rows ({len(concerned) / max(1, rows):.2%}) share "
        f"{len(units):,} of {len(index):,} {kind} with {touched:,} of {trained:,} training rows"
    )
    print("\n".join(examples), end="\n" if examples else "")
    return len(concerned)


def main() -> int:
    """Check every set; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("train", nargs="+", metavar="TRAIN")
    parser.add_argument(
        "--against", action="append", required=True, metavar="DATA", help="evaluation set; repeatable"
    )
    parser.add_argument(
        "--ngram", type=int, default=NGRAM, metavar="N", help=f"words in a run (default {NGRAM})"
    )
    parser.add_argument("--lines", action="store_true", help="compare whole lines instead, as for sentences")
    parser.add_argument("--join", default="", metavar="COLUMNS", help="columns of the training files to join")
    parser.add_argument(
        "--columns", default="", metavar="COLUMNS", help="columns of the evaluation sets to look at"
    )
    given = parser.parse_args()
    if given.ngram < 1:
        parser.error("--ngram must be 1 or more")
    joined, columns = ([name for name in text.split(",") if name] for text in (given.join, given.columns))
    ngram = 0 if given.lines else given.ngram
    try:
        overlaps = [check(given.train, name, ngram, joined, columns) for name in given.against]
    except (NlpsuiteError, KeyError) as error:
        print(error, file=sys.stderr)
        return 2
    return int(any(overlaps))


if __name__ == "__main__":
    sys.exit(main())
