"""The short way of attention is torch's own, within what bfloat16 holds."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

with warnings.catch_warnings():  # torch's own, at import
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch")

SHAPES = [(2, 4, 4, 17, 16), (3, 6, 2, 33, 8), (1, 9, 3, 1, 16), (2, 4, 1, 384, 8)]


def tensors(shape: tuple[int, ...], dtype: Any) -> list[Any]:
    B, H, G, S, d = shape
    generator = torch.Generator().manual_seed(S)
    sizes = [(B, H, S, d), (B, G, S, d), (B, G, S, d)]
    return [torch.randn(size, generator=generator).to(dtype).requires_grad_() for size in sizes]


def by_hand(q: Any, k: Any, v: Any) -> Any:
    """Attention as its definition says, in float64."""
    q, k, v = (tensor.double() for tensor in (q, k, v))
    k, v = (tensor.repeat_interleave(q.shape[1] // tensor.shape[1], dim=1) for tensor in (k, v))
    scores = q @ k.transpose(2, 3) / q.shape[3] ** 0.5
    later = torch.ones(q.shape[2], q.shape[2], dtype=torch.bool).triu(1)
    return scores.masked_fill(later, float("-inf")).softmax(-1) @ v


@pytest.mark.parametrize("dtype, tolerance", [("bfloat16", 0.03), ("float32", 1e-5)])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_the_definition_and_so_is_its_gradient(
    shape: tuple[int, ...], dtype: str, tolerance: float
) -> None:
    from nlpsuite.models.attention import attend

    given = tensors(shape, getattr(torch, dtype))
    out = attend(*given, None)
    expected = by_hand(*given)
    assert out.dtype == getattr(torch, dtype) and out.shape == expected.shape
    torch.testing.assert_close(out.double(), expected, atol=tolerance, rtol=0)
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).double()
    found = torch.autograd.grad((out.double() * weights).sum(), given)
    wanted = torch.autograd.grad((expected * weights).sum(), given)
    for one, other in zip(found, wanted):
        scale = max(1.0, float(other.abs().max()))
        torch.testing.assert_close(one.double(), other.double(), atol=tolerance * scale, rtol=0)


@pytest.mark.parametrize("positions", [40, 500])  # the short way, and torch's
def test_short_and_long_agree_with_the_fused_kernel(positions: int) -> None:
    from nlpsuite.models.attention import attend

    q, k, v = tensors((2, 4, 2, positions, 16), torch.bfloat16)
    fused = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    torch.testing.assert_close(attend(q, k, v, None), fused, atol=0.03, rtol=0)


def test_no_position_sees_a_later_one() -> None:
    from nlpsuite.models.attention import attend

    q, k, v = tensors((1, 2, 1, 20, 8), torch.bfloat16)
    changed = [tensor.detach().clone() for tensor in (q, k, v)]
    for tensor in changed:
        tensor[:, :, 12:] = 9.0
    before, after = attend(q, k, v, None), attend(*changed, None)
    assert torch.equal(before[:, :, :12], after[:, :, :12])
    assert not torch.equal(before[:, :, 12:], after[:, :, 12:])


def test_a_mask_says_what_is_seen() -> None:
    from nlpsuite.models.attention import attend

    q, k, v = tensors((2, 4, 2, 5, 8), torch.bfloat16)
    only_first = torch.zeros(2, 1, 5, 5, dtype=torch.bool)
    only_first[..., 0] = True
    expected = v[:, :, :1].repeat_interleave(2, dim=1).expand(2, 4, 5, 8)
    torch.testing.assert_close(attend(q, k, v, only_first), expected, atol=0.01, rtol=0)
