"""Does an exported graph compute what the model computes? Checked before a bundle gets its name.

The same weights run in torch, in fp32, and as the graph in onnxruntime, on the text in probe.txt: first
torch, whose results are stored while its memory is released, then onnxruntime.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import importlib.util
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nlpsuite.errors import DeviceUnavailableError, MissingExtraError, VerificationError
from nlpsuite.export.fill import Precision
from nlpsuite.export.template import Layout, probe_text
from nlpsuite.models.checkpoint import Checkpoint
from nlpsuite.runtime.device import Device, choose_device
from nlpsuite.runtime.readers import PortableReader, Reader, SlotsReader
from nlpsuite.runtime.tokenizer import Tokenizer

__all__ = ["require_torch", "verify"]

Logits = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]

# How far the perplexity of the probe may exceed torch's. A few hundred tokens determine it to within a
# percent or two, so it must exceed the limit by more than twice its standard error.
_MOST_PERPLEXITY = {"fp16": 1.01, "int8": 1.02, "int4": 1.10}
# Fraction of tokens at which the most likely token must agree. Perplexity alone wouldn't distinguish a
# graph from another equally good one; the coarsest rounding of a good model still reaches 0.64.
_LEAST_AGREEMENT = 0.5
# Largest error of an fp32 graph's logits, relative to the largest logit: 1e-3 for logits around 20.
_FP32_TOLERANCE = 5e-5
_MOST_TOKENS = 384
_PROMPT, _GREEDY = 64, 32
# Tokens per run: their logits take 13 MB for a vocabulary of 50,000.
_CHUNK = 64


class _Reference(NamedTuple):
    """Torch's results on the probe.

    Attributes:
        logits: (tokens, V).
        surprises: negative log-probabilities of the tokens after the first, (tokens - 1,).
        greedy: its greedy continuation of the probe's beginning.
        margins: how far each greedy token's logit exceeded the second largest.
    """

    logits: Logits
    surprises: Floats
    greedy: list[int]
    margins: list[float]


def require_torch() -> None:
    """Raise MissingExtraError if torch is not installed, before any work is done."""
    if importlib.util.find_spec("torch") is None:
        raise MissingExtraError(
            "Comparing the exported graph with the model needs torch.",
            hint="Install the extra (pip install 'nlpsuite[train]'), or export without: --no-verify.",
        )


def verify(
    checkpoint: Checkpoint, directory: Path, graph: Path, *, layout: Layout, precision: Precision
) -> dict[str, Any]:
    """Compare a graph with the checkpoint in torch; returns the results for the manifest.

    Args:
        directory: holds the tokenizer.
        graph: the ONNX file, its weights beside it.

    Raises:
        VerificationError: onnxruntime can't run it, or it differs too much: in fp32 in a logit or in its
            greedy text, otherwise in its perplexity or its most likely tokens.
        MissingExtraError: torch is not installed.
    """
    require_torch()
    ids = Tokenizer.open(directory).encode_text(probe_text())[
        : min(_MOST_TOKENS, checkpoint.config.context_length)
    ]
    if len(ids) < 4:
        raise VerificationError(
            f"The tokenizer makes only {len(ids)} tokens of the probe text.",
            hint="Check the tokenizer's files, or skip the comparison: --no-verify.",
        )
    expected = _reference(_torch(checkpoint, len(ids)), ids, checkpoint.config.vocab_size)
    _release_memory()
    try:
        device = choose_device("auto") if precision == "fp16" else Device("cpu")
        reader: Reader
        if layout == "slots":
            reader = SlotsReader(graph, device, room=len(ids))
        else:
            reader = PortableReader(graph, device)
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


def _release_memory() -> None:
    """Release the torch model's memory before the graph needs its own: glibc holds on to freed memory."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # onnxruntime comes under several names
        return str(importlib.import_module(package).__version__)


def _reference(reader: Reader, ids: list[int], vocabulary: int) -> _Reference:
    logits = np.empty((len(ids), vocabulary), np.float32)
    for at in range(0, len(ids), _CHUNK):
        logits[at : at + _CHUNK] = reader.read(ids[at : at + _CHUNK])
    greedy, margins = _greedy(reader, ids)
    return _Reference(logits, _surprises(logits, ids[1:]), greedy, margins)


def _greedy(reader: Reader, ids: list[int]) -> tuple[list[int], list[float]]:
    """The greedy continuation of the probe's beginning, and each token's margin."""
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


def _compared(reader: Reader, expected: _Reference, ids: list[int], precision: Precision) -> dict[str, Any]:
    """Run the graph on the probe and compare it with torch.

    Raises:
        VerificationError: it differs too much.
    """
    difference, agreeing = 0.0, 0
    parts = []
    for at in range(0, len(ids), _CHUNK):
        found, theirs = reader.read(ids[at : at + _CHUNK]), expected.logits[at : at + _CHUNK]
        # Not max(), which would ignore a NaN.
        difference = float(np.maximum(difference, np.abs(found - theirs).max()))
        agreeing += int((found.argmax(axis=1) == theirs.argmax(axis=1)).sum())
        parts.append(_surprises(found, ids[at + 1 : at + 1 + _CHUNK]))
    surprises = np.concatenate(parts)
    change = surprises - expected.surprises
    error = float(2 * change.std() / np.sqrt(len(change)))
    agreement = agreeing / len(ids)
    perplexity, reference = _perplexity(surprises), _perplexity(expected.surprises)
    greedy, _ = _greedy(reader, ids)
    differing = (i for i, (ours, theirs) in enumerate(zip(greedy, expected.greedy)) if ours != theirs)
    alike = next(differing, len(greedy))
    if not np.isfinite(difference):
        raise _differs("its logits are not finite", precision)
    if precision == "fp32":
        _check_fp32(expected, difference, alike)
    elif agreement < _LEAST_AGREEMENT:
        raise _differs(f"its most likely token agrees for only {agreement:.0%} of the probe", precision)
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


def _check_fp32(expected: _Reference, difference: float, alike: int) -> None:
    largest = max(1.0, float(expected.logits.max()), -float(expected.logits.min()))
    if difference > _FP32_TOLERANCE * largest:
        raise _differs(f"a logit differs by {difference:.2g}, where the largest is {largest:.3g}", "fp32")
    # Torch's own choice may be a tie, which a different order of additions resolves differently.
    if alike < len(expected.greedy) and expected.margins[alike] > 2 * _FP32_TOLERANCE * largest:
        raise _differs(f"its greedy text differs from token {alike + 1} on", "fp32")


def _differs(how: str, precision: Precision) -> VerificationError:
    finer = {"int4": "int8", "int8": "fp32", "fp16": "fp32"}.get(precision)
    hint = (
        f"Use --precision {finer}."
        if finer
        else "This is a bug in nlpsuite or a dependency: please report it."
    )
    return VerificationError(
        f"The exported graph does not compute what the model computes: {how}.",
        hint=f"{hint} Nothing was written; --no-verify skips the check.",
    )


def _surprises(logits: Logits, targets: Sequence[int]) -> Floats:
    """The negative log-probability of each target; ``logits`` may have one more row."""
    out = np.empty(len(targets))
    for i, (row, target) in enumerate(zip(logits, targets)):
        wide = row.astype(np.float64)
        largest = wide.max()
        out[i] = largest + np.log(np.exp(wide - largest).sum()) - wide[target]
    return out


def _perplexity(surprises: Floats) -> float:
    with np.errstate(over="ignore"):
        return float(np.exp(surprises.mean()))


def _torch(checkpoint: Checkpoint, room: int) -> Reader:
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
