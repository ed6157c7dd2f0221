"""Directories that we write, runs that hold them, and pickles that nobody opens."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tiny import CONFIGS, GPT2, LLAMA, LSTM, random_weights, tiny_tokenizer_files, write_tiny_checkpoint

from nlpsuite.errors import ModelUnavailableError, UnsupportedModelError
from nlpsuite.models.checkpoint import open_checkpoint
from nlpsuite.models.checkpoint_write import write_checkpoint
from nlpsuite.models.resolve import resolve_model


@pytest.mark.parametrize("name", CONFIGS)
def test_what_is_written_is_read(tmp_path: Path, name: str) -> None:
    config, weights = CONFIGS[name], random_weights(CONFIGS[name])
    card = "---\nlicense: mit\n---\n# Tiny\n"
    write_checkpoint(tmp_path / "made", config, weights, tiny_tokenizer_files(), card=card)
    checkpoint = open_checkpoint(tmp_path / "made")
    assert (checkpoint.name, checkpoint.license, checkpoint.config) == ("made", "mit", config)
    assert checkpoint.tensor_names() == list(weights)
    for tensor_name, values in weights.items():
        np.testing.assert_array_equal(checkpoint.tensor(tensor_name), values)
    assert (
        checkpoint.tokenizer_files()["chat_template.jinja"] == tiny_tokenizer_files()["chat_template.jinja"]
    )
    assert (tmp_path / "made" / "README.md").read_text() == card


def test_the_tokenizer_of_what_was_read_can_be_written_again(tmp_path: Path) -> None:
    files = open_checkpoint(write_tiny_checkpoint(tmp_path / "first")).tokenizer_files()
    write_checkpoint(tmp_path / "second", LLAMA, random_weights(LLAMA), files)
    assert open_checkpoint(tmp_path / "second").tokenizer_files() == files
    config = json.loads((tmp_path / "second" / "config.json").read_text())
    assert [config[f"{role}_token_id"] for role in ("bos", "eos", "pad")] == [1, [0, 2], 0]
    assert not (tmp_path / "second" / "README.md").exists()


def test_the_file_is_what_the_library_reads(tmp_path: Path) -> None:
    weights = random_weights(GPT2)
    write_checkpoint(tmp_path, GPT2, weights, {})
    stored = load_file(tmp_path / "model.safetensors")
    assert stored.keys() == weights.keys()
    for name, values in weights.items():
        conv = name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight"))
        np.testing.assert_array_equal(stored[name], values.T if conv else values)


class Lazy(Mapping[str, Any]):
    """Makes each tensor as it is asked for, and notes the order."""

    def __init__(self) -> None:
        self.shapes = dict(LSTM.parameter_shapes())
        self.asked: list[str] = []

    def __getitem__(self, name: str) -> Any:
        self.asked.append(name)
        return np.full(self.shapes[name], len(self.asked), np.float32)

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)


def test_each_tensor_is_asked_for_once(tmp_path: Path) -> None:
    tensors = Lazy()
    write_checkpoint(tmp_path, LSTM, tensors, tiny_tokenizer_files())
    assert tensors.asked == list(tensors.shapes)
    assert open_checkpoint(tmp_path).tensor("lm_head.bias")[0] == len(tensors)


def test_tensors_that_do_not_fit_are_named(tmp_path: Path) -> None:
    weights = random_weights(LSTM)
    with pytest.raises(ValueError, match="extra is not part"):
        write_checkpoint(tmp_path / "a", LSTM, {**weights, "extra": weights["lm_head.bias"]}, {})
    with pytest.raises(ValueError, match=r"lm_head\.bias has shape \(3,\)"):
        write_checkpoint(tmp_path / "b", LSTM, {**weights, "lm_head.bias": np.zeros(3, np.float32)}, {})
    del weights["lm_head.bias"]
    with pytest.raises(ValueError, match=r"lm_head\.bias is missing"):
        write_checkpoint(tmp_path / "c", LSTM, weights, {})
    assert not (tmp_path / "c").exists()


# A training run's directory


def test_a_run_is_opened_by_the_model_in_it(tmp_path: Path) -> None:
    write_tiny_checkpoint(tmp_path / "my-run" / "model", config=LSTM)
    (tmp_path / "my-run" / "metrics.jsonl").write_text("{}\n")
    checkpoint = open_checkpoint(tmp_path / "my-run")
    assert (checkpoint.name, checkpoint.config) == ("my-run", LSTM)
    assert checkpoint.source_files() == [tmp_path / "my-run" / "model" / "model.safetensors"]


def test_a_model_comes_before_one_in_a_folder_of_it(tmp_path: Path) -> None:
    write_tiny_checkpoint(tmp_path / "outer")
    write_tiny_checkpoint(tmp_path / "outer" / "model", config=LSTM)
    assert open_checkpoint(tmp_path / "outer").config == LLAMA


def test_a_run_without_a_model_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(UnsupportedModelError, match=r"no config\.json"):
        open_checkpoint(tmp_path)


# Pickles

PICKLES = ["pytorch_model.bin", "model.pt", "consolidated.00.pth", "model.ckpt", "model.pkl"]


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def bomb(tmp_path: Path) -> bytes:
    content = pickle.dumps(Bomb(tmp_path / "exploded"))
    pickle.loads(content)
    assert (tmp_path / "exploded").is_dir()  # it does what it claims to do
    (tmp_path / "exploded").rmdir()
    return content


@pytest.mark.parametrize("name", PICKLES)
def test_a_pickle_is_never_opened(tmp_path: Path, bomb: bytes, name: str) -> None:
    directory = write_tiny_checkpoint(tmp_path / "tiny")
    (directory / name).write_bytes(bomb)
    # Beside safetensors it is passed over, with and without an index that names it …
    checkpoint = open_checkpoint(directory)
    checkpoint.tensor("model.norm.weight")
    checkpoint.tokenizer_files()
    (directory / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    open_checkpoint(directory)
    # … alone it is refused, by the directory's name and by its own.
    (directory / "model.safetensors").unlink()
    for path in (directory, directory / name):
        with pytest.raises(UnsupportedModelError, match="never opened"):
            open_checkpoint(path)
    # A pickle that is called safetensors is no safetensors file.
    (directory / "model.safetensors").write_bytes(bomb)
    with pytest.raises(Exception, match="not a valid safetensors file"):
        open_checkpoint(directory)
    assert not (tmp_path / "exploded").exists()


# What older programs stored in GPT-2's and others' files


def test_a_head_that_is_not_the_embedding_is_refused_where_the_config_ties_them(tmp_path: Path) -> None:
    directory = write_tiny_checkpoint(tmp_path / "tiny")
    weights = random_weights(LLAMA)
    embedding = weights["model.embed_tokens.weight"]
    save_file({**weights, "lm_head.weight": embedding}, directory / "model.safetensors")
    assert open_checkpoint(directory).tensor_names() == list(weights)
    for other in (embedding + 1, embedding[1:], embedding.astype(np.float16)):
        save_file({**weights, "lm_head.weight": other}, directory / "model.safetensors")
        with pytest.raises(UnsupportedModelError, match=r"lm_head\.weight"):
            open_checkpoint(directory)


@pytest.mark.parametrize("name", ["transformer.h.0.attn.q_proj.weight", "h.2.ln_1.weight", "score.weight"])
def test_unknown_tensors_of_gpt2_are_refused_by_name(tmp_path: Path, name: str) -> None:
    directory = write_tiny_checkpoint(tmp_path / "tiny", config=GPT2)
    stored = load_file(directory / "model.safetensors")
    save_file({**stored, name: np.ones(64, np.float32)}, directory / "model.safetensors")
    with pytest.raises(UnsupportedModelError, match=name.removeprefix("transformer.")):
        open_checkpoint(directory)


@pytest.mark.parametrize("kind", ["lm", "adapter"])
def test_an_unfinished_run_says_how_to_continue(tmp_path: Path, kind: str) -> None:
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "run.json").write_text(json.dumps({"format": "nlpsuite-run", "kind": kind}))
    for action in (open_checkpoint, resolve_model):
        with pytest.raises(ModelUnavailableError, match="hasn't finished") as caught:
            action(run)
        assert caught.value.hint == f"To continue it: nlpsuite train {kind} --resume -o {run}"
    (run / "run.json").write_text("{")
    with pytest.raises(ModelUnavailableError, match="hasn't finished"):
        open_checkpoint(run)


def test_the_run_of_an_adapter_is_not_a_model(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"kind": "adapter"}))
    (tmp_path / "adapter.safetensors").touch()
    with pytest.raises(ModelUnavailableError, match="of an adapter") as caught:
        resolve_model(tmp_path)
    assert f"--adapter {tmp_path / 'adapter.safetensors'}" in caught.value.hint
