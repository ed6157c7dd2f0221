"""Training on bases that memory is short for: layers computed twice, layers in the blocks of a GGUF file."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from small_runs import Recorder
from tiny import CONFIGS, GGUF_CONFIGS, wide, write_tiny_checkpoint, write_tiny_gguf

from nlpsuite.errors import OptionError, TrainingError
from nlpsuite.models.catalog import find_model
from nlpsuite.models.checkpoint import RawTensor, open_checkpoint
from nlpsuite.models.language_module import build_module, load_module
from nlpsuite.models.lora import add_lora, lora_parameters
from nlpsuite.models.quantized_linear import BLOCK_TYPES, QuantizedLinear, dequantize, load_quantized_module
from nlpsuite.training import memory
from nlpsuite.training.base import _rounded
from nlpsuite.training.batch import IGNORE, LossModule
from nlpsuite.training.distributed import World
from nlpsuite.training.memory import check_fit, estimate, ways_to_fit
from nlpsuite.training.settings import AdapterSettings

CPU = World(0, 1, torch.device("cpu"))


def batch(rows: int = 3, length: int = 20) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, 300, (rows, length), generator=generator)
    labels = ids.roll(-1, 1)
    labels[:, : length // 2] = IGNORE
    return ids, labels


def loss_and_gradients(module: torch.nn.Module, *, in_parts: bool = False) -> tuple[float, dict]:
    module.train()
    module.zero_grad()
    loss = LossModule(module, bf16=False, in_parts=in_parts)(*batch())
    loss.backward()
    return float(loss.detach()), {
        n: p.grad.clone() for n, p in module.named_parameters() if p.grad is not None
    }


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("name", ["llama", "gemma3", "qwen2", "gpt2"])
def test_gradients_with_checkpointing_are_those_without(
    name: str, dropout: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nlpsuite.training.batch._PART_LOGITS", 7 * CONFIGS[name].vocab_size)
    torch.manual_seed(0)
    module = build_module(CONFIGS[name])
    module.initialize()
    module.set_dropout(dropout)
    torch.manual_seed(5)
    expected, gradients = loss_and_gradients(module)
    module.set_gradient_checkpointing(True)
    torch.manual_seed(5)
    found, checkpointed = loss_and_gradients(module, in_parts=True)
    assert found == pytest.approx(expected, rel=1e-6)
    assert gradients.keys() == checkpointed.keys()
    for parameter, gradient in gradients.items():
        torch.testing.assert_close(checkpointed[parameter], gradient, rtol=1e-4, atol=1e-5)


def test_checkpointing_holds_less(monkeypatch: pytest.MonkeyPatch) -> None:
    module = build_module(CONFIGS["llama"])
    module.initialize()
    module.train()
    held = []
    for on in (False, True):
        module.set_gradient_checkpointing(on)
        sizes = []

        def pack(tensor: torch.Tensor, sizes: list[int] = sizes) -> torch.Tensor:
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            module.hidden(batch()[0])
        held.append(sum(sizes))
    assert held[1] < held[0] / 4


def test_a_recurrent_model_has_no_layers_to_checkpoint() -> None:
    with pytest.raises(OptionError, match="attention"):
        build_module(CONFIGS["lstm"]).set_gradient_checkpointing(True)


@pytest.mark.parametrize("kind", BLOCK_TYPES)
def test_blocks_are_decoded_as_gguf_decodes_them(kind: str) -> None:
    type_ = gguf.GGMLQuantizationType[kind]
    weights, size = gguf.GGML_QUANT_SIZES[type_]
    blocks = np.random.default_rng(0).integers(0, 256, (5, 3 * size), np.uint8)
    # Scales that are numbers: the exponents of random float16 may be those of infinity.
    for at in {"Q4_K": (1, 3), "Q6_K": (209,), "Q4_1": (1, 3)}.get(kind, (1,)):
        blocks.reshape(5, 3, size)[:, :, at] &= 0x3B
    expected = gguf.dequantize(blocks, type_)
    found = dequantize(torch.from_numpy(blocks), kind).numpy()
    assert found.shape == (5, 3 * weights)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q8_0"])
@pytest.mark.parametrize("name", ["llama", "qwen2", "phi3"])
def test_a_base_in_blocks_gives_the_loss_of_the_dequantised_one(tmp_path: Path, name: str, kind: str) -> None:
    write_tiny_gguf(tmp_path / "base.gguf", wide(GGUF_CONFIGS[name]), kind=kind)
    checkpoint = open_checkpoint(tmp_path / "base.gguf")
    modules = [load_module(checkpoint), load_quantized_module(checkpoint, torch.float32, never)]
    results = []
    for module in modules:
        torch.manual_seed(0)
        add_lora(module, rank=4, alpha=8.0)
        for parameter in lora_parameters(module).values():
            torch.nn.init.normal_(parameter, std=0.02, generator=torch.Generator().manual_seed(2))
        loss, _ = loss_and_gradients(module)
        results.append((loss, {n: p.grad for n, p in lora_parameters(module).items()}))
    assert sum(isinstance(layer, QuantizedLinear) for layer in modules[1].modules()) == 7 * 2
    assert results[1][0] == pytest.approx(results[0][0], rel=1e-6)
    assert results[0][1].keys() == results[1][1].keys()
    for parameter, gradient in results[0][1].items():
        most = float(gradient.abs().max())  # sums are in another order
        torch.testing.assert_close(results[1][1][parameter], gradient, rtol=1e-3, atol=1e-4 * most)


def never(*_: object) -> RawTensor:
    raise AssertionError("the file has blocks")


def test_layers_without_blocks_are_rounded_to_four_bits(tmp_path: Path) -> None:
    write_tiny_checkpoint(tmp_path / "hf", config=CONFIGS["qwen2"])
    checkpoint = open_checkpoint(tmp_path / "hf")
    module = load_quantized_module(checkpoint, torch.float32, _rounded)
    layer = module.get_submodule("model.layers.0.mlp.up_proj")
    assert isinstance(layer, QuantizedLinear) and layer.storage == "Q4_1"
    found = dequantize(layer.blocks, "Q4_1").numpy()
    expected = checkpoint.tensor("model.layers.0.mlp.up_proj.weight")
    error = np.abs(found - expected).reshape(-1, 32).max(axis=1)
    spans = np.ptp(expected.reshape(-1, 32), axis=1)
    assert (error < spans / 15).all()  # half a level, and what the search and float16 may add


def test_half_precision_passes_through_blocks(tmp_path: Path) -> None:
    write_tiny_gguf(tmp_path / "base.gguf", wide(GGUF_CONFIGS["qwen2"]), kind="Q4_0")
    module = load_quantized_module(open_checkpoint(tmp_path / "base.gguf"), torch.bfloat16, never)
    add_lora(module, rank=4, alpha=8.0)
    module.train()
    loss = LossModule(module, bf16=True)(*batch())
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in lora_parameters(module).values())
    full = LossModule(load_module(open_checkpoint(tmp_path / "base.gguf")), bf16=False)(*batch())
    assert float(loss.detach()) == pytest.approx(float(full.detach()), rel=0.02)


@pytest.mark.parametrize("other", [{"full": True}, {"fsdp": True}])
def test_blocks_are_not_trained_or_sharded(other: dict) -> None:
    with pytest.raises(OptionError, match="exclude each other"):
        AdapterSettings(quantized_base=True, **other)


def test_less_memory_by_every_step() -> None:
    model = find_model("Llama-3.2-1B-Instruct")
    assert model is not None
    ways = ways_to_fit(model.config, AdapterSettings(), bf16=False)
    assert [flags for flags, _, _ in ways] == [
        "", "--gradient-checkpointing", "--gradient-checkpointing --quantized-base",
    ]  # fmt: skip
    totals = [made.total for _, _, made in ways]
    assert totals == sorted(totals, reverse=True)
    assert totals[-1] < 4e9 < totals[0]
    full = ways_to_fit(model.config, AdapterSettings(full=True), bf16=False)
    assert full[-1][0].endswith("without --full --quantized-base")
    assert full[0][2].total > 16 * model.parameters
    # Half precision halves what is frozen and what a batch needs.
    half = estimate(model.config, AdapterSettings(), bf16=True)
    assert half.weights * 2 == estimate(model.config, AdapterSettings(), bf16=False).weights


@pytest.mark.parametrize("free, outcome", [(64e9, "silent"), (8e9, "notice"), (3.5e9, "error")])
def test_what_fits_is_said_before_loading(
    free: float, outcome: str, monkeypatch: pytest.MonkeyPatch, recorder: Recorder
) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda device: int(free))
    model = find_model("Llama-3.2-1B-Instruct")
    assert model is not None
    settings = AdapterSettings(precision="fp32", batch_tokens=1024)
    if outcome == "error":
        with pytest.raises(TrainingError, match="3.5 GB free") as caught:
            check_fit(model.config, settings, CPU, recorder)
        assert caught.value.hint.startswith("It fits with: --gradient-checkpointing --quantized-base")
        return
    check_fit(model.config, settings, CPU, recorder)
    assert bool(recorder.notices) == (outcome == "notice")


def test_a_run_with_both_gives_an_adapter(tmp_path: Path, recorder: Recorder) -> None:
    from nlpsuite.models.adapter import Adapter
    from nlpsuite.training.run_adapter import train_adapter

    write_tiny_gguf(tmp_path / "base.gguf", wide(dataclasses.replace(GGUF_CONFIGS["llama"])), kind="Q4_0")
    rows = [f"text {i}\t{'positive' if i % 2 else 'negative'}" for i in range(40)]
    (tmp_path / "data.tsv").write_text("\n".join(["sentence\tlabel", *rows]) + "\n")
    common = {
        "steps": 4, "rank": 2, "threads": 1, "precision": "fp32", "scored_examples": 0, "batch_tokens": 128,
        "max_length": 200,
    }  # fmt: skip
    losses = []
    for name, more in (("plain", {}), ("small", {"quantized_base": True, "gradient_checkpointing": True})):
        report = train_adapter(
            "sentiment", tmp_path / "data.tsv", base=str(tmp_path / "base.gguf"), output=tmp_path / name,
            reporter=recorder, **common, **more,
        )  # fmt: skip
        assert report.result is not None and Adapter.open(report.result).names
        losses.append(report.figures["validation_loss"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
