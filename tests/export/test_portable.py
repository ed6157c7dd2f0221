"""The portable bundle: what other apps do with it gives torch's text, whatever side they pad on."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from templates import saved_template
from tiny import CHAT_TEMPLATE, CONFIGS, VOCABULARY, write_tiny_checkpoint
from tokenizers import Tokenizer

from nlpsuite.export.fill import fill_template
from nlpsuite.export.portable import GRAPH_FILES, portable_files
from nlpsuite.models.checkpoint import Checkpoint, open_checkpoint
from nlpsuite.models.config import GPT2Config, config_from_hf

EXAMPLES = Path(__file__).parents[2] / "examples"
# Every family's logits are compared in tests/models/test_family_table.py; padding and caches differ in these.
MODELS = ["llama", "gemma3", "phi3", "smollm3", "gpt2", "gpt-neox"]
NEW = 12
PAD = 0

Row = list[int]
Ints = np.ndarray
Greedy = Callable[[Row], Row]


class Portable:
    """A portable bundle, its checkpoint and the same model in torch."""

    def __init__(self, checkpoint: Checkpoint, directory: Path) -> None:
        self.checkpoint, self.directory = checkpoint, directory
        (directory / "onnx").mkdir(parents=True)
        file = directory / GRAPH_FILES["fp32"]
        with warnings.catch_warnings():  # torch's and the exporter's own, at import and while tracing
            warnings.simplefilter("ignore")
            torch = pytest.importorskip("torch")
            pytest.importorskip("onnxscript")
            from nlpsuite.models.language_module import load_module

            template = saved_template(checkpoint.config, "portable")
            fill_template(template, checkpoint, "fp32", file, layout="portable")
        torch.set_num_threads(1)  # the model is so small that threads only wait for each other
        self._torch, self._module = torch, load_module(checkpoint)
        files = portable_files(checkpoint.config, checkpoint.tokenizer_files(), [GRAPH_FILES["fp32"]])
        for name, text in files.items():
            (directory / name).write_text(text, encoding="utf-8")
        self.session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])

    def torch_logits(self, ids: Row) -> np.ndarray:
        with self._torch.no_grad():
            out: np.ndarray = self._module(self._torch.tensor([ids]))[0][0].numpy()
        return out

    def torch_greedy(self, ids: Row, count: int = NEW) -> Row:
        drawn: Row = []
        for _ in range(count):
            drawn.append(int(self.torch_logits(ids + drawn)[-1].argmax()))
        return drawn

    def no_past(self, rows: int) -> list[np.ndarray]:
        """What another app makes of the declared inputs: every named size but the batch is 0."""
        return [
            np.zeros(
                [rows if d == "batch_size" else 0 if isinstance(d, str) else d for d in v.shape], np.float32
            )
            for v in self.session.get_inputs()
            if v.name.startswith("past_key_values.")
        ]

    def run(
        self, ids: Ints, mask: Ints, positions: Ints, past: list[np.ndarray]
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        names = [v.name for v in self.session.get_inputs()]
        assert names[:3] == ["input_ids", "attention_mask", "position_ids"]
        logits, *present = self.session.run(None, dict(zip(names, [ids, mask, positions, *past])))
        return logits, present


@pytest.fixture(scope="module", params=MODELS)
def portable(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Portable:
    directory = tmp_path_factory.mktemp("portable")
    config = CONFIGS[request.param]
    if isinstance(config, GPT2Config):  # room for the longest answer
        config = dataclasses.replace(config, n_positions=256)
    path = write_tiny_checkpoint(directory / request.param, config=config)
    return Portable(open_checkpoint(path), directory / "bundle")


def tokens(count: int, seed: int = 0) -> Row:
    return [int(i) for i in np.random.default_rng(seed).integers(3, VOCABULARY, count)]


ROWS = [tokens(n, n) for n in (9, 1, 20, 4)]


def test_one_pass_gives_torchs_logits(portable: Portable) -> None:
    ids = np.array([tokens(40)])
    logits, present = portable.run(ids, np.ones_like(ids), np.arange(40)[None], portable.no_past(1))
    expected = portable.torch_logits(tokens(40))
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(logits[0], expected, atol=1e-3)
    assert [p.shape for p in present] == [p.shape[:2] + (40,) + p.shape[3:] for p in portable.no_past(1)]


def test_only_standard_operators(portable: Portable) -> None:
    model = onnx.load(portable.directory / GRAPH_FILES["fp32"], load_external_data=False)
    assert {node.domain for node in model.graph.node} == {""}
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 23)]


def test_token_by_token_and_in_pieces(portable: Portable) -> None:
    ids = tokens(20)
    expected = portable.torch_logits(ids)
    for size in (1, 7):
        past, parts = portable.no_past(1), []
        for at in range(0, len(ids), size):
            piece = np.array([ids[at : at + size]])
            seen = at + piece.shape[1]
            positions = np.arange(at, seen)[None]
            logits, past = portable.run(piece, np.ones((1, seen), np.int64), positions, past)
            parts.append(logits[0])
        np.testing.assert_allclose(np.concatenate(parts), expected, atol=1e-3)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_makes_no_difference(portable: Portable, side: str) -> None:
    """Greedy decoding as transformers.js and optimum do it (left) and as onnxruntime-genai does (right)."""
    longest = max(map(len, ROWS))
    pads = [[PAD] * (longest - len(row)) for row in ROWS]
    if side == "left":
        padded = [pad + row for pad, row in zip(pads, ROWS)]
    else:
        padded = [row + pad for pad, row in zip(pads, ROWS)]
    ids = np.array(padded)
    lengths = np.array([len(row) for row in ROWS])
    at = np.arange(longest)[None]
    real = at >= longest - lengths[:, None] if side == "left" else at < lengths[:, None]
    mask = real.astype(np.int64)
    # Padding's own positions: some apps give it 1, others 0; nothing may depend on them.
    positions = np.where(real, mask.cumsum(axis=1) - 1, 1)
    last = np.full(len(ROWS), longest - 1) if side == "left" else lengths - 1

    past, drawn = portable.no_past(len(ROWS)), []
    for step in range(NEW):
        logits, past = portable.run(ids, mask, positions, past)
        new = logits[np.arange(len(ROWS)), last].argmax(axis=-1)
        drawn.append(new)
        ids, last = new[:, None], np.zeros(len(ROWS), np.int64)
        mask = np.concatenate([mask, np.ones((len(ROWS), 1), np.int64)], axis=1)
        positions = (lengths + step)[:, None]
    assert np.array(drawn).T.tolist() == [portable.torch_greedy(row) for row in ROWS]


def test_a_row_of_nothing_but_padding_does_no_harm(portable: Portable) -> None:
    ids = np.array([tokens(5), [PAD] * 5])
    mask = np.array([[1] * 5, [0] * 5])
    logits, _ = portable.run(ids, mask, np.array([range(5), [1] * 5]), portable.no_past(2))
    assert np.isfinite(logits).all()
    np.testing.assert_allclose(logits[0], portable.torch_logits(tokens(5)), atol=1e-3)


def test_half_precision_is_close_to_single(tmp_path: Path) -> None:
    """On the CPU through onnxruntime's casts; on CUDA as it is."""
    checkpoint = open_checkpoint(write_tiny_checkpoint(tmp_path / "tiny"))
    single = Portable(checkpoint, tmp_path / "single")
    ids = tokens(30)
    logits = half_logits(checkpoint, tmp_path / "half.onnx", ids)
    assert logits.dtype == np.float16
    expected = single.torch_logits(ids)
    error = np.abs(logits[0] - expected).max() / np.abs(expected).max()
    assert 0 < error < 0.02


def half_logits(checkpoint: Checkpoint, path: Path, ids: Row) -> np.ndarray:
    template = saved_template(checkpoint.config, "portable", "fp16")
    fill_template(template, checkpoint, "fp16", path, layout="portable")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    feeds: dict[str, Any] = {
        v.name: np.zeros((1, v.shape[1], 0, v.shape[3]), np.float16)
        for v in session.get_inputs()
        if v.name.startswith("past_key_values.")
    }
    feeds |= {
        "input_ids": np.array([ids]),
        "attention_mask": np.ones((1, len(ids)), np.int64),
        "position_ids": np.arange(len(ids))[None],
    }
    logits: np.ndarray = session.run(["logits"], feeds)[0]
    return logits


# The other files.


def test_the_files_that_other_apps_read(portable: Portable) -> None:
    read = {p.name: p.read_text(encoding="utf-8") for p in portable.directory.iterdir() if p.is_file()}
    assert sorted(read) == [
        "chat_template.jinja",
        "config.json",
        "genai_config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    config = portable.checkpoint.config
    hf = json.loads(read["config.json"])
    assert config_from_hf(hf) == config
    assert (hf["eos_token_id"], hf["pad_token_id"]) == ([0, 2], 0)
    tokenizer = json.loads(read["tokenizer_config.json"])
    assert tokenizer["chat_template"] == read["chat_template.jinja"] == CHAT_TEMPLATE
    assert tokenizer["padding_side"] == "left" and tokenizer["add_bos_token"] is False
    assert tokenizer["model_input_names"] == ["input_ids", "attention_mask"]
    assert json.loads(read["tokenizer.json"])["post_processor"] is None
    genai = json.loads(read["genai_config.json"])
    assert genai["model"]["eos_token_id"] == hf["eos_token_id"]
    assert genai["model"]["context_length"] == config.context_length
    decoder = genai["model"]["decoder"]
    assert (portable.directory / decoder["filename"]).is_file()
    assert genai["search"]["past_present_share_buffer"] is False and genai["search"]["do_sample"] is False
    inputs = {v.name for v in portable.session.get_inputs()}
    outputs = {v.name for v in portable.session.get_outputs()}
    for i in range(decoder["num_hidden_layers"]):
        for kind in ("key", "value"):
            assert decoder["inputs"][f"past_{kind}_names"] % i in inputs
            assert decoder["outputs"][f"present_{kind}_names"] % i in outputs
    assert len(inputs) == 3 + 2 * decoder["num_hidden_layers"]
    shape = portable.session.get_inputs()[3].shape
    assert [decoder["num_key_value_heads"], decoder["head_size"]] == [shape[1], shape[3]]


@pytest.mark.parametrize(
    "precision,dtype", [("fp32", "fp32"), ("fp16", "fp16"), ("int8", "q8"), ("int4", "q4")]
)
def test_each_precision_has_the_name_that_is_looked_for(tmp_path: Path, precision: str, dtype: str) -> None:
    checkpoint = open_checkpoint(write_tiny_checkpoint(tmp_path / "tiny"))
    files = portable_files(checkpoint.config, checkpoint.tokenizer_files(), [GRAPH_FILES[precision]])
    browser = json.loads(files["config.json"])["transformers.js_config"]
    assert browser["dtype"] == dtype
    assert browser["use_external_data_format"] == {Path(GRAPH_FILES[precision]).name: True}
    assert browser.get("kv_cache_dtype") == ({"fp16": "float16"} if precision == "fp16" else None)


# The apps themselves, where they are installed.

# No word that is in the tiny vocabulary but that its merges can't reach (" and", " in"): genai takes
# those whole. The vocabulary of a trained tokenizer has no such words.
QUESTIONS = ["the cat on the dog", "Is it good?", "on 3 mats at Köln while it was raining, or so they said;"]


def expected_answers(portable: Portable) -> list[Row]:
    """Greedy answers of 40 tokens, by torch."""
    tokenizer = Tokenizer.from_file(str(portable.directory / "tokenizer.json"))
    answers = []
    for question in QUESTIONS:
        prompt = f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
        ids = tokenizer.encode(prompt, add_special_tokens=False).ids
        drawn = portable.torch_greedy(ids, 40)
        ends = json.loads((portable.directory / "generation_config.json").read_text())["eos_token_id"]
        answers.append(drawn[: next((at for at, token in enumerate(drawn) if token in ends), None)])
    return answers


def answers(command: list[str], portable: Portable, questions: list[str]) -> list[Row]:
    done = subprocess.run(
        [*command, str(portable.directory), *questions], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["ids"] for line in done.stdout.splitlines()]


def test_onnxruntime_genai(portable: Portable) -> None:
    python = os.environ.get("NLPSUITE_TEST_GENAI_PYTHON", sys.executable)
    if subprocess.run([python, "-c", "import onnxruntime_genai"], capture_output=True).returncode:
        pytest.skip(
            "onnxruntime-genai is not installed (NLPSUITE_TEST_GENAI_PYTHON may name a Python with it)"
        )
    command = [python, str(EXAMPLES / "portable_genai.py")]
    expected = expected_answers(portable)
    assert answers(command, portable, QUESTIONS) == expected  # padded on the right
    assert answers(command, portable, QUESTIONS[:1]) == expected[:1]


def test_transformers_js(portable: Portable) -> None:
    example = EXAMPLES / "portable_transformers_js"
    if shutil.which("node") is None or not (example / "node_modules").is_dir():
        pytest.skip(f"transformers.js is not installed (npm install in {example})")
    command = ["node", str(example / "run.mjs")]
    expected = expected_answers(portable)
    assert answers(command, portable, QUESTIONS) == expected  # padded on the left
    assert answers(command, portable, QUESTIONS[:1]) == expected[:1]
