"""The table of families in docs/models.md: a test for each cell, and a clear refusal of what is not in it.

Tiny models of transformers are saved, read, trained, exported and run, and compared with transformers all the way.
"""

from __future__ import annotations

import copy
import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from families import COLUMNS, FAMILIES, PAGE, Family, page
from reference import (
    LENGTH,
    TOLERANCE,
    assert_same_logits,
    import_transformers,
    logits_of,
    make_reference,
    saved,
    token_ids,
    with_weights,
)
from tiny import GGUF_CONFIGS, write_tiny_gguf

import nlpsuite
from nlpsuite.errors import UnsupportedModelError
from nlpsuite.export.build import build_bundle
from nlpsuite.models.adapter import Adapter
from nlpsuite.models.checkpoint import Checkpoint, open_checkpoint
from nlpsuite.models.config import config_from_hf
from nlpsuite.models.merged import MergedCheckpoint
from nlpsuite.runtime.device import Device
from nlpsuite.runtime.language_model import LanguageModel
from nlpsuite.runtime.prefill import feed
from nlpsuite.runtime.prompt import Prompt
from nlpsuite.runtime.session import SlotSession

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's and transformers' own


class Row:
    """A family's model in transformers, and the directory that it was saved to."""

    def __init__(self, family: Family, directory: Path) -> None:
        self.family, self.directory = family, directory
        self.transformers = import_transformers()
        self.model = make_reference(self.transformers, family.reference)
        self.saved = saved(copy.deepcopy(self.model), directory / "hf")
        self.expected = logits_of(self.model, token_ids())

    @functools.cached_property
    def checkpoint(self) -> Checkpoint:
        return open_checkpoint(self.saved)

    @functools.cached_property
    def slots(self) -> Path:
        return build_bundle(self.checkpoint, self.directory / "slots", precision="fp32")


@pytest.fixture(scope="module", params=FAMILIES, ids=lambda family: family.models)
def row(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Row:
    return Row(request.param, tmp_path_factory.mktemp("family"))


def test_read(row: Row) -> None:
    assert_same_logits(row.checkpoint, row.expected)


def test_gguf(row: Row, tmp_path: Path) -> None:
    config = GGUF_CONFIGS[row.family.gguf]
    model = with_weights(row.transformers, config, write_tiny_gguf(tmp_path / "tiny.gguf", config))
    assert_same_logits(open_checkpoint(tmp_path / "tiny.gguf"), logits_of(model, token_ids()))


def test_train(row: Row, tmp_path: Path) -> None:
    """An adapter learns, and merged into the weights it does what it did beside them."""
    examples = tmp_path / "examples.jsonl"
    rows = [{"text": f"{number} the cat", "completion": " and the dog"} for number in range(40)]
    examples.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    report = nlpsuite.train_adapter(
        "complete",
        examples,
        base=str(row.saved),
        output=tmp_path / "run",
        steps=30,
        lr=0.02,
        rank=4,
        batch_tokens=128,
        max_length=32,
        evaluations=2,
        scored_examples=0,
        precision="fp32",
        threads=1,
    )
    assert report.figures["validation_loss"] < 0.5  # ln 302 = 5.7 by chance
    merged = MergedCheckpoint(row.checkpoint, Adapter.open(tmp_path / "run"))
    bundle = build_bundle(merged, tmp_path / "merged", precision="fp32")
    [answer] = LanguageModel.load(bundle, device="cpu", threads=1).complete(
        [Prompt(text="99 the cat", max_tokens=5)]
    )
    assert answer.text.startswith(" and the")


def test_slots(row: Row) -> None:
    session = SlotSession(row.slots / "onnx" / "slots.onnx", Device("cpu"), threads=1)
    logits = feed(session, token_ids().tolist(), np.zeros(2, np.int64), first=0, read_all=True)
    np.testing.assert_allclose(logits, row.expected.numpy(), atol=TOLERANCE, rtol=0)


def test_portable(row: Row) -> None:
    bundle = build_bundle(row.checkpoint, row.directory / "portable", precision="fp32", layout="portable")
    session = onnxruntime.InferenceSession(bundle / "onnx" / "model.onnx", providers=["CPUExecutionProvider"])
    ids = token_ids().numpy()
    given: dict[str, Any] = {
        "input_ids": ids,
        "attention_mask": np.ones_like(ids),
        "position_ids": np.arange(LENGTH)[None].repeat(2, 0),
    }
    for value in session.get_inputs():
        if value.name not in given:  # the cache, empty
            shape = [
                2 if size == "batch_size" else 0 if isinstance(size, str) else size for size in value.shape
            ]
            given[value.name] = np.zeros(shape, np.float32)
    logits = session.run(["logits"], given)[0]
    np.testing.assert_allclose(logits, row.expected.numpy(), atol=TOLERANCE, rtol=0)


def test_run(row: Row) -> None:
    """As ``nlpsuite run complete --model DIRECTORY`` does it: in int8, from the cache."""
    pipeline = nlpsuite.load("complete", model=str(row.saved), max_tokens=8)
    result = pipeline.run("the cat is in the room")
    assert result.error is None
    assert result.output.text and 0 < result.completion_tokens <= 8


def test_parity(row: Row) -> None:
    """The text that transformers writes, token after token."""
    import torch

    prompt = Prompt(text="the cat and 12", max_tokens=16)
    model = LanguageModel.load(row.slots, device="cpu", threads=1)
    [ours] = model.complete([prompt])
    ids = torch.tensor([model.tokenizer.encode_prompt(prompt)])
    theirs = row.model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=16,
        do_sample=False,
        eos_token_id=list(model.bundle.end_token_ids),
        pad_token_id=0,
    )[0, ids.shape[1] :].tolist()
    written = [token for token in theirs if token not in model.bundle.end_token_ids]
    assert ours.text == model.tokenizer.decode(written)
    assert len(written) > 1


def test_each_column_has_its_test() -> None:
    assert all(callable(globals().get(f"test_{column}")) for column in COLUMNS)


def test_the_page_is_up_to_date() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert page(text) == text, "run: python tests/models/families.py"
    assert all(f"| {family.models} |" in text for family in FAMILIES)


# What is not in the table


EXPERTS, STATES = "mixtures of experts", "models with state-space or recurrent layers"
REFUSED = {
    "mixtral": EXPERTS,
    "qwen2_moe": EXPERTS,
    "qwen3_moe": EXPERTS,
    "olmoe": EXPERTS,
    "phimoe": EXPERTS,
    "granitemoe": EXPERTS,
    "deepseek_v3": EXPERTS,
    "gpt_oss": EXPERTS,
    "jamba": STATES,
    "falcon_h1": STATES,
    "bamba": STATES,
    "mamba": STATES,
    "mamba2": STATES,
    "rwkv": STATES,
    "recurrent_gemma": STATES,
    "zamba2": STATES,
    "nemotron_h": STATES,
    "lfm2": STATES,
    "qwen3_next": STATES,
    "granitemoehybrid": "state-space layers",
}


@pytest.mark.parametrize("kind", REFUSED)
def test_experts_and_hybrids_are_refused_by_name(kind: str) -> None:
    config = import_transformers().AutoConfig.for_model(kind).to_dict()
    with pytest.raises(UnsupportedModelError, match=REFUSED[kind]) as caught:
        config_from_hf(config)
    assert caught.value.hint


def test_granite_4_with_experts() -> None:
    config = import_transformers().AutoConfig.for_model("granitemoehybrid", layer_types=["attention"] * 32)
    with pytest.raises(UnsupportedModelError, match="mixtures of experts") as caught:
        config_from_hf(config.to_dict())
    assert "granite-4.0-micro" in caught.value.hint or "-micro" in caught.value.hint


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"llama.expert_count": 8}, "'llama' with experts"),
        ({"general.architecture": "qwen3moe", "qwen3moe.expert_count": 128}, "'qwen3moe' with experts"),
        ({"general.architecture": "mamba", "mamba.ssm.state_size": 16}, "'mamba' with state-space"),
        (
            {"general.architecture": "jamba", "jamba.ssm.state_size": 16, "jamba.expert_count": 2},
            "'jamba' with experts and state-space",
        ),
        (
            {"general.architecture": "rwkv7", "rwkv7.wkv.head_size": 64},
            "'rwkv7' with state-space or recurrent",
        ),
    ],
)
def test_gguf_files_with_experts_and_hybrids(tmp_path: Path, metadata: dict[str, Any], reason: str) -> None:
    write_tiny_gguf(tmp_path / "tiny.gguf", metadata=metadata)
    with pytest.raises(UnsupportedModelError, match=reason) as caught:
        open_checkpoint(tmp_path / "tiny.gguf")
    assert caught.value.hint
