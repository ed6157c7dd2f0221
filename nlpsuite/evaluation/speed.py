"""How fast a model is on this machine at each precision, and which precision and number of threads to use."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import geometric_mean
from typing import TYPE_CHECKING, Any

from nlpsuite import __version__
from nlpsuite.evaluation.tables import Section, as_text
from nlpsuite.export.cache import check_precision, get_bundle
from nlpsuite.models.resolve import resolve_model
from nlpsuite.runtime.bundle import Bundle
from nlpsuite.runtime.device import choose_device

if TYPE_CHECKING:
    from nlpsuite.models.spec import Reporter
    from nlpsuite.runtime.device import DeviceChoice
    from nlpsuite.runtime.measure import Speed, Start

__all__ = ["Measurement", "SpeedReport", "bench"]

_PRECISIONS = ("int8", "int4", "fp32")
# From the most exact to the coarsest: a coarser one is worth it only if it is faster by this factor.
_EXACTNESS = ("fp32", "fp16", "int8", "int4")
_WORTH = 1.1
# More threads are worth it only if they are faster by this factor.
_THREADS_WORTH = 1.05
_STREAMS_FOR_THREADS = (1, 8)


@dataclass(frozen=True)
class Measurement:
    """One precision.

    Attributes:
        precision: of the weights.
        size_bytes: of the bundle.
        speed: rates of reading and generating.
        start: seconds and memory of a process with one stream.
    """

    precision: str
    size_bytes: int
    speed: Speed
    start: Start


@dataclass(frozen=True)
class SpeedReport:
    """How fast a model is on this machine. ``str(report)`` is the table for a terminal.

    Attributes:
        model: its name.
        device: ``cpu`` or ``cuda``.
        threads: of all measurements; 0 is every core.
        cores: of this machine, as the system counts them.
        measurements: of each precision.
        thread_speeds: with other numbers of threads, at the first precision; empty if the number was given.
        recommended_precision: the fastest, unless a more exact one is almost as fast; None if only one was measured.
        recommended_threads: the fastest, unless fewer are almost as fast; None if the number was given.
    """

    model: str
    device: str
    threads: int
    cores: int
    measurements: tuple[Measurement, ...]
    thread_speeds: tuple[Speed, ...]
    recommended_precision: str | None
    recommended_threads: int | None

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {**asdict(self), "machine": platform.machine(), "nlpsuite": __version__}

    def sections(self) -> list[Section]:
        """The tables."""
        streams = [decoding.streams for decoding in self.measurements[0].speed.decoding]
        header = [
            "precision",
            "prefill",
            *(f"decode × {n}" for n in streams),
            "first token",
            "memory",
            "bundle",
        ]
        rows = [
            [
                measured.precision,
                *_rates(measured.speed),
                f"{measured.start.first_token_seconds:,.2f} s",
                "–" if measured.start.peak_bytes is None else f"{measured.start.peak_bytes / 1e6:,.0f} MB",
                f"{measured.size_bytes / 1e6:,.0f} MB",
            ]
            for measured in self.measurements
        ]
        found = [Section("", header, rows)]
        if self.thread_speeds:
            streams = [decoding.streams for decoding in self.thread_speeds[0].decoding]
            header = ["threads", "prefill", *(f"decode × {n}" for n in streams)]
            rows = [[str(speed.threads), *_rates(speed)] for speed in self.thread_speeds]
            found.append(Section("", header, rows))
        return found

    def __str__(self) -> str:
        threads = "all threads" if self.threads == 0 else f"{self.threads} thread{'s' * (self.threads != 1)}"
        lines = [f"{self.model} on {self.device}, {threads}, {self.cores} cores; tokens per second", ""]
        for section in self.sections():
            lines += [*as_text(section), ""]
        first = self.measurements[0]
        one = first.speed.decoding[0]
        lines.append(
            f"Prefill: a prompt of {first.speed.prefill_tokens} tokens. Decode × n: n streams, {one.context} tokens of "
            f"context and {one.new_tokens} generated. First token: from the start of a process, after "
            f"{first.start.words} words; its memory is the peak."
        )
        advice = [f"--precision {self.recommended_precision}"] if self.recommended_precision else []
        advice += [f"--threads {self.recommended_threads}"] if self.recommended_threads else []
        if advice:
            lines.append(f"Recommended here: {' '.join(advice)}")
        return "\n".join(lines)


def _rates(speed: Speed) -> list[str]:
    rates = [speed.prefill_tokens_per_second, *(decoding.tokens_per_second for decoding in speed.decoding)]
    return [f"{rate:,.0f}" for rate in rates]


def bench(
    model: str | os.PathLike[str] | None = None,
    *,
    precision: str | None = None,
    device: DeviceChoice = "auto",
    threads: int | None = None,
    runs: int = 3,
    reporter: Reporter | None = None,
) -> SpeedReport:
    """Measure how fast a model is on this machine, and recommend a precision and a number of threads.

    The bundle of each precision is built in the cache if it isn't there yet.

    Args:
        model: as in ``nlpsuite.load``.
        precision: measure only this one; by default int8, int4 and fp32, or that of a bundle.
        device: ``auto``, ``cuda`` or ``cpu``.
        threads: CPU threads, 0 for every core; by default the fastest number is found first.
        runs: of every setting; figures are medians.
        reporter: receives progress.

    Raises:
        OptionError: no such precision, or the bundle has another one.
        NlpsuiteError: the model or the device can't be used.
    """
    from nlpsuite.models.spec import Silent
    from nlpsuite.runtime.measure import measure_speed, measure_start

    check_precision(precision)
    reporter = reporter or Silent()
    found = resolve_model(model, precision=precision)
    kind = choose_device(device).kind
    if isinstance(found, Path):
        wanted: Sequence[str] = [Bundle.open(found).graph("slots").precision]
    else:
        wanted = [precision] if precision else _PRECISIONS
    paths = [
        found if isinstance(found, Path) else get_bundle(found, precision=p, reporter=reporter)
        for p in wanted
    ]
    thread_speeds: list[Speed] = []
    try:
        if threads is None and kind == "cpu":
            for count in _thread_counts(os.cpu_count() or 1):
                reporter.stage(f"Measuring {wanted[0]} with {count} thread{'s' * (count != 1)}", None)
                thread_speeds.append(
                    measure_speed(
                        paths[0], device=device, threads=count, streams=_STREAMS_FOR_THREADS, runs=runs
                    )
                )
        best_threads = _recommended_threads(thread_speeds)
        used = best_threads or threads or 0
        measurements = []
        for name, path in zip(wanted, paths):
            reporter.stage(f"Measuring {name}", None)
            speed = measure_speed(path, device=device, threads=used, runs=runs)
            start = measure_start(path, device=device, threads=used, runs=runs)
            measurements.append(Measurement(name, Bundle.open(path).size_bytes, speed, start))
    finally:
        reporter.close()
    return SpeedReport(
        model=Bundle.open(paths[0]).name,
        device=kind,
        threads=used,
        cores=os.cpu_count() or 1,
        measurements=tuple(measurements),
        thread_speeds=tuple(thread_speeds),
        recommended_precision=_recommended_precision(measurements),
        recommended_threads=best_threads,
    )


def _thread_counts(cores: int) -> list[int]:
    """Powers of two, half the cores and all of them."""
    powers = {1 << i for i in range(cores.bit_length())}
    return sorted(powers | {max(1, cores // 2), cores})


def _score(speed: Speed) -> float:
    """One figure for all rates, so that none outweighs the others."""
    rates = [decoding.tokens_per_second for decoding in speed.decoding]
    return geometric_mean([speed.prefill_tokens_per_second, *rates])


def _recommended_threads(speeds: Sequence[Speed]) -> int | None:
    if not speeds:
        return None
    best = max(map(_score, speeds))
    return next(speed.threads for speed in speeds if _score(speed) * _THREADS_WORTH >= best)


def _recommended_precision(measurements: Sequence[Measurement]) -> str | None:
    if len(measurements) < 2:
        return None
    first, *coarser = sorted(measurements, key=lambda measured: _EXACTNESS.index(measured.precision))
    chosen = first
    for measured in coarser:
        if _score(measured.speed) >= _WORTH * _score(chosen.speed):
            chosen = measured
    return chosen.precision
