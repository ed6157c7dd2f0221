"""An exported graph is compared with torch: what passes, what is refused, and what is said."""

from __future__ import annotations

import importlib.util
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stored import read
from tiny import write_tiny_checkpoint

from nlpsuite.errors import MissingExtraError, VerificationError
from nlpsuite.export.verify import probe_text, require_torch, verify
from nlpsuite.models.checkpoint import Checkpoint, open_checkpoint
from nlpsuite.runtime.tokenizer import Tokenizer


@pytest.fixture(scope="module", autouse=True)
def torch_imported() -> None:
    with warnings.catch_warnings():  # torch's own
        warnings.simplefilter("ignore")
        pytest.importorskip("torch")


def compare(checkpoint: Checkpoint, bundle: Path, precision: Any) -> dict[str, Any]:
    return verify(checkpoint, bundle, bundle / "onnx" / "slots.onnx", layout="slots", precision=precision)


def test_a_faithful_graph(tiny_checkpoint: Checkpoint, tiny_bundle: Path) -> None:
    report = compare(tiny_checkpoint, tiny_bundle, "fp32")
    assert report["tokens"] == 256  # the model's whole context
    assert report["perplexity"] == pytest.approx(report["reference_perplexity"], rel=1e-4)
    assert report["max_logit_difference"] < 1e-3
    assert report["top1_agreement"] == 1
    assert report["greedy_agreement"] == report["greedy_tokens"] == 32
    assert report["device"] == "cpu"
    assert set(report) >= {"torch", "onnxruntime", "perplexity_uncertainty"}


def test_the_figures_are_the_models(tiny_checkpoint: Checkpoint, tiny_bundle: Path) -> None:
    """Against torch itself, in one pass without a state."""
    import torch

    from nlpsuite.models.language_module import load_module

    ids = torch.tensor([Tokenizer.open(tiny_bundle).encode_text(probe_text())[:256]])
    with torch.no_grad():
        logits = load_module(tiny_checkpoint)(ids)[0][0]
    loss = torch.nn.functional.cross_entropy(logits[:-1], ids[0, 1:])
    report = compare(tiny_checkpoint, tiny_bundle, "fp32")
    assert report["reference_perplexity"] == pytest.approx(float(loss.exp()), rel=1e-4)


@pytest.mark.parametrize(
    "precision,words", [("fp32", "a logit differs by"), ("int8", "its most likely token")]
)
def test_other_weights(precision: Any, words: str, tiny_bundle: Path, tmp_path: Path) -> None:
    other = open_checkpoint(write_tiny_checkpoint(tmp_path / "other", seed=1))
    with pytest.raises(VerificationError, match=words) as caught:
        compare(other, tiny_bundle, precision)
    assert "--no-verify" in caught.value.hint
    assert caught.value.exit_code == 5


def test_a_graph_that_is_too_sure(tiny_checkpoint: Checkpoint, tiny_bundle: Path, tmp_path: Path) -> None:
    """The same most likely tokens; on random weights they are wrong, so that it should be less sure."""
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    info, array = read(bundle)[1]["model.norm.weight"]
    with (bundle / "onnx" / "slots.onnx_data").open("rb+") as file:
        file.seek(info.offset)
        file.write((array * np.float32(1.5)).tobytes())
    with pytest.raises(VerificationError, match=r"perplexity is .* int4 may add 10%"):
        compare(tiny_checkpoint, bundle, "int4")


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_graph_that_computes_no_numbers(
    precision: Any, tiny_checkpoint: Checkpoint, tiny_bundle: Path, tmp_path: Path
) -> None:
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    info, _ = read(bundle)[1]["model.norm.weight"]
    with (bundle / "onnx" / "slots.onnx_data").open("rb+") as file:
        file.seek(info.offset)
        file.write(np.float32(np.nan).tobytes())
    with pytest.raises(VerificationError, match="not finite"):
        compare(tiny_checkpoint, bundle, precision)


def test_one_wrong_weight_is_found(tiny_checkpoint: Checkpoint, tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    info, array = read(bundle)[1]["1.down.weight"]
    with (bundle / "onnx" / "slots.onnx_data").open("rb+") as file:
        file.seek(info.offset)
        file.write((array[0, :1] + np.float32(0.05)).tobytes())
    with pytest.raises(VerificationError, match="a logit differs by"):
        compare(tiny_checkpoint, bundle, "fp32")


def test_a_graph_that_cannot_be_run(tiny_checkpoint: Checkpoint, tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    (bundle / "onnx" / "slots.onnx").write_bytes(b"no graph")
    with pytest.raises(VerificationError, match="onnxruntime can't run"):
        compare(tiny_checkpoint, bundle, "fp32")


def test_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError) as caught:
        require_torch()
    assert "nlpsuite[train]" in caught.value.hint and "--no-verify" in caught.value.hint


def test_the_probe_is_english_and_code(tiny_bundle: Path) -> None:
    assert len(Tokenizer.open(tiny_bundle).encode_text(probe_text())) > 384
    assert "def moving_average" in probe_text() and "harbour" in probe_text()
    compile(probe_text()[probe_text().index("def moving_average") :], "probe", "exec")
