"""A second real model, Gemma 3 270M, where its weights are at hand: NLPSUITE_TEST_GEMMA names the GGUF file.

The file is gemma-3-270m-q4_k_m.gguf; Gemma's terms apply to it, so it isn't fetched.
"""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path

import pytest

from nlpsuite.models.checkpoint import open_checkpoint
from nlpsuite.runtime.language_model import LanguageModel
from nlpsuite.runtime.prompt import Prompt

WEIGHTS = os.environ.get("NLPSUITE_TEST_GEMMA", "")

pytestmark = [
    pytest.mark.model,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # torch's and transformers' own
    pytest.mark.skipif(not Path(WEIGHTS).is_file(), reason="NLPSUITE_TEST_GEMMA names no file"),
]


def test_gemma_writes_what_transformers_writes(tmp_path: Path) -> None:
    from nlpsuite.export.build import build_bundle

    checkpoint = open_checkpoint(Path(WEIGHTS))
    path = build_bundle(checkpoint, tmp_path / "gemma", precision="fp32")
    model = LanguageModel.load(path, device="cpu")
    [ours] = model.complete([Prompt(text="The capital of France is", max_tokens=24)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch = pytest.importorskip("torch")
        transformers = pytest.importorskip("transformers")
    settings = json.loads(json.dumps(checkpoint.config.to_hf()))
    config = transformers.AutoConfig.for_model(settings.pop("model_type"), **settings)
    theirs = transformers.AutoModelForCausalLM.from_config(config).eval()
    weights = {name: torch.from_numpy(checkpoint.tensor(name)) for name in checkpoint.tensor_names()}
    theirs.load_state_dict(weights, strict=False)
    theirs.tie_weights()
    ids = torch.tensor([model.tokenizer.encode_prompt(Prompt(text="The capital of France is"))])
    written = theirs.generate(ids, max_new_tokens=24, do_sample=False)[0, ids.shape[1] :]
    assert ours.text == model.tokenizer.decode(written.tolist())
    assert "city" in ours.text
