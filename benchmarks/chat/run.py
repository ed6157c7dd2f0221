"""Right answers of chat to sixty plain questions, for one or several settings.

    python benchmarks/chat/run.py                                   # as shipped
    python benchmarks/chat/run.py --system "" --temperature 0 --show

``questions.jsonl`` lists the accepted answers. An answer counts if one of them occurs in its first sentence or its first
fifteen words, as whole words, whatever the case: whoever buries it in an essay has not answered a plain question.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from pathlib import Path

import nlpsuite

QUESTIONS = Path(__file__).with_name("questions.jsonl")


def is_right(text: str, accepted: list[str]) -> bool:
    """Whether the beginning of an answer holds an accepted one."""
    sentence = re.split(r"(?<=[.!?])\s|\n", text.strip(), maxsplit=1)[0]
    words = " ".join(text.split()[:15])
    beginning = sentence if len(sentence) > len(words) else words
    return any(
        re.search(rf"(?<!\w){re.escape(answer)}(?!\w)", beginning, re.IGNORECASE if len(answer) > 2 else 0)
        for answer in accepted
    )


def main() -> None:
    """Print how many are right, by kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--system", help="the system prompt; empty for none")
    parser.add_argument("--temperature", type=float)
    parser.add_argument("--repetition-penalty", type=float)
    parser.add_argument("--min-p", type=float)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", action="store_true", help="print every answer")
    parser.add_argument("--threads", type=int, default=0)
    arguments = parser.parse_args()
    names = ("system", "temperature", "repetition_penalty", "min_p", "seed")
    options = {name: value for name in names if (value := getattr(arguments, name)) is not None}
    chat = nlpsuite.load("chat", model=arguments.model, threads=arguments.threads, max_tokens=80, **options)
    questions = [json.loads(line) for line in QUESTIONS.read_text(encoding="utf-8").splitlines()]
    outputs = chat.map([question["question"] for question in questions])
    right: Counter[str] = Counter()
    for question, output in zip(questions, outputs, strict=True):
        good = is_right(output.text, question["answers"])
        right[question["kind"]] += good
        if arguments.show:
            print("+" if good else "-", question["question"], "|", " ".join(output.text.split())[:200])
    kinds = ", ".join(f"{kind} {right[kind]}" for kind in dict.fromkeys(q["kind"] for q in questions))
    print(f"{right.total()} of {len(questions)} right ({kinds}); {options}")


if __name__ == "__main__":
    main()
