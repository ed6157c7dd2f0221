"""How fast a bundle is on this machine: reading a prompt, generating in one or several streams, starting.

Rates are those of ``LanguageModel``: drawing tokens and making text of them are included. Every figure is the
median of a few runs.
"""

from __future__ import annotations

import dataclasses
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

from nlpsuite.errors import WorkerLostError
from nlpsuite.runtime.device import DeviceChoice
from nlpsuite.runtime.language_model import LanguageModel
from nlpsuite.runtime.prompt import Prompt

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
    model = _load(path, device, threads, max(streams))
    context, new = _lengths(model)
    reading = Prompt(text=_text(model, min(_PREFILL, model.context_length - 1), seed=0), max_tokens=1)
    model.complete([dataclasses.replace(reading, text="the")])  # the files' checksums are now verified
    tokens, rates = 0, []
    for _ in range(runs):
        (done,) = model.complete([reading])
        assert done.first_token_seconds is not None
        tokens = done.prompt_tokens
        rates.append(tokens / done.first_token_seconds)
    decoding = []
    for count in streams:
        prompts = [Prompt(text=_text(model, context, seed), max_tokens=new + 1) for seed in range(count)]
        longest = max(map(model.count_tokens, prompts))
        rate = median(_decode(model, prompts) for _ in range(runs))
        decoding.append(Decoding(count, longest, new, rate))
    return Speed(model.device.kind, threads, tokens, median(rates), tuple(decoding))


def measure_start(
    path: Path, *, device: DeviceChoice = "auto", threads: int = 0, words: int = _START_WORDS, runs: int = 3
) -> Start:
    """Start a process that loads a bundle and continues a text of 200 words by 32 tokens.

    A model with a short context gets a shorter text.

    Raises:
        WorkerLostError: the process failed.
        NlpsuiteError: as ``LanguageModel.load``.
    """
    model = _load(path, device, threads, 1)
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


def _load(path: Path, device: DeviceChoice, threads: int, slots: int) -> LanguageModel:
    """The model without end tokens, so that no stream ends early."""
    model = LanguageModel.load(path, device=device, threads=threads, max_slots=slots)
    model.bundle = dataclasses.replace(model.bundle, end_token_ids=())
    return model


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


def _decode(model: LanguageModel, prompts: Sequence[Prompt]) -> float:
    """Tokens per second after each prompt's first, which comes from reading the prompt."""
    begin = time.perf_counter()
    done = model.complete(prompts)
    seconds = time.perf_counter() - begin - max(c.first_token_seconds or 0 for c in done)
    return sum(c.completion_tokens - 1 for c in done) / seconds


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
    model = _load(Path(settings["path"]), settings["device"], settings["threads"], 1)
    events = model.stream([Prompt(text=settings["text"], max_tokens=settings["new"])])
    next(events)
    print(flush=True)
    for _ in events:
        pass
    print(json.dumps(_peak_bytes()))


def _peak_bytes() -> int | None:
    """The most memory that this process has held."""
    try:  # Linux: unlike getrusage's, this figure doesn't include the parent before exec
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024)
