"""What a run can be told, declared once: flags of ``nlpsuite train`` and keys of ``run.json``.

Importing this needs no torch, so that ``--help`` is quick.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nlpsuite.errors import OptionError
from nlpsuite.options import Options, option

__all__ = ["AdapterSettings", "LMSettings", "LoopSettings"]

_MINUTES = 10.0


@dataclass(frozen=True)
class LoopSettings(Options):
    """What every run has: a budget, an optimizer, a rhythm.

    The schedule is a warm-up followed by half a cosine (Loshchilov & Hutter 2017,
    arXiv:1608.03983) over the budget. AdamW: Loshchilov & Hutter 2019 (arXiv:1711.05101).

    Without a budget a run gets ten minutes.

    Raises:
        OptionError: a value out of range, or two budgets.
    """

    steps: int | None = option(None, "budget: optimizer steps")
    minutes: float | None = option(
        None, "budget: minutes; the schedule follows the clock; 10 without --steps"
    )
    lr: float = option(1e-3, "highest learning rate")
    warmup: float = option(0.03, "share of the budget in which the rate rises from 0")
    final_lr: float = option(0.1, "share of the highest rate that the last step has")
    optimizer: Literal["adamw", "adam"] = option("adamw", "adam has no weight decay")
    weight_decay: float = option(0.1, "of matrices, by adamw")
    beta2: float = option(0.95, "decay of the squared gradient's mean")
    clip: float = option(1.0, "largest norm of the gradient; 0 is off")
    batch_tokens: int = option(4_096, "most tokens of a batch")
    accumulate: int = option(1, "batches of one optimizer step")
    dropout: float = option(0.0, "share of activations set to zero")
    evaluations: int = option(10, "how often the held-out data are looked at")
    patience: int = option(3, "evaluations without progress after which training stops; 0 is off")
    save_steps: int | None = option(None, "steps between checkpoints; by default one every five minutes")
    seed: int = option(0, "of weights, batches and dropout")
    precision: Literal["auto", "fp32", "bf16"] = option(
        "auto", "of matrix products; auto takes bf16 where the CPU or GPU has it"
    )
    device: Literal["auto", "cpu", "cuda"] = option("auto", "auto takes CUDA where torch finds it")
    threads: int = option(0, "CPU threads; 0 uses every core")
    fsdp: bool = option(False, "under torchrun: shard the model instead of copying it")

    def __post_init__(self) -> None:
        if self.steps is None and self.minutes is None:
            object.__setattr__(self, "minutes", _MINUTES)
        if self.steps is not None and self.minutes is not None:
            raise OptionError("Give one budget: --steps N or --minutes M.")
        checks = {
            "steps": (self.steps is None or self.steps > 0, "1 or more"),
            "minutes": (self.minutes is None or self.minutes > 0, "above 0"),
            "lr": (0 < self.lr < 10, "between 0 and 10"),
            "warmup": (0 <= self.warmup < 1, "0 or more, below 1"),
            "final_lr": (0 <= self.final_lr <= 1, "between 0 and 1"),
            "weight_decay": (0 <= self.weight_decay < 10, "between 0 and 10"),
            "beta2": (0 <= self.beta2 < 1, "0 or more, below 1"),
            "clip": (self.clip >= 0, "0 (off) or more"),
            "batch_tokens": (self.batch_tokens > 0, "1 or more"),
            "accumulate": (self.accumulate > 0, "1 or more"),
            "dropout": (0 <= self.dropout < 1, "0 or more, below 1"),
            "evaluations": (self.evaluations > 0, "1 or more"),
            "patience": (self.patience >= 0, "0 (off) or more"),
            "save_steps": (self.save_steps is None or self.save_steps > 0, "1 or more"),
            "seed": (0 <= self.seed < 2**32, "0 or more, below 2^32"),
            "threads": (self.threads >= 0, "0 or more"),
        }
        for name, (good, range_) in checks.items():
            if not good:
                raise OptionError(f"{name} is {getattr(self, name)}, must be {range_}.")


@dataclass(frozen=True)
class LMSettings(LoopSettings):
    """A language model from scratch. Sizes left out get the architecture's defaults."""

    lr: float = option(2e-3, "highest learning rate")
    dropout: float = option(
        0.2, "share of activations set to zero; less for a corpus that is read once or twice"
    )
    arch: Literal["decoder", "lstm", "gpt2"] = option("decoder", "architecture")
    vocab_size: int = option(10_000, "tokens of the byte-level BPE that is trained first")
    layers: int | None = option(None, "decoder, gpt2: 6; lstm: 1")
    hidden: int | None = option(None, "width; decoder, gpt2: 256; lstm: 1024")
    heads: int | None = option(None, "attention heads; by default hidden / 64")
    embedding: int = option(300, "width of the lstm's embedding")
    context: int = option(256, "tokens of a training window; a decoder sees no more at once")
    text_key: str = option("text", "key of the text in JSONL")
    encoding: str = option("utf-8", "of the text files")
    heldout: float = option(0.1, "share of the corpus that is held out")
    heldout_characters: int = option(1_000_000, "of these, the most that are looked at")
    baselines: bool = option(True, "compare with a unigram and a 5-gram model of the same tokens")
    prompt: str = option("", "what sampled texts begin with")

    def __post_init__(self) -> None:
        super().__post_init__()
        checks = {
            "vocab_size": (257 <= self.vocab_size <= 1 << 20, "between 257 and 1,048,576"),
            "context": (2 <= self.context <= self.batch_tokens, "2 or more, and no more than batch_tokens"),
            "heldout": (0 < self.heldout <= 0.5, "above 0 and at most 0.5"),
            "heldout_characters": (self.heldout_characters > 0, "1 or more"),
            **{
                name: (getattr(self, name) is None or getattr(self, name) > 0, "1 or more")
                for name in ("layers", "hidden", "heads", "embedding")
            },
        }
        for name, (good, range_) in checks.items():
            if not good:
                raise OptionError(f"{name} is {getattr(self, name)}, must be {range_}.")


@dataclass(frozen=True)
class AdapterSettings(LoopSettings):
    """An adapter of one task for one base, or all of the base's weights (``full``)."""

    lr: float = option(5e-4, "highest learning rate; --full wants less, such as 2e-5")
    weight_decay: float = option(0.0, "of matrices, by adamw")
    beta2: float = option(0.999, "decay of the squared gradient's mean")
    batch_tokens: int = option(2_048, "most tokens of a batch, padding included")
    rank: int = option(16, "of the adapter's matrices")
    alpha: float = option(32.0, "the adapter's part is scaled by alpha / rank")
    targets: str = option("all", "layers to adapt: all, or names such as q_proj,v_proj")
    full: bool = option(False, "train all weights instead of an adapter")
    max_length: int = option(1_024, "examples with more tokens are left out, and counted")
    format: str = option("", "type of the data file, where its suffix doesn't say")
    encoding: str = option("utf-8", "encoding of text files; a byte order mark takes precedence")
    delimiter: str = option("", "delimiter of a CSV or TSV file; detected by default")
    escape: str = option("", "character that escapes quotes in a CSV file; by default they are doubled")
    text_column: str | None = option(None, "column of the text; by default the task's own")
    reference_column: str | None = option(None, "column of the reference; by default the task's own")
    label_map: str = option("", "what labels in the data mean, such as 5=positive,1=negative")
    option_column: str = option("", "task options that each row sets, such as to=lang")
    heldout: float = option(0.1, "share of the examples that is held out")
    heldout_examples: int = option(500, "most examples that are held out")
    scored_examples: int = option(200, "most of these whose answers are generated and scored as it learns")
    license: str | None = option(None, "of the data, for the adapter's metadata")

    def __post_init__(self) -> None:
        super().__post_init__()
        checks = {
            "rank": (self.rank > 0, "1 or more"),
            "alpha": (self.alpha > 0, "above 0"),
            "max_length": (self.max_length > 1, "2 or more"),
            "heldout": (0 < self.heldout <= 0.5, "above 0 and at most 0.5"),
            "heldout_examples": (self.heldout_examples > 0, "1 or more"),
            "scored_examples": (self.scored_examples >= 0, "0 or more"),
        }
        for name, (good, range_) in checks.items():
            if not good:
                raise OptionError(f"{name} is {getattr(self, name)}, must be {range_}.")
