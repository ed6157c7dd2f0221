"""Answers of a torch model while it learns: generated texts and scored choices.

Slower than the runtime and without its features; enough to see whether training goes the right
way. What is reported of a finished model comes from the exported graph.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import torch
from torch import Tensor

from nlpsuite.training.batch import LossModule, pad_rows

__all__ = ["generate", "score_continuations"]


@torch.no_grad()
def generate(
    loss: LossModule,
    prompts: Sequence[Sequence[int]],
    *,
    max_tokens: int,
    end_ids: Collection[int],
    temperature: float = 0.0,
    seed: int = 0,
) -> list[list[int]]:
    """New tokens for each prompt, all in one batch, without the end token.

    A row ends where the model's context is full.

    Args:
        prompts: ids, at least one each and no more than the context.
        temperature: 0 takes the likeliest token.
        seed: of the draws; the global generator is left alone.
    """
    module, device = loss.module, next(loss.module.parameters()).device
    lengths = torch.tensor([len(ids) for ids in prompts], device=device)
    width = int(lengths.max())
    ids = torch.zeros(len(prompts), width, dtype=torch.int64, device=device)
    for row, prompt in enumerate(prompts):
        ids[row, : len(prompt)] = torch.tensor(prompt)
    generator = np.random.default_rng(seed)
    state = module.empty_state(len(prompts), width + max_tokens)._replace(lengths=lengths)
    reads = (lengths - 1)[:, None]
    out: list[list[int]] = [[] for _ in prompts]
    running = set(range(len(prompts)))
    for _ in range(max_tokens):
        with loss.autocast(device.type):
            logits, after = module(ids, state, reads)
        # The rows' real lengths: the next token goes over the padding.
        state = after._replace(write_indices=lengths, lengths=None)
        tokens = _draw(logits[:, 0].float(), temperature, generator)
        for row in sorted(running):
            if tokens[row] in end_ids:
                running.discard(row)
            else:
                out[row].append(tokens[row])
                if len(prompts[row]) + len(out[row]) >= module.config.context_length:
                    running.discard(row)
        if not running:
            break
        ids = torch.tensor(tokens, device=device)[:, None]
        lengths = lengths + 1
        reads = torch.zeros_like(reads)
    return out


def _draw(logits: Tensor, temperature: float, generator: np.random.Generator) -> list[int]:
    """A token for each row of logits (B, V)."""
    if temperature == 0:
        return [int(token) for token in logits.argmax(-1)]
    chances = (logits / temperature).softmax(-1).double().cpu().numpy()
    return [int(generator.choice(len(row), p=row / row.sum())) for row in chances]


@torch.no_grad()
def score_continuations(
    loss: LossModule,
    contexts: Sequence[Sequence[int]],
    continuations: Sequence[Sequence[Sequence[int]]],
    batch_rows: int = 32,
) -> list[list[float]]:
    """Log-probability (natural) of each context's continuations; each needs a context of one token or more."""
    rows = [
        (i, [*context, *ids], len(context)) for i, context in enumerate(contexts) for ids in continuations[i]
    ]
    scores: list[list[float]] = [[] for _ in contexts]
    device = next(loss.module.parameters()).device
    for at in range(0, len(rows), batch_rows):
        part = rows[at : at + batch_rows]
        batch = pad_rows([(ids, given) for _, ids, given in part]).to(device)
        with loss.autocast(device.type):
            hidden, _ = loss.module.hidden(batch.input_ids)
            row_of, position = (batch.labels >= 0).nonzero(as_tuple=True)
            logits = loss.module.head(hidden[row_of, position]).float()
        chosen = logits.log_softmax(-1).gather(1, batch.labels[row_of, position][:, None])[:, 0]
        totals = torch.zeros(len(part), device=device).index_add_(0, row_of, chosen)
        for (i, _, _), total in zip(part, totals.tolist()):
            scores[i].append(total)
    return scores
