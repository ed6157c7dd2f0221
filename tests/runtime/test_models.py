"""Every architecture from a checkpoint to text: exported, run by the runtime, compared with torch."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from templates import saved_template
from tiny import CONFIGS, VOCABULARY, write_tiny_checkpoint

from nlpsuite.export.build import build_bundle
from nlpsuite.export.decoder_graph import write_decoder_graph
from nlpsuite.export.fill import fill_template
from nlpsuite.models.checkpoint import open_checkpoint
from nlpsuite.models.config import DecoderConfig, ModelConfig
from nlpsuite.runtime.device import Device
from nlpsuite.runtime.language_model import LanguageModel
from nlpsuite.runtime.prefill import feed
from nlpsuite.runtime.prompt import Message, Prompt
from nlpsuite.runtime.session import SlotSession

PRECISIONS: tuple[Literal["fp32", "fp16"], ...] = ("fp32", "fp16")


class Exported:
    """One architecture: its bundle and the same weights in torch."""

    def __init__(self, config: ModelConfig, directory: Path) -> None:
        checkpoint = open_checkpoint(write_tiny_checkpoint(directory / "checkpoint", config=config))
        with warnings.catch_warnings():  # torch's and the exporter's own, at import and while tracing
            warnings.simplefilter("ignore")
            torch = pytest.importorskip("torch")
            pytest.importorskip("onnxscript")
            from nlpsuite.models.language_module import load_module

            self.bundle = build_bundle(checkpoint, directory / "bundle", precision="fp32")
        torch.set_num_threads(1)  # the model is so small that threads only wait for each other
        self._torch, self._module = torch, load_module(checkpoint)

    def torch_logits(self, ids: list[int]) -> np.ndarray:
        with self._torch.no_grad():
            out: np.ndarray = self._module(self._torch.tensor([ids]))[0][0].numpy()
        return out


@pytest.fixture(scope="module", params=CONFIGS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return Exported(CONFIGS[request.param], tmp_path_factory.mktemp(request.param))


def test_the_runtime_gives_torchs_logits(exported: Exported) -> None:
    session = SlotSession(exported.bundle / "onnx" / "slots.onnx", Device("cpu"), threads=1)
    generator = np.random.default_rng(0)
    rows = [[int(i) for i in generator.integers(0, VOCABULARY, n)] for n in (20, 3, 1, 45)]
    logits = feed(session, rows, np.zeros(4, np.int64), first=0, read_all=True)
    more = [[int(i) for i in generator.integers(0, VOCABULARY, n)] for n in (2, 9, 4, 1)]
    then = feed(session, more, np.array([len(row) for row in rows]), first=0)
    for i, (row, new) in enumerate(zip(rows, more)):
        expected = exported.torch_logits(row + new)
        assert np.abs(expected).max() > 1  # something is there to compare
        assert np.abs(logits[i, : len(row)] - expected[: len(row)]).max() <= 1e-3
        assert np.abs(then[i, 0] - expected[-1]).max() <= 1e-3


def test_greedy_text_is_torchs(exported: Exported) -> None:
    model = LanguageModel.load(exported.bundle, device="cpu", threads=1, max_slots=2)
    prompts = [
        Prompt(text="the cat", max_tokens=20),
        Prompt(messages=(Message("user", "Is it 3?"),), max_tokens=12),
        Prompt(text="Köln while it was raining", max_tokens=5),
    ]
    for prompt, completion in zip(prompts, model.complete(prompts), strict=True):
        ids = model.tokenizer.encode_prompt(prompt)
        drawn: list[int] = []
        while len(drawn) < prompt.max_tokens:
            token = int(exported.torch_logits(ids + drawn)[-1].argmax())
            if token in model.bundle.end_token_ids:
                break
            drawn.append(token)
        assert completion.text == model.tokenizer.decode(drawn)
        assert completion.completion_tokens == len(drawn)


@pytest.mark.parametrize("name", ["llama", "gpt2", "lstm"])
def test_half_precision_states(tmp_path: Path, name: str) -> None:
    """Made for CUDA; the CPU runs it through casts, so that what the runtime does with it is tested."""
    checkpoint = open_checkpoint(write_tiny_checkpoint(tmp_path / "checkpoint", config=CONFIGS[name]))
    for precision in PRECISIONS:
        graph = tmp_path / f"{precision}.onnx"
        if isinstance(checkpoint.config, DecoderConfig):
            write_decoder_graph(checkpoint, precision, graph)
        else:
            template = saved_template(checkpoint.config, "slots", precision)
            fill_template(template, checkpoint, precision, graph)
    rows = [[5, 60, 7, 200], [9]]
    logits = {}
    for precision in PRECISIONS:
        session = SlotSession(tmp_path / f"{precision}.onnx", Device("cpu"), threads=1)
        first = feed(session, rows, np.zeros(2, np.int64), first=0)
        session.copy_slot(0, 1, 4)
        logits[precision] = np.concatenate([first, feed(session, [[3], [4]], np.array([4, 4]), first=0)])
    assert {state._dtype for state in session._states.values()} == {np.float16}
    assert logits["fp16"].dtype == np.float32
    error = np.abs(logits["fp16"] - logits["fp32"]).max() / np.abs(logits["fp32"]).max()
    assert 0 < error < 0.02
