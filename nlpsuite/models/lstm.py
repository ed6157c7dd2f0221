"""The recurrent language model, Embedding → LSTM → Linear, in one file.

    B  rows (slots)         S  new tokens per row      L  layers
    E  embedding size       D  hidden size             V  vocabulary

Sources: Hochreiter & Schmidhuber 1997; Press & Wolf 2017 (arXiv:1608.05859), who tie head and embedding; Merity et al.
2017 (arXiv:1708.02182), the AWD-LSTM, whose dropout makes a model this size learn a small corpus without memorizing it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from nlpsuite.models.config import LSTMConfig
from nlpsuite.models.module_base import LanguageModule
from nlpsuite.models.state import PastState, State

__all__ = ["LSTMLanguageModel"]

# torch orders the gates input, forget, cell, output; ONNX input, output, forget, cell.
_ONNX_ORDER = (0, 3, 1, 2)
# Rates of dropout beside that of the input, the output and the recurrent weights, which is the setting itself.
_WORD_RATE, _LAYER_RATE = 0.2, 0.5


class LSTMLanguageModel(LanguageModule):
    """A causal language model whose state is (h, c), both (B, L, D): small, but it can't be rolled back."""

    config: LSTMConfig

    def __init__(self, config: LSTMConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size)
        self.lstm = nn.LSTM(config.embedding_size, config.hidden_size, config.num_layers, batch_first=True)
        tied = config.tie_word_embeddings
        self.projection = (
            nn.Linear(config.hidden_size, config.embedding_size, bias=False) if tied else nn.Identity()
        )
        self.lm_head = nn.Linear(config.embedding_size if tied else config.hidden_size, config.vocab_size)
        self.dropout = nn.Dropout(0.0)  # its rate is that of all
        self.tie()

    def initialize(self) -> None:
        for name, parameter in self.named_parameters():
            if name.startswith("lstm"):
                nn.init.uniform_(parameter, -(self.config.hidden_size**-0.5), self.config.hidden_size**-0.5)
            elif parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.05)
            else:
                nn.init.zeros_(parameter)
        for i in range(self.config.num_layers):
            # A forget gate that starts open lets gradients reach far back (Jozefowicz et al. 2015).
            bias = self.get_parameter(f"lstm.bias_ih_l{i}")
            with torch.no_grad():
                bias[self.config.hidden_size : 2 * self.config.hidden_size] = 1.0

    def hidden(self, input_ids: Tensor, state: State | None = None) -> tuple[Tensor, State | None]:
        assert not isinstance(state, PastState), "a recurrent state is not a list of past positions"
        x = self.embedding(input_ids)  # (B, S, E)
        if state is None:
            return self._regularized(x, input_ids), None
        # A row at 0 starts afresh: its slot may still hold another text's state.
        started = (state.write_indices > 0).to(x.dtype)[:, None, None]
        h, c = (tensor * started for tensor in state.tensors)  # (B, L, D)
        lengths = (
            state.lengths if state.lengths is not None else torch.full_like(state.write_indices, x.shape[1])
        )
        step = self._onnx_step if torch.onnx.is_in_onnx_export() else self._torch_step
        x, h, c = step(x, h, c, lengths)
        return self.projection(x), state.advanced(input_ids.shape[1], (h, c))

    def _regularized(self, x: Tensor, input_ids: Tensor) -> Tensor:
        """Read whole rows; (B, S, E) to the head's input. Every dropout mask holds for all of a row's steps."""
        p = self.dropout.p if self.training else 0.0
        if p == 0:
            y: Tensor = self.projection(self.lstm(x)[0])
            return y
        words = x.new_ones(self.config.vocab_size)  # a word is dropped wherever it occurs
        x = x * functional.dropout(words, _WORD_RATE * p)[input_ids, None]
        x = _locked_dropout(x, p)
        for i in range(self.config.num_layers):
            names = [f"lstm.{name}_l{i}" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
            weights: list[Tensor] = [self.get_parameter(name) for name in names]
            weights[1] = functional.dropout(weights[1], p)
            zero = x.new_zeros(1, len(x), self.config.hidden_size)
            x = torch.lstm(x, (zero, zero), weights, True, 1, 0.0, True, False, True)[0]
            if i < self.config.num_layers - 1:
                x = _locked_dropout(x, _LAYER_RATE * p)
        return _locked_dropout(self.projection(x), p)

    def head(self, x: Tensor) -> Tensor:
        logits: Tensor = self.lm_head(x)
        return logits

    def _torch_step(self, x: Tensor, h: Tensor, c: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Read ragged rows; (B, S, E) and state (B, L, D) to outputs (B, S, D) and the state after each end."""
        before = (h, c)
        packed = nn.utils.rnn.pack_padded_sequence(
            x, lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False
        )
        state = (h.transpose(0, 1).contiguous(), c.transpose(0, 1).contiguous())
        packed, state = self.lstm(packed, state)
        out, _ = nn.utils.rnn.pad_packed_sequence(packed, batch_first=True, total_length=x.shape[1])
        # A row without a real token stays where it is.
        real = (lengths > 0)[:, None, None]
        after = [torch.where(real, new.transpose(0, 1), old) for new, old in zip(state, before)]
        return out, after[0], after[1]

    def _onnx_step(self, x: Tensor, h: Tensor, c: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The same as ONNX's LSTM operator, a layer at a time; the weights keep their names and layout."""
        batch, size = x.shape[0], self.config.hidden_size
        x = x.transpose(0, 1)  # (S, B, E)
        real = (lengths > 0)[:, None]
        steps = lengths.clamp(min=1).to(torch.int32)
        states: tuple[list[Tensor], list[Tensor]] = ([], [])
        for i in range(self.config.num_layers):
            w, r, bw, br = (
                torch.cat(
                    [self.get_parameter(f"lstm.{name}_l{i}")[g * size : (g + 1) * size] for g in _ONNX_ORDER]
                )
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            y, h_after, c_after = torch.onnx.ops.symbolic_multi_out(
                "LSTM",
                (x, w[None], r[None], torch.cat((bw, br))[None], steps, h[:, i][None], c[:, i][None]),
                attrs={"hidden_size": size},
                dtypes=(x.dtype,) * 3,
                shapes=((x.shape[0], 1, batch, size), (1, batch, size), (1, batch, size)),
                version=22,
            )
            x = y[:, 0]
            for parts, new, old in zip(states, (h_after[0], c_after[0]), (h[:, i], c[:, i])):
                parts.append(torch.where(real, new, old))
        h, c = (torch.stack(parts, dim=1) for parts in states)
        return x.transpose(0, 1), h, c


def _locked_dropout(x: Tensor, p: float) -> Tensor:
    """Dropout of (B, S, D) with one mask per row for all steps (Gal & Ghahramani 2016, arXiv:1512.05287)."""
    return x * functional.dropout(x.new_ones(x.shape[0], 1, x.shape[2]), p)
