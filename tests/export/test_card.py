"""The model card: what a hub reads of it, what a person reads of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny import LLAMA, random_weights, tiny_tokenizer_files, write_tiny_gguf

from nlpsuite.export.card import model_card, own_card
from nlpsuite.models.checkpoint import open_checkpoint
from nlpsuite.models.checkpoint_write import write_checkpoint

VERIFICATION = {
    "tokens": 370,
    "perplexity": 16.6909,
    "reference_perplexity": 16.5579,
    "perplexity_uncertainty": 0.0105,
    "max_logit_difference": 1.82,
    "top1_agreement": 0.9514,
    "greedy_tokens": 32,
    "greedy_agreement": 19,
}
ADAPTER = {
    "task": "sentiment",
    "task_version": "1",
    "distribution": "nlpsuite 0.2.0",
    "options": {"labels": "positive"},
    "temperature": 1.31,
    "evaluation": {"accuracy": 0.88532, "n": 872},
    "data": [{"name": "train.tsv", "rows": 67_349, "license": None, "sha256": "ab" * 32}],
    "license": "MIT",
    "sha256": "cd" * 32,
    "base": "Tiny",
}


def manifest(**changes: Any) -> dict[str, Any]:
    return {
        "name": "Tiny",
        "created_by": "nlpsuite 0.2.0",
        "context_length": 8_192,
        "graphs": [{"layout": "slots", "precision": "int4", "path": "onnx/slots.onnx"}],
        "license": "Apache-2.0",
        "adapter": None,
        "origin": {"source": "/models/tiny.gguf", "files": [{"name": "tiny.gguf", "sha256": "ef" * 32}]},
    } | changes


def front_matter(card: str) -> dict[str, str]:
    head, _, _ = card.removeprefix("---\n").partition("\n---\n")
    return dict(line.split(": ", 1) for line in head.splitlines())


def test_front_matter() -> None:
    assert front_matter(model_card(manifest(), weights=1)) == {
        "license": "apache-2.0",
        "base_model": '"Tiny"',
        "library_name": "nlpsuite",
        "pipeline_tag": "text-generation",
        "tags": '["nlpsuite", "onnx", "int4"]',
    }
    hub = manifest(origin={"source": "hf:owner/name@v1", "files": []}, adapter=ADAPTER, license=None)
    found = front_matter(model_card(hub, weights=1))
    assert found["base_model"] == '"owner/name"'
    assert found["tags"] == '["nlpsuite", "onnx", "int4", "sentiment"]'
    assert "license" not in found


def test_a_licence_made_of_two() -> None:
    found = front_matter(model_card(manifest(license="apache-2.0 AND MIT"), weights=1))
    assert (found["license"], found["license_name"]) == ("other", '"apache-2.0 AND MIT"')


@pytest.mark.parametrize(
    "changes,words",
    [
        ({}, ["134.5 million weights", "8,192 tokens", "nlpsuite run complete --model DIR", "was not compared"]),
        ({"verification": VERIFICATION}, ["16.691", "16.558", "95.1%", "19 of 32", "370 tokens"]),
        ({"adapter": ADAPTER}, ["run sentiment", "0.8853", "872", "train.tsv", "67349 rows", "not stated", "one task", "divided by 1.31"]),
        ({"license": None}, ["states no license"]),
        (
            {"graphs": [{"layout": "portable", "precision": "fp16", "path": "onnx/model_fp16.onnx"}]},
            ["transformers.js", "onnx/model_fp16.onnx", "fp16 is for CUDA"],
        ),
    ],
)  # fmt: skip
def test_what_it_says(changes: dict[str, Any], words: list[str]) -> None:
    card = model_card(manifest(**changes), weights=134_515_008)
    for word in [*words, "ef" * 32, "Apache-2.0" if "license" not in changes else "license"]:
        assert word in card


def test_names_cannot_break_out_of_their_place() -> None:
    evil = "a\n---\n# b | `c`"
    adapter = ADAPTER | {"task": evil, "evaluation": {evil: evil}}
    origin = {"source": evil, "files": [{"name": evil, "sha256": "0"}]}
    card = model_card(manifest(name=evil, adapter=adapter, origin=origin), weights=1)
    assert card.count("\n---\n") == 1  # the end of the front matter
    assert "\n# b" not in card
    rows = [line for line in card.splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {3}


def test_what_the_base_says_of_itself(tmp_path: Path) -> None:
    card = "---\nlicense: mit\n---\n\n# My model\n\nTrained on toast.\n\n## Figures\n"
    write_checkpoint(tmp_path / "base", LLAMA, random_weights(LLAMA), tiny_tokenizer_files(), card=card)
    own = own_card(open_checkpoint(tmp_path / "base"))
    assert own == "# My model\n\nTrained on toast.\n\n## Figures"
    text = model_card(manifest(), own=own, weights=1)
    assert text.endswith("## Card of the base model\n\n### My model\n\nTrained on toast.\n\n### Figures\n")


def test_whatever_lies_beside_a_gguf_file_is_not_its_card(tmp_path: Path) -> None:
    write_tiny_gguf(tmp_path / "m.gguf")
    (tmp_path / "README.md").write_text("My downloads")
    assert own_card(open_checkpoint(tmp_path / "m.gguf")) == ""
    assert "What the base says" not in model_card(manifest(), weights=1)


def test_a_whole_manual_is_left_where_it_is(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "b", LLAMA, random_weights(LLAMA), tiny_tokenizer_files(), card="x" * 30_000)
    assert own_card(open_checkpoint(tmp_path / "b")) == ""
