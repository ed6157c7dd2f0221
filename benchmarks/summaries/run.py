"""Summaries of the 40 texts, one method and length per run, to be read and judged.

    python benchmarks/summaries/run.py --method extract > extract.md

Each text is followed by its summary. README.md has the verdicts of a reader.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import nlpsuite
from nlpsuite import Record

TEXTS = Path(__file__).with_name("texts.jsonl")


def main() -> None:
    """Print the texts with their summaries."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--method", default="extract", choices=("extract", "abstract", "instruct"))
    parser.add_argument("--length", default="medium", choices=("short", "medium", "long"))
    parser.add_argument("--adapter", help="a file from `nlpsuite train adapter`, for --method abstract")
    arguments = parser.parse_args()
    texts = [json.loads(line) for line in TEXTS.read_text(encoding="utf-8").splitlines()]
    summarize = nlpsuite.load(
        "summarize", adapter=arguments.adapter, method=arguments.method, length=arguments.length
    )
    results = summarize.run_batch([Record(entry["text"]) for entry in texts])
    for entry, result in zip(texts, results):
        print(f"## {entry['id']}\n\n{entry['text']}\n\n**Summary:** {result.output.text}\n")


if __name__ == "__main__":
    main()
