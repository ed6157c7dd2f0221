"""Remake the fixtures of SentencePiece tokenizers with SentencePiece itself.

    pip install sentencepiece
    python tests/models/make_sentencepiece.py

Trains tiny tokenizers on this project's own documentation and writes, into ``tests/fixtures/sentencepiece``,
``NAME.model`` and ``NAME.json``, the ids of the texts of ``make_golden_token_ids.py``.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from make_golden_token_ids import TEXTS

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests" / "fixtures" / "sentencepiece"
CORPUS = ("README.md", "docs/plugins.md", "docs/models.md", "nlpsuite/models/decoder.py")
# Ligatures, full width and superscripts become plain letters; "ß" becomes two.
RULES = {"ﬁ": "fi", "ﬂ": "fl", "Ａ": "A", "ａ": "a", "²": "2", "³": "3", "ß": "ss", "\u00a0": " ", "\t": " "}
EXACT = {"normalization_rule_name": "identity", "remove_extra_whitespaces": False}
MODELS: dict[str, dict[str, Any]] = {
    # As Llama 2's: bytes for unknown characters, nothing normalised. As Gemma's: runs of spaces of their own.
    "bpe-bytes": {"model_type": "bpe", "byte_fallback": True, **EXACT},
    "bpe-plain": {
        "model_type": "bpe",
        "byte_fallback": True,
        "add_dummy_prefix": False,
        "user_defined_symbols": ["▁▁", "▁▁▁▁", "<tool>"],
        **EXACT,
    },
    "unigram-bytes": {"model_type": "unigram", "byte_fallback": True, **EXACT},
    "unigram-rules": {"model_type": "unigram", "vocab_size": 360, "rules": True},
}


def main() -> None:
    import sentencepiece

    lines = [line.strip() for name in CORPUS for line in (ROOT / name).read_text("utf-8").splitlines()]
    FIXTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        rules, corpus = Path(work, "rules.tsv"), Path(work, "corpus.txt")
        rules.write_text(
            "".join(
                " ".join(f"{ord(c):X}" for c in source)
                + "\t"
                + " ".join(f"{ord(c):X}" for c in target)
                + "\n"
                for source, target in RULES.items()
            )
        )
        corpus.write_text("\n".join(filter(None, lines)), encoding="utf-8")
        for name, settings in MODELS.items():
            settings = {"vocab_size": 500, "character_coverage": 0.995, "minloglevel": 2, **settings}
            if settings.pop("rules", False):
                settings["normalization_rule_tsv"] = str(rules)
            sentencepiece.SentencePieceTrainer.train(
                input=str(corpus), model_prefix=str(FIXTURES / name), **settings
            )
            (FIXTURES / f"{name}.vocab").unlink()
            model = sentencepiece.SentencePieceProcessor(model_file=str(FIXTURES / f"{name}.model"))
            rows = [json.dumps({"text": text, "ids": model.encode(text)}) for text in TEXTS]
            (FIXTURES / f"{name}.json").write_text("[\n" + ",\n".join(rows) + "\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
