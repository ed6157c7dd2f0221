"""``nlpsuite eval lm`` as one types it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from nlpsuite.runtime.language_model import LanguageModel


@pytest.fixture
def book(tmp_path: Path) -> Path:
    file = tmp_path / "book.txt"
    file.write_text("The sea is wide, and the boats are small.\n" * 20, encoding="utf-8")
    return file


def test_figures_with_intervals(cli, book: Path, tiny_bundle: Path) -> None:
    outcome = cli("eval", "lm", book, "--model", tiny_bundle, "--context", "64", "--json", "--device", "cpu")
    assert (outcome.code, outcome.err) == (0, "")
    report = json.loads(outcome.out)
    model = LanguageModel.load(tiny_bundle, device="cpu", threads=1)
    text = book.read_text(encoding="utf-8")
    assert (report["texts"], report["words"], report["bytes"]) == (1, 180, len(text))
    assert report["tokens"] == model.count_tokens(text)
    assert (report["context"], report["stride"], report["bootstrap"]["unit"]) == (
        64,
        32,
        "blocks of 128 tokens",
    )
    figures = {figure["metric"]: figure for figure in report["figures"]}
    nats = -report["log_likelihood"]
    assert figures["perplexity"]["value"] == pytest.approx(math.exp(nats / report["tokens"]))
    assert figures["word_perplexity"]["value"] == pytest.approx(math.exp(nats / 180))
    assert figures["bits_per_byte"]["value"] == pytest.approx(nats / len(text) / math.log(2))
    for figure in figures.values():
        assert figure["low"] < figure["value"] < figure["high"]
        assert figure["n"] == math.ceil(report["tokens"] / 128) > 3
    assert figures["perplexity"]["signature"].startswith("nrefs:0|unit:tokens|mean:corpus|version:nlpsuite-")
    assert figures["perplexity"]["signature"].endswith(
        "|context:64|stride:32|first:end-token|words:whitespace"
    )


def test_several_files_are_read_apart(cli, tmp_path: Path, tiny_bundle: Path) -> None:
    files = [tmp_path / f"{i}.txt" for i in range(12)]
    for i, file in enumerate(files):
        file.write_text(f"Text {i} of the sea. " * (i + 1), encoding="utf-8")

    def likelihood(*chosen: Path) -> float:
        report = json.loads(cli("eval", "lm", *chosen, "--model", tiny_bundle, "--json").out)
        assert report["texts"] == len(chosen)
        value: float = report["log_likelihood"]
        return value

    assert likelihood(*files[:3]) == pytest.approx(sum(likelihood(file) for file in files[:3]), rel=1e-5)
    outcome = cli("eval", "lm", *files, "--model", tiny_bundle)
    lines = outcome.out.splitlines()
    assert "12 texts" in lines[0]
    assert [line[:20].strip() for line in lines[3:6]] == [
        "perplexity (tokens)", "perplexity (words)", "bits per byte",
    ]  # fmt: skip
    assert all(line.endswith(" 12") and "[" in line for line in lines[3:6])
    method = "Intervals: 95 %, percentile bootstrap of 1,000 resamples of the texts; seed 0."
    assert lines[7:9] == [method, "Signatures:"]
    assert "10 texts" in cli("eval", "lm", *files, "--model", tiny_bundle, "--limit", "10").out


def test_standard_input(cli, tiny_bundle: Path) -> None:
    outcome = cli("eval", "lm", "-", "--model", tiny_bundle, "--stride", "8", stdin="Köln".encode())
    assert outcome.code == 0
    assert "1 text," in outcome.out and "1 words, 5 bytes" in outcome.out


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        ([], 2, "Name files or a data set"),
        (["a.txt", "--dataset", "wikitext2:valid"], 2, "Name files or a data set"),
        (["missing.txt"], 4, "There is no file missing.txt"),
        (["-"], 4, "standard input is empty"),
    ],
)
def test_what_is_wrong_is_said_before_a_model_is_loaded(cli, args: list[str], code: int, said: str) -> None:
    outcome = cli("eval", "lm", *args, "--model", "no-such-model")
    assert (outcome.code, outcome.out) == (code, "")
    assert said in outcome.err


def test_a_context_that_the_model_does_not_have(cli, book: Path, tiny_bundle: Path) -> None:
    outcome = cli("eval", "lm", book, "--model", tiny_bundle, "--context", "257")
    assert outcome.code == 2
    assert "257" in outcome.err and "256" in outcome.err


def test_articles_of_a_standard_data_set(cli, tmp_path: Path, tiny_bundle: Path) -> None:
    file = tmp_path / "valid.txt"
    article = " \n = {} = \n \n The sea is wide . \n"
    file.write_text("".join(article.format(name) for name in ("Sea", "Boat", "Wind")), encoding="utf-8")

    def report(*args: str) -> dict:
        outcome = cli(
            "eval", "lm", "--dataset", f"wikitext2:valid@{file}", "--model", tiny_bundle, "--json", *args
        )
        assert outcome.code == 0, outcome.err
        return json.loads(outcome.out)

    assert (report()["texts"], report()["bytes"]) == (3, file.stat().st_size)
    assert report("--limit", "2")["texts"] == 2
    outcome = cli(
        "eval", "lm", "--dataset", f"wikitext2:valid@{file}", "--text-column", "no", "--model", "none"
    )
    assert (outcome.code, outcome.out) == (4, "")
    assert "has no text in 'no'" in outcome.err
