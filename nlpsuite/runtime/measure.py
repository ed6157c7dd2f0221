"""How fast a bundle is on this machine: reading a prompt, generating in one or several streams, starting.

Rates are those of the session, with random tokens. Every figure is the median of a few runs.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from nlpsuite.errors import WorkerLostError
from nlpsuite.runtime.device import DeviceChoice
from nlpsuite.runtime.language_model import LanguageModel
from nlpsuite.runtime.peak_memory import peak_memory
from nlpsuite.runtime.prefill import SharedPrefix, prefill
from nlpsuite.runtime.prompt import Prompt
from nlpsuite.runtime.session import SlotSession

__all__ = ["STREAMS", "Decoding", "Speed", "Start", "measure_speed", "measure_start"]

STREAMS = (1, 8, 32)
_PREFILL = 512
_CONTEXT = 128
_NEW = 32
_START_WORDS = 200
_WORDS = (
    "the sea was calm and a small boat came in with the morning tide while people on the shore waited for news "
    "of their friends who had left before winter to find work in another town where houses were cheap but every "
    "road ended at some old river that nobody could cross without paying two or three silver coins each time"
).split()
# -P and this path keep the working directory out, where anything may lie.
_CHILD = "import sys; sys.path[:] = sys.argv[2:]; from nlpsuite.runtime import measure; measure._start()"


@dataclass(frozen=True)
class Decoding:
    """Generation in a number of streams at once.

    Attributes:
        streams: prompts in the batch.
        context: tokens of the longest prompt.
        new_tokens: generated per stream.
        tokens_per_second: of all streams together, without reading the prompts.
    """

    streams: int
    context: int
    new_tokens: int
    tokens_per_second: float


@dataclass(frozen=True)
class Speed:
    """Rates of a loaded model.

    Attributes:
        device: ``cpu`` or ``cuda``.
        threads: as requested; 0 is every core.
        prefill_tokens: of the prompt that was read.
        prefill_tokens_per_second: up to the first generated token.
        decoding: for each number of streams.
    """

    device: str
    threads: int
    prefill_tokens: int
    prefill_tokens_per_second: float
    decoding: tuple[Decoding, ...]


@dataclass(frozen=True)
class Start:
    """A process that loads the model and continues one text.

    Attributes:
        words: of the text.
        first_token_seconds: from the start of the process to the first generated text.
        peak_bytes: the most memory that the process held, the GPU's not included; None if the system doesn't say.
    """

    words: int
    first_token_seconds: float
    peak_bytes: int | None


def measure_speed(
    path: Path,
    *,
    device: DeviceChoice = "auto",
    threads: int = 0,
    streams: Sequence[int] = STREAMS,
    runs: int = 3,
) -> Speed:
    """Load a bundle, read a prompt of 512 tokens, and continue prompts of 128 tokens by 32.

    A model with a short context gets shorter prompts.

    Args:
        streams: numbers of prompts to continue at once.
        runs: of every setting.

    Raises:
        NlpsuiteError: as ``LanguageModel.load``.
    """
    model = LanguageModel.load(path, device=device, threads=threads)
    model.complete([Prompt(text="the", max_tokens=1)])  # the files' checksums are now verified
    tokens = min(_PREFILL, model.context_length - 1)
    context, new = _lengths(model)
    with model.session() as session:
        reading = [tokens / _read(session, 1, tokens) for _ in range(runs)]
        decoding = [
            Decoding(count, context, new, median(_decode(session, count, context, new) for _ in range(runs)))
            for count in streams
        ]
    return Speed(model.device.kind, threads, tokens, median(reading), tuple(decoding))


def _read(session: SlotSession, rows: int, tokens: int) -> float:
    """Seconds for reading rows of random tokens from the start."""
    ids = np.random.default_rng(rows).integers(session.vocabulary, size=(rows, tokens)).tolist()
    begin = time.perf_counter()
    prefill(session, ids, 0, SharedPrefix(0, ()))
    return time.perf_counter() - begin


def _decode(session: SlotSession, rows: int, context: int, new: int) -> float:
    """Tokens per second of greedy decoding after random prompts."""
    session.release()  # a longer state would be read at every step
    session.reserve(rows, context + new)
    _read(session, rows, context)
    ids, first = np.zeros((rows, 1), np.int64), np.zeros((rows, 1), np.int64)
    begin = time.perf_counter()
    for position in range(context, context + new):
        ids = session.run(ids, np.full(rows, position), first)[:, 0].argmax(-1)[:, None]
    return rows * new / (time.perf_counter() - begin)


def measure_start(
    path: Path, *, device: DeviceChoice = "auto", threads: int = 0, words: int = _START_WORDS, runs: int = 3
) -> Start:
    """Start a process that loads a bundle and continues a text of 200 words by 32 tokens.

    A model with a short context gets a shorter text.

    Raises:
        WorkerLostError: the process failed.
        NlpsuiteError: as ``LanguageModel.load``.
    """
    model = LanguageModel.load(path, device=device, threads=threads, max_slots=1)
    context, new = _lengths(model, most=words * 8)
    text = _text(model, context, seed=0, words=words)
    del model
    settings = {"path": str(path), "device": device, "threads": threads, "text": text, "new": new}
    seconds, peaks = [], []
    for _ in range(runs):
        taken, peak = _start_once(json.dumps(settings))
        seconds.append(taken)
        peaks.append(peak)
    known = [peak for peak in peaks if peak is not None]
    return Start(len(text.split()), median(seconds), max(known, default=None))


def _lengths(model: LanguageModel, most: int = _CONTEXT) -> tuple[int, int]:
    """Tokens of a prompt, and to generate, that fit into the model's context together."""
    new = min(_NEW, model.context_length // 4)
    return min(most, model.context_length - new - 2), new


def _text(model: LanguageModel, tokens: int, seed: int, words: int | None = None) -> str:
    """Random words, as many as fit into that number of tokens."""
    generator = random.Random(seed)
    chosen = generator.choices(_WORDS, k=tokens if words is None else words)
    size: Callable[[int], int] = lambda count: model.count_tokens(" ".join(chosen[:count]))  # noqa: E731
    return " ".join(chosen[: max(1, bisect_right(range(len(chosen) + 1), tokens, key=size) - 1)])


def _start_once(settings: str) -> tuple[float, int | None]:
    """Seconds to the first text, and the peak of memory, of one process."""
    command = [sys.executable, "-P", "-c", _CHILD, settings, *filter(None, sys.path)]
    begin = time.perf_counter()
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdout is not None and child.stderr is not None
        try:
            child.stdout.readline()
            seconds = time.perf_counter() - begin
            said = child.stdout.read()
            problem = child.stderr.read().decode(errors="replace").strip()
        except BaseException:
            child.kill()
            raise
    if child.returncode:
        last = problem.splitlines()[-1] if problem else "no message"
        raise WorkerLostError(f"The measured process ended with code {child.returncode}: {last}")
    peak: int | None = json.loads(said)
    return seconds, peak


def _start() -> None:
    """The child process: a line at the first text, and the peak of memory at the end."""
    settings = json.loads(sys.argv[1])
    model = LanguageModel.load(
        Path(settings["path"]), device=settings["device"], threads=settings["threads"], max_slots=1
    )
    events = model.stream([Prompt(text=settings["text"], max_tokens=settings["new"])])
    next(events)
    print(flush=True)
    for _ in events:
        pass
    print(json.dumps(peak_memory()))
