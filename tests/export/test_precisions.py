"""What each precision of the default model costs, from its own blocks and from plain weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from nlpsuite.export.build import build_bundle
from nlpsuite.models.checkpoint import Checkpoint, open_checkpoint
from nlpsuite.models.checkpoint_write import write_checkpoint
from nlpsuite.runtime.bundle import Bundle
from nlpsuite.runtime.language_model import LanguageModel

pytestmark = pytest.mark.model

TEXT = (Path(__file__).parents[1] / "fixtures" / "perplexity.txt").read_text(encoding="utf-8")
LIMITS = {"int8": 0.015, "int4": 0.05}  # int8 rounds activations too


class Dequantised(Mapping[str, npt.NDArray[np.float32]]):
    """The tensors of a checkpoint, one at a time."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint

    def __getitem__(self, name: str) -> npt.NDArray[np.float32]:
        return self._checkpoint.tensor(name)

    def __iter__(self) -> Any:
        return iter(self._checkpoint.tensor_names())

    def __len__(self) -> int:
        return len(self._checkpoint.tensor_names())


@pytest.fixture(scope="module")
def perplexity(default_bundle_fp32: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., float]:
    """Relative to fp32, of a checkpoint in a precision."""
    directory = tmp_path_factory.mktemp("bundles")

    def of(bundle: Path) -> float:
        return float(np.exp(-LanguageModel.load(bundle, device="cpu").token_logprobs(TEXT).mean()))

    whole = of(default_bundle_fp32)

    def relative(checkpoint: Checkpoint, precision: Any) -> float:
        bundle = build_bundle(checkpoint, directory / f"{checkpoint.name}-{precision}", precision=precision)
        found = of(bundle)
        size = Bundle.open(bundle).size_bytes / 1e6
        print(
            f"\n{checkpoint.name} {precision}: {size:.0f} MB, perplexity {found:.3f} ({found / whole - 1:+.2%})"
        )
        return found / whole - 1

    return relative


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_from_its_own_blocks(precision: str, default_gguf: Path, perplexity: Callable[..., float]) -> None:
    checkpoint = open_checkpoint(default_gguf)
    checkpoint.name = "gguf"
    assert perplexity(checkpoint, precision) <= LIMITS[precision]


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_from_plain_weights(
    precision: str, default_gguf: Path, perplexity: Callable[..., float], tmp_path: Path
) -> None:
    source = open_checkpoint(default_gguf)
    write_checkpoint(tmp_path / "plain", source.config, Dequantised(source), source.tokenizer_files())
    assert perplexity(open_checkpoint(tmp_path / "plain"), precision) <= LIMITS[precision]
