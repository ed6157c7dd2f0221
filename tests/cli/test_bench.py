"""``nlpsuite bench`` as one types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


def test_as_json(cli, tiny_bundle: Path) -> None:
    outcome = cli("bench", "--model", tiny_bundle, "--device", "cpu", "--threads", "1", "--json")
    assert outcome.code == 0 and "Measuring fp32" in outcome.err
    report = json.loads(outcome.out)
    assert (report["device"], report["threads"], report["recommended_threads"]) == ("cpu", 1, None)
    assert report["nlpsuite"] and report["machine"] and report["cores"] >= 1
    (measured,) = report["measurements"]
    assert measured["precision"] == "fp32"
    assert (
        measured["size_bytes"]
        == sum(f.stat().st_size for f in tiny_bundle.rglob("*") if f.is_file())
        - (tiny_bundle / "bundle.json").stat().st_size
    )
    assert [d["streams"] for d in measured["speed"]["decoding"]] == [1, 8, 32]
    rates = [d["tokens_per_second"] for d in measured["speed"]["decoding"]]
    assert all(rate > 0 for rate in [*rates, measured["speed"]["prefill_tokens_per_second"]])
    assert set(measured["start"]) == {"words", "first_token_seconds", "peak_bytes"}


def test_as_a_table(cli, tiny_bundle: Path) -> None:
    outcome = cli("bench", "--model", tiny_bundle, "--device", "cpu")
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert "on cpu" in lines[0] and "tokens per second" in lines[0]
    heads = lines[2].split("  ")
    assert [h.strip() for h in heads if h] == [
        "precision", "prefill", "decode × 1", "decode × 8", "decode × 32", "first token", "memory", "bundle",
    ]  # fmt: skip
    assert lines[3].startswith("fp32 ") and " s " in lines[3] and lines[3].endswith("MB")
    assert any(line.startswith("threads") for line in lines)
    assert lines[-1].startswith("Recommended here: --threads ")


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["--model", "no-such-model"], 5, "no-such-model"),
        (["--model", "no-such.gguf", "--json"], 5, "no-such.gguf"),
        (["--precision", "int3"], 2, "int3"),
        (["--threads", "-1"], 2, "--threads"),
        (["--device", "abacus"], 2, "abacus"),
        (["a-model"], 2, "unexpected extra argument"),
    ],
)
def test_what_is_wrong(cli, args: list[str], code: int, said: str) -> None:
    outcome = cli("bench", *args)
    assert outcome.code == code and said in outcome.err
    if "--json" in args:
        assert json.loads(outcome.out)["error"]["code"] == "model-not-found"


def test_another_precision_than_the_bundles(cli, tiny_bundle: Path) -> None:
    outcome = cli("bench", "--model", tiny_bundle, "--precision", "int8")
    assert (outcome.code, outcome.out) == (2, "")
    assert "precision fp32, not int8" in outcome.err
