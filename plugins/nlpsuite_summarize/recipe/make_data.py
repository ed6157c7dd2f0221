"""Training texts and summaries for the adapter of summarize: SciTLDR's training part and texts written for it.

    python make_data.py DATA OUTPUT

DATA holds ``scitldr_a/train.jsonl`` and ``dev.jsonl`` (Apache-2.0); papers that share a run of 13 words with the latter are left
out, most of them by the same authors. ``written.jsonl``, beside this script, has texts of fourteen kinds with a
summary of one sentence and one of two or three; both are this project's own (Apache-2.0). Their main point is seldom in the
first sentence, so that the adapter learns to look for it. Written to OUTPUT: ``train.jsonl`` and ``heldout.jsonl``, with the
fields text, summary and length.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

from nlpsuite.plugins import OverlapIndex

Row = dict[str, str]

HELDOUT_PER_KIND = 2
REPEATS = 2  # of the written texts, beside four times as many of SciTLDR's


def scitldr(path: Path) -> list[Row]:
    """Abstracts of papers and their summaries of one sentence."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        paper = json.loads(line)
        text = " ".join(sentence.strip() for sentence in paper["source"])
        rows += [{"text": text, "summary": target.strip(), "length": "short"} for target in paper["target"]]
    return rows


def without(rows: list[Row], others: list[Row]) -> list[Row]:
    """The rows that share no run of words with any of the others."""
    index = OverlapIndex()
    for number, row in enumerate(others):
        index.add(number, row["text"])
        index.add(number, row["summary"])
    return [row for row in rows if not (index.shares(row["text"]) or index.shares(row["summary"]))]


def written() -> tuple[list[Row], list[Row]]:
    """Texts of this project with both summaries: to learn from, and held out."""
    path = Path(__file__).with_name("written.jsonl")
    learnt: list[Row] = []
    heldout: list[Row] = []
    seen: dict[str, int] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        kind = entry["kind"]
        seen[kind] = seen.get(kind, 0) + 1
        target = heldout if seen[kind] <= HELDOUT_PER_KIND else learnt
        target += [
            {"text": entry["text"], "summary": entry[length], "length": length}
            for length in ("short", "medium")
        ]
    return learnt, heldout


def write(path: Path, rows: list[Row]) -> None:
    """A JSONL file."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    learnt, heldout = written()
    papers = arguments.data / "scitldr_a"
    rows = without(scitldr(papers / "train.jsonl"), scitldr(papers / "dev.jsonl")) + REPEATS * learnt
    random.Random(arguments.seed).shuffle(rows)
    arguments.output.mkdir(parents=True, exist_ok=True)
    write(arguments.output / "train.jsonl", rows)
    write(arguments.output / "heldout.jsonl", heldout)
    print(f"{len(rows):,} rows, {len(heldout)} held out")


if __name__ == "__main__":
    main()
