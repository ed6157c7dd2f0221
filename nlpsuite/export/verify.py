"""Does an exported graph compute what the model computes? Asked before a bundle gets its name.

The same weights run in torch, in fp32, and as the graph in onnxruntime, on a text that is part of
this file. First torch, whose answers are kept while its memory is given back; then onnxruntime.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from nlpsuite.errors import DeviceUnavailableError, MissingExtraError, VerificationError
from nlpsuite.export.fill import Precision
from nlpsuite.export.template import Layout
from nlpsuite.models.checkpoint import Checkpoint
from nlpsuite.runtime.device import Device, choose_device
from nlpsuite.runtime.session import SlotSession
from nlpsuite.runtime.tokenizer import Tokenizer

__all__ = ["PROBE", "require_torch", "verify"]

Logits = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]

# How far the perplexity of the probe may be above torch's. A few hundred tokens tell it to within a
# percent or two, so that it must be above by more than twice its standard error.
_MOST_PERPLEXITY = {"fp16": 1.01, "int8": 1.02, "int4": 1.10}
# Part of the tokens at which the most likely token must be the same. Perplexity alone would not tell
# a graph from another that is as good; the coarsest rounding of a good model leaves 0.64.
_LEAST_AGREEMENT = 0.5
# How far a logit of an fp32 graph may be off, as a part of the largest: 1e-3 for logits of size 20.
_FP32_TOLERANCE = 5e-5
_MOST_TOKENS = 384
_PROMPT, _GREEDY = 64, 32
# Tokens of one run: their logits are 13 MB for a vocabulary of 50,000.
_CHUNK = 64

PROBE = '''
The harbour lies in the shelter of a long grey wall, and the boats come home before the evening tide. A man \
who had worked there for thirty years told us that the water was never the same colour twice: green in the \
morning, nearly black under clouds, and silver when the wind turned to the north. In 1953 a storm broke the \
wall in two places; the town rebuilt it within a year, with stones from a quarry 12 miles away. Since then the \
sea has reached the market square only once.

To make soup for four people, cut two onions and three carrots into small pieces and fry them in butter until \
they are soft. Add a litre of water, a little salt and 200 grams of red lentils, and let it cook slowly for \
twenty minutes. "Don't stir too often," my grandmother used to say, "or it will taste of nothing but work."

The committee met on Tuesday, 4 March, and agreed on three points. First, that the old bridge should stay \
open to people on foot; second, that lorries must take the road through the valley; and third, that nobody \
knew who would pay for either.

def moving_average(values, width):
    """The mean of each window of the given width."""
    if width < 1:
        raise ValueError("width must be positive")
    total = sum(values[:width])
    means = [total / width]
    for i in range(width, len(values)):
        total += values[i] - values[i - width]
        means.append(total / width)
    return means

for name, price in sorted(prices.items()):
    print(f"{name}: {price:.2f} EUR")
'''.strip()


class _Reader(Protocol):
    """A model that reads one text, from its beginning on."""

    def restart(self) -> None:
        """Forget what was read."""

    def read(self, ids: Sequence[int]) -> Logits:
        """The logits (len(ids), V) after each of the next tokens."""


class _Reference(NamedTuple):
    """What torch makes of the probe.

    Attributes:
        logits: (tokens, V).
        surprises: negative log-probabilities of the tokens after the first, (tokens - 1,).
        greedy: the tokens with which it goes on after the probe's beginning.
        margins: by how much the logit of each was larger than the next one's.
    """

    logits: Logits
    surprises: Floats
    greedy: list[int]
    margins: list[float]


def require_torch() -> None:
    """Raises MissingExtraError if torch is not installed: better asked before the work than after it."""
    if importlib.util.find_spec("torch") is None:
        raise MissingExtraError(
            "Comparing the exported graph with the model needs torch.",
            hint="Install the extra (pip install 'nlpsuite[train]'), or export without: --no-verify.",
        )


def verify(
    checkpoint: Checkpoint, directory: Path, graph: Path, *, layout: Layout, precision: Precision
) -> dict[str, Any]:
    """Compare a graph with the checkpoint in torch; gives the figures for the manifest.

    Args:
        directory: holds the tokenizer.
        graph: the ONNX file, its weights beside it.

    Raises:
        VerificationError: onnxruntime can't run it, or it differs too much: in fp32 by a logit or in
            its greedy text, else in its perplexity or its most likely tokens.
        MissingExtraError: torch is not installed.
    """
    require_torch()
    ids = Tokenizer.open(directory).encode_text(PROBE)[: min(_MOST_TOKENS, checkpoint.config.context_length)]
    if len(ids) < 4:
        raise VerificationError(
            f"The tokenizer makes only {len(ids)} tokens of the probe text.",
            hint="Check the tokenizer's files, or export without comparing: --no-verify.",
        )
    expected = _reference(_torch(checkpoint, len(ids)), ids, checkpoint.config.vocab_size)
    _give_memory_back()
    try:
        device = choose_device("auto") if precision == "fp16" else Device("cpu")
        reader: _Reader
        if layout == "slots":
            reader = _SlotsReader(graph, device, room=len(ids))
        else:
            reader = _PortableReader(graph, device)
        report = _compared(reader, expected, ids, precision)
    except (DeviceUnavailableError, VerificationError):
        raise
    except Exception as error:  # of onnxruntime, which has many kinds
        raise VerificationError(
            f"onnxruntime can't run the exported graph: {error}",
            hint=f"Export with another precision or layout; if it is the {layout} graph in fp32, report this.",
        ) from error
    return {
        **report,
        "device": device.kind,
        "torch": _version("torch"),
        "onnxruntime": _version("onnxruntime"),
    }


def _give_memory_back() -> None:
    """Of the torch model, which must not add to the graph's: glibc keeps what was freed."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def _version(package: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # onnxruntime comes under several names
        return str(importlib.import_module(package).__version__)


def _reference(reader: _Reader, ids: list[int], vocabulary: int) -> _Reference:
    logits = np.empty((len(ids), vocabulary), np.float32)
    for at in range(0, len(ids), _CHUNK):
        logits[at : at + _CHUNK] = reader.read(ids[at : at + _CHUNK])
    greedy, margins = _greedy(reader, ids)
    return _Reference(logits, _surprises(logits, ids[1:]), greedy, margins)


def _greedy(reader: _Reader, ids: list[int]) -> tuple[list[int], list[float]]:
    """The most likely tokens after the probe's beginning, and by how much each leads."""
    reader.restart()
    begin = min(_PROMPT, len(ids) // 2)
    greedy: list[int] = []
    margins: list[float] = []
    new = ids[:begin]
    for _ in range(min(_GREEDY, len(ids) - begin)):
        last = reader.read(new)[-1]
        second, first = np.partition(last, -2)[-2:]
        new = [int(last.argmax())]
        greedy += new
        margins.append(float(first - second))
    return greedy, margins


def _compared(reader: _Reader, expected: _Reference, ids: list[int], precision: Precision) -> dict[str, Any]:
    difference, agreeing = 0.0, 0
    parts = []
    for at in range(0, len(ids), _CHUNK):
        found, theirs = reader.read(ids[at : at + _CHUNK]), expected.logits[at : at + _CHUNK]
        # Not max(): it would pass over a NaN.
        difference = float(np.maximum(difference, np.abs(found - theirs).max()))
        agreeing += int((found.argmax(axis=1) == theirs.argmax(axis=1)).sum())
        parts.append(_surprises(found, ids[at + 1 : at + 1 + _CHUNK]))
    surprises = np.concatenate(parts)
    agreement = agreeing / len(ids)
    perplexity, reference = _perplexity(surprises), _perplexity(expected.surprises)
    change = surprises - expected.surprises
    error = float(2 * change.std() / np.sqrt(len(change)))
    largest = max(1.0, float(expected.logits.max()), -float(expected.logits.min()))
    # Torch's own choice may be a tie, which another order of sums decides otherwise.
    tie = 2 * _FP32_TOLERANCE * largest
    greedy, _ = _greedy(reader, ids)
    alike, undecided = 0, False
    for ours, token, margin in zip(greedy, expected.greedy, expected.margins):
        if ours != token:
            undecided = margin <= tie
            break
        alike += 1
    if not np.isfinite(difference):
        raise _differs("it gives logits that are no numbers", precision)
    if precision == "fp32":
        if difference > _FP32_TOLERANCE * largest:
            raise _differs(
                f"a logit differs by {difference:.2g}, where the largest is {largest:.3g}", precision
            )
        if alike < len(greedy) and not undecided:
            raise _differs(f"its greedy text differs from token {alike + 1} on", precision)
    elif agreement < _LEAST_AGREEMENT:
        raise _differs(f"its most likely token is the same for {agreement:.0%} of the probe only", precision)
    elif change.mean() - error > np.log(_MOST_PERPLEXITY[precision]):
        raise _differs(
            f"its perplexity is {perplexity:.4g} against {reference:.4g} "
            f"({perplexity / reference - 1:+.1%} ± {error:.1%}; {precision} may add "
            f"{_MOST_PERPLEXITY[precision] - 1:.0%})",
            precision,
        )
    return {
        "tokens": len(ids),
        "perplexity": round(perplexity, 4),
        "reference_perplexity": round(reference, 4),
        "perplexity_uncertainty": round(error, 4),
        "max_logit_difference": float(f"{difference:.3g}"),
        "top1_agreement": round(agreement, 4),
        "greedy_tokens": len(greedy),
        "greedy_agreement": alike,
    }


def _differs(how: str, precision: Precision) -> VerificationError:
    finer = {"int4": "int8", "int8": "fp32", "fp16": "fp32"}.get(precision)
    hint = (
        f"Use --precision {finer}."
        if finer
        else "This is a fault of nlpsuite or of what it stands on: report it."
    )
    return VerificationError(
        f"The exported graph does not compute what the model computes: {how}.",
        hint=f"{hint} Nothing was written; --no-verify writes it all the same.",
    )


def _surprises(logits: Logits, targets: Sequence[int]) -> Floats:
    """The negative log-probability of each target; the logits may have a row more than there are."""
    out = np.empty(len(targets))
    for i, (row, target) in enumerate(zip(logits, targets)):
        wide = row.astype(np.float64)
        largest = wide.max()
        out[i] = largest + np.log(np.exp(wide - largest).sum()) - wide[target]
    return out


def _perplexity(surprises: Floats) -> float:
    with np.errstate(over="ignore"):
        return float(np.exp(surprises.mean()))


def _torch(checkpoint: Checkpoint, room: int) -> _Reader:
    import torch

    from nlpsuite.models.language_module import load_module

    module = load_module(checkpoint)

    class TorchReader:
        def __init__(self) -> None:
            self.restart()

        def restart(self) -> None:
            self._state: Any = module.empty_state(rows=1, length=room)

        def read(self, ids: Sequence[int]) -> Logits:
            with torch.inference_mode():
                logits, self._state = module(torch.tensor([list(ids)]), self._state)
                array: Logits = logits[0].numpy()
            return array

    return TorchReader()


class _SlotsReader:
    def __init__(self, graph: Path, device: Device, room: int) -> None:
        self._session = SlotSession(graph, device)
        self._session.reserve(1, room)
        self._seen = 0

    def restart(self) -> None:
        self._seen = 0  # what lies behind is written over, or forgotten by a recurrent model

    def read(self, ids: Sequence[int]) -> Logits:
        every = np.arange(len(ids))[None]
        logits = self._session.run(np.array([ids]), np.array([self._seen]), every)
        self._seen += len(ids)
        first: Logits = logits[0]
        return first


class _PortableReader:
    """The portable graph as other apps run it: what is past goes in, what is present comes out."""

    def __init__(self, graph: Path, device: Device) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # its own warnings would reach the user's terminal
        self._session = onnxruntime.InferenceSession(str(graph), options, providers=device.providers)
        self._inputs = [i for i in self._session.get_inputs() if i.name.startswith("past_key_values.")]
        self._outputs = ["logits", *(i.name.replace("past_key_values.", "present.") for i in self._inputs)]
        self.restart()

    def restart(self) -> None:
        self._seen = 0
        self._past: dict[str, npt.NDArray[Any]] = {}
        for value in self._inputs:
            dtype = np.float16 if value.type == "tensor(float16)" else np.float32
            _, heads, _, size = value.shape
            self._past[value.name] = np.zeros((1, heads, 0, size), dtype)

    def read(self, ids: Sequence[int]) -> Logits:
        total = self._seen + len(ids)
        inputs = {
            "input_ids": np.array([ids], np.int64),
            "attention_mask": np.ones((1, total), np.int64),
            "position_ids": np.arange(self._seen, total)[None],
        }
        logits, *present = self._session.run(self._outputs, {**inputs, **self._past})
        self._past = dict(zip(self._past, present))
        self._seen = total
        return np.asarray(logits[0], np.float32)
