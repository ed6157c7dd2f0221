"""Low-rank adapters begin as the base, and nothing but they learns."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from tiny import CONFIGS

from nlpsuite.errors import OptionError

with warnings.catch_warnings():  # torch's own, at import
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch")

IDS = [[5, 9, 200, 33, 7], [1, 2, 3, 4, 5]]
LAYERS = {
    "llama": {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"},
    "gpt2": {"c_attn", "c_proj", "c_fc"},
    "gpt-neox": {"query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"},
}


def fresh(name: str) -> Any:
    from nlpsuite.models.language_module import build_module

    torch.manual_seed(0)
    return build_module(CONFIGS[name])


@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "lstm"])
def test_it_begins_as_the_base(name: str) -> None:
    from nlpsuite.models.lora import add_lora, lora_parameters

    module, ids = fresh(name), torch.tensor(IDS)
    before = module(ids)[0]
    changed = add_lora(module, rank=4, alpha=8.0)
    assert torch.equal(module(ids)[0], before)
    assert {layer.rpartition(".")[2] for layer in changed} == LAYERS[
        next((kind for kind in LAYERS if kind in name), "llama")
    ]
    parameters = lora_parameters(module)
    assert sorted(parameters) == sorted(f"{c}.lora_{part}.weight" for c in changed for part in "AB")
    known = dict(CONFIGS[name].parameter_shapes())
    for layer in changed:
        outputs, inputs = known[f"{layer}.weight"]  # the base's own name of the layer
        assert parameters[f"{layer}.lora_A.weight"].shape == (4, inputs)
        assert parameters[f"{layer}.lora_B.weight"].shape == (outputs, 4)


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_only_a_and_b_learn(name: str) -> None:
    from nlpsuite.models.lora import add_lora, lora_parameters

    module = fresh(name)
    add_lora(module, rank=2, alpha=4.0)
    trained = lora_parameters(module)
    assert {id(p) for p in module.parameters() if p.requires_grad} == {id(p) for p in trained.values()}
    frozen = {n: p.detach().clone() for n, p in module.named_parameters() if not p.requires_grad}
    optimizer = torch.optim.AdamW(trained.values(), lr=0.01)
    for _ in range(2):  # B is 0 at first, so that A learns from the second step on
        module(torch.tensor(IDS))[0].square().mean().backward()
        assert all(p.grad is not None for p in trained.values())
        optimizer.step()
        optimizer.zero_grad()
    after = dict(module.named_parameters())
    assert all(torch.equal(after[n], before) for n, before in frozen.items())
    assert all(bool(p.any()) for n, p in trained.items() if "lora_B" in n)


def test_what_it_computes_is_the_merged_layer() -> None:
    from nlpsuite.models.lora import LoRALinear

    torch.manual_seed(1)
    base = torch.nn.Linear(6, 5)
    layer = LoRALinear(base, rank=2, alpha=3.0)
    torch.nn.init.normal_(layer.lora_B)
    x = torch.randn(4, 6)
    merged = base.weight + 3.0 / 2 * layer.lora_B @ layer.lora_A
    torch.testing.assert_close(layer(x), x @ merged.T + base.bias)


def test_a_base_in_half_precision_has_an_adapter_in_full() -> None:
    from nlpsuite.models.lora import add_lora, lora_parameters

    module = fresh("llama").to(torch.bfloat16)
    add_lora(module, rank=2, alpha=4.0)
    assert {p.dtype for p in lora_parameters(module).values()} == {torch.float32}
    assert module(torch.tensor(IDS))[0].dtype == torch.bfloat16


def test_targets_are_chosen_by_name() -> None:
    from nlpsuite.models.lora import LoRALinear, add_lora

    module = fresh("llama")
    changed = add_lora(module, rank=2, alpha=4.0, targets=["v_proj", "q_proj"])
    assert changed == [f"model.layers.{i}.self_attn.{kind}_proj" for i in (0, 1) for kind in "qv"]
    assert sum(isinstance(layer, LoRALinear) for layer in module.modules()) == 4
    assert not any(p.requires_grad for n, p in module.named_parameters() if "lora" not in n)


@pytest.mark.parametrize(
    "name, changes, message, hint",
    [
        ("llama", {"targets": ["q_proj", "query"]}, "no linear layer called 'query'", "o_proj"),
        ("llama", {"targets": ["lm_head"]}, "no linear layer called 'lm_head'", "q_proj"),
        ("llama", {"rank": 33}, "Rank 33 is out of range for .*k_proj \\(32 × 64\\)", "1 to 32"),
        ("llama", {"rank": 0}, "Rank 0", "1 to"),
        ("lstm", {}, "no linear layers", "--full"),
    ],
)
def test_what_can_not_be_adapted_is_left_as_it_was(
    name: str, changes: dict[str, Any], message: str, hint: str
) -> None:
    from nlpsuite.models.lora import add_lora

    module = fresh(name)
    names = [n for n, _ in module.named_parameters()]
    with pytest.raises(OptionError, match=message) as caught:
        add_lora(module, **{"rank": 4, "alpha": 8.0, **changes})
    assert hint in caught.value.hint
    assert [n for n, _ in module.named_parameters()] == names
    assert all(p.requires_grad for p in module.parameters())
