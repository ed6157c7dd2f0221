"""The settings of a run, declared once: flags of ``nlpsuite train``, Python keywords and keys of ``run.json``.

Imports no torch, so that ``--help`` is quick.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from nlpsuite.errors import OptionError
from nlpsuite.options import Options, option

__all__ = ["AdapterSettings", "LMSettings", "LoopSettings"]

_MINUTES = 10.0
_BY_ARCHITECTURE: Any = None  # replaced on construction


@dataclass(frozen=True)
class LoopSettings(Options):
    """Settings of every run: budget, optimizer, batches, machine.

    The schedule is a warm-up followed by half a cosine (Loshchilov & Hutter 2017,
    arXiv:1608.03983) over the budget. AdamW: Loshchilov & Hutter 2019 (arXiv:1711.05101).

    Without a budget a run gets ten minutes.

    Raises:
        OptionError: a value out of range, or two budgets.
    """

    steps: int | None = option(None, "Budget in optimizer steps.")
    minutes: float | None = option(
        None, "Budget in minutes; the learning rate follows the clock.  [default: 10, without --steps]"
    )
    lr: float = option(1e-3, "Peak learning rate.")
    warmup: float = option(0.03, "Fraction of the budget over which the learning rate rises from 0.")
    final_lr: float = option(0.1, "Learning rate at the end, as a fraction of the peak.")
    optimizer: Literal["adamw", "adam"] = option("adamw", "Optimizer; adam has no weight decay.")
    weight_decay: float = option(0.1, "Weight decay of matrices, with adamw.")
    beta2: float = option(0.95, "Decay of the second moment.")
    clip: float = option(1.0, "Gradient norm to clip at; 0 turns it off.")
    batch_tokens: int = option(4_096, "Most tokens in a batch.")
    accumulate: int = option(1, "Batches per optimizer step.")
    dropout: float = option(0.0, "Dropout rate.")
    label_smoothing: float = option(
        0.0,
        "Share of a target's probability that all tokens get in equal parts, such as 0.1 for translations.",
    )
    ema: float = option(
        0.0,
        "Decay per step of a moving average of the weights, such as 0.998, which is validated and saved in their "
        "place; 0 turns it off.",
    )
    evaluations: int = option(10, "Number of times to validate on held-out data.")
    patience: int = option(3, "Stop after this many validations without improvement; 0 turns it off.")
    save_steps: int | None = option(
        None, "Steps between checkpoints.  [default: a checkpoint every five minutes]"
    )
    seed: int = option(0, "Seed of weights, batches and dropout.")
    precision: Literal["auto", "fp32", "bf16"] = option(
        "auto", "Precision of matrix products; auto uses bf16 where the hardware has it."
    )
    device: Literal["auto", "cpu", "cuda"] = option(
        "auto", "Device to train on; auto uses CUDA if torch does."
    )
    compile: Literal["auto", "on", "off"] = option(
        "auto",
        "Compile the layers with torch.compile; auto does so on CUDA, for runs of three minutes or more.",
    )
    gradient_checkpointing: bool = option(
        False, "Compute layers twice instead of holding what gradients need: less memory, a third slower."
    )
    threads: int = option(0, "CPU threads; 0 uses the cores that are idle when the run starts.")
    fsdp: bool = option(False, "Shard the model over processes (with torchrun) instead of copying it.")

    def __post_init__(self) -> None:
        if self.steps is None and self.minutes is None:
            object.__setattr__(self, "minutes", _MINUTES)
        if self.steps is not None and self.minutes is not None:
            raise OptionError("Give one budget: --steps N or --minutes M.")
        self._check(
            steps=(self.steps is None or self.steps > 0, "1 or more"),
            minutes=(self.minutes is None or self.minutes > 0, "above 0"),
            lr=(0 < self.lr < 10, "between 0 and 10"),
            warmup=(0 <= self.warmup < 1, "0 or more, below 1"),
            final_lr=(0 <= self.final_lr <= 1, "between 0 and 1"),
            weight_decay=(0 <= self.weight_decay < 10, "between 0 and 10"),
            beta2=(0 <= self.beta2 < 1, "0 or more, below 1"),
            clip=(self.clip >= 0, "0 (off) or more"),
            batch_tokens=(self.batch_tokens > 0, "1 or more"),
            accumulate=(self.accumulate > 0, "1 or more"),
            dropout=(0 <= self.dropout < 1, "0 or more, below 1"),
            label_smoothing=(0 <= self.label_smoothing < 1, "0 or more, below 1"),
            ema=(0 <= self.ema < 1, "0 or more, below 1"),
            evaluations=(self.evaluations > 0, "1 or more"),
            patience=(self.patience >= 0, "0 (off) or more"),
            save_steps=(self.save_steps is None or self.save_steps > 0, "1 or more"),
            seed=(0 <= self.seed < 2**32, "0 or more, below 2^32"),
            threads=(self.threads >= 0, "0 or more"),
        )

    def _check(self, **checks: tuple[bool, str]) -> None:
        """Raise OptionError for the first setting that is out of range."""
        for name, (valid, allowed) in checks.items():
            if not valid:
                raise OptionError(f"{name} is {getattr(self, name)}, must be {allowed}.")


@dataclass(frozen=True)
class LMSettings(LoopSettings):
    """A language model from scratch. What is left out gets the architecture's defaults."""

    lr: float = option(_BY_ARCHITECTURE, "Peak learning rate.  [default: 0.002; lstm: 0.004]")
    batch_tokens: int = option(_BY_ARCHITECTURE, "Most tokens in a batch.  [default: 4096; lstm: 1536]")
    dropout: float = option(
        _BY_ARCHITECTURE,
        "Dropout rate; use less for a corpus that is read only once or twice.  [default: 0.2; lstm: 0.4]",
    )
    ema: float = option(
        _BY_ARCHITECTURE,
        "Decay per step of a moving average of the weights, which is validated and saved in their place; 0 turns it "
        "off.  [default: 0.0; lstm: 0.998]",
    )
    arch: Literal["decoder", "lstm", "gpt2"] = option("decoder", "Architecture.")
    vocab_size: int = option(10_000, "Size of the byte-level BPE vocabulary, which is trained first.")
    layers: int | None = option(None, "Number of layers.  [default: 6; lstm: 1]")
    hidden: int | None = option(None, "Hidden size.  [default: 256; lstm: by size of corpus, 256 to 2048]")
    heads: int | None = option(None, "Attention heads.  [default: hidden size / 64]")
    embedding: int | None = option(None, "Embedding size of the lstm.  [default: hidden size / 2]")
    tied: bool = option(True, "Use the embedding as the head of the lstm too, which makes it smaller.")
    context: int = option(
        _BY_ARCHITECTURE,
        "Tokens in a training window, and the context of a decoder.  [default: 256; lstm: 64]",
    )
    text_key: str = option("text", "Key of the text in JSONL.")
    encoding: str = option("utf-8", "Encoding of the text files.")
    heldout: float = option(0.1, "Fraction of the corpus to hold out.")
    heldout_characters: int = option(1_000_000, "Most held-out characters to validate on.")
    baselines: bool = option(True, "Compare with a unigram and a 5-gram model of the same tokens.")

    def __post_init__(self) -> None:
        # An LSTM reads token after token: many short windows side by side make it as fast as a decoder.
        defaults: dict[str, float] = (
            {"lr": 4e-3, "batch_tokens": 1_536, "dropout": 0.4, "ema": 0.998, "context": 64}
            if self.arch == "lstm"
            else {"lr": 2e-3, "batch_tokens": 4_096, "dropout": 0.2, "ema": 0.0, "context": 256}
        )
        for name, value in defaults.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        super().__post_init__()
        sizes = {name: getattr(self, name) for name in ("layers", "hidden", "heads", "embedding")}
        self._check(
            vocab_size=(257 <= self.vocab_size <= 1 << 20, "between 257 and 1,048,576"),
            context=(2 <= self.context <= self.batch_tokens, "2 or more, and no more than batch_tokens"),
            heldout=(0 < self.heldout <= 0.5, "above 0 and at most 0.5"),
            heldout_characters=(self.heldout_characters > 0, "1 or more"),
            **{name: (size is None or size > 0, "1 or more") for name, size in sizes.items()},
        )


@dataclass(frozen=True)
class AdapterSettings(LoopSettings):
    """An adapter of one task for one base, or all of the base's weights (``full``)."""

    lr: float = option(5e-4, "Peak learning rate; use less with --full, such as 2e-5.")
    weight_decay: float = option(0.0, "Weight decay of matrices, with adamw.")
    beta2: float = option(0.999, "Decay of the second moment.")
    batch_tokens: int = option(2_048, "Most tokens in a batch, padding included.")
    rank: int = option(16, "Rank of the adapter's matrices.")
    alpha: float = option(32.0, "Scale of the adapter: its product is multiplied by alpha / rank.")
    storage: Literal["fp16", "int8"] = option(
        "fp16", "Precision of the adapter's file; int8 takes half the space."
    )
    targets: str = option("all", "Layers to adapt: all, or names such as q_proj,v_proj.")
    full: bool = option(False, "Train all weights instead of an adapter.")
    quantized_base: bool = option(
        False,
        "Hold the base's layers in 4 to 8 bits, as its GGUF file has them; others are rounded to 4 bits.",
    )
    max_length: int = option(1_024, "Leave out examples with more tokens than this.")
    format: str = option("", "File type of the data, where its name doesn't say.")
    encoding: str = option("utf-8", "Encoding of text files; a byte order mark takes precedence.")
    delimiter: str = option("", "Delimiter of a CSV or TSV file; detected by default.")
    escape: str = option("", "Character that escapes quotes in a CSV file; by default they are doubled.")
    text_column: str | None = option(None, "Text column.  [default: the task's]")
    reference_column: str | None = option(None, "Reference column.  [default: the task's]")
    label_map: str = option("", "Meaning of labels in the data, such as 5=positive,1=negative.")
    option_column: str = option("", "Task options that each row sets, such as to=lang,from=source.")
    heldout: float = option(0.1, "Fraction of the examples to hold out.")
    heldout_data: str | None = option(
        None, "File of held-out examples, instead of a fraction of the data; read like the data."
    )
    heldout_examples: int = option(500, "Most examples to hold out.")
    scored_examples: int = option(
        200, "Most held-out examples to answer and score with the finished model; 0 skips it."
    )
    license: str | None = option(None, "License of the data, for the adapter's metadata.")

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check(
            rank=(self.rank > 0, "1 or more"),
            alpha=(self.alpha > 0, "above 0"),
            max_length=(self.max_length > 1, "2 or more"),
            heldout=(0 < self.heldout <= 0.5, "above 0 and at most 0.5"),
            heldout_examples=(self.heldout_examples > 0, "1 or more"),
            scored_examples=(self.scored_examples >= 0, "0 or more"),
        )
        if self.quantized_base and (self.full or self.fsdp):
            other = "--full" if self.full else "--fsdp"
            raise OptionError(
                f"--quantized-base and {other} exclude each other: weights in blocks can't be trained or sharded.",
                hint="Omit one of them.",
            )
