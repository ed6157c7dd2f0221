"""What ``nlpsuite.bench`` recommends."""

from __future__ import annotations

from pathlib import Path

import pytest

import nlpsuite
from nlpsuite.errors import OptionError
from nlpsuite.evaluation import speed as module
from nlpsuite.evaluation.speed import Measurement
from nlpsuite.runtime import measure
from nlpsuite.runtime.measure import Decoding, Speed, Start


def speed(rate: float, threads: int = 2) -> Speed:
    return Speed("cpu", threads, 512, rate, (Decoding(1, 128, 32, rate), Decoding(8, 128, 32, rate)))


def measured(precision: str, rate: float) -> Measurement:
    return Measurement(precision, 10, speed(rate), Start(200, 0.5, 100))


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ({"int8": 200, "int4": 300, "fp32": 100}, "int4"),
        ({"int8": 200, "int4": 210, "fp32": 100}, "int8"),  # 5 % more are not worth the loss
        ({"int8": 105, "int4": 108, "fp32": 100}, "fp32"),
        ({"int8": 50, "int4": 120, "fp32": 100}, "int4"),
        ({"int8": 100}, None),
    ],
)
def test_a_coarser_precision_has_to_be_faster(rates: dict[str, float], expected: str | None) -> None:
    found = module._recommended_precision([measured(name, rate) for name, rate in rates.items()])
    assert found == expected


@pytest.mark.parametrize(
    ("rates", "expected"),
    [({1: 100, 2: 190, 4: 300}, 4), ({1: 100, 2: 190, 4: 195}, 2), ({1: 100, 2: 90}, 1), ({}, None)],
)
def test_more_threads_have_to_be_faster(rates: dict[int, float], expected: int | None) -> None:
    assert module._recommended_threads([speed(rate, count) for count, rate in rates.items()]) == expected


@pytest.mark.parametrize(
    ("cores", "counts"),
    [(1, [1]), (2, [1, 2]), (6, [1, 2, 3, 4, 6]), (8, [1, 2, 4, 8]), (12, [1, 2, 4, 6, 8, 12])],
)
def test_numbers_of_threads_that_are_tried(cores: int, counts: list[int]) -> None:
    assert module._thread_counts(cores) == counts


def test_precisions_and_threads_are_measured_in_turn(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str, int]] = []
    rates = {
        ("tiny-int8", 1): 100.0,
        ("tiny-int8", 2): 180.0,
        ("tiny-int4", 2): 150.0,
        ("tiny-fp32", 2): 90.0,
    }

    def bundle(model: object, *, precision: str, **_: object) -> Path:
        link = tmp_path / f"tiny-{precision}"
        if not link.exists():
            link.symlink_to(tiny_bundle)
        return link

    def measure_speed(path: Path, *, threads: int, **_: object) -> Speed:
        asked.append(("speed", path.name, threads))
        return speed(rates[path.name, threads], threads)

    def measure_start(path: Path, *, threads: int, **_: object) -> Start:
        asked.append(("start", path.name, threads))
        return Start(200, 0.4, None)

    monkeypatch.setattr(module, "get_bundle", bundle)
    monkeypatch.setattr(module, "resolve_model", lambda *_, **__: object())
    monkeypatch.setattr(measure, "measure_speed", measure_speed)
    monkeypatch.setattr(measure, "measure_start", measure_start)
    monkeypatch.setattr(module.os, "cpu_count", lambda: 2)
    report = nlpsuite.bench(device="cpu")
    assert asked[:2] == [("speed", "tiny-int8", 1), ("speed", "tiny-int8", 2)]
    assert [call for call in asked[2:] if call[0] == "start"] == [
        ("start", f"tiny-{precision}", 2) for precision in ("int8", "int4", "fp32")
    ]
    assert (report.recommended_precision, report.recommended_threads, report.threads) == ("int8", 2, 2)
    text = str(report)
    assert "2 threads, 2 cores; tokens per second" in text
    assert "Recommended here: --precision int8 --threads 2" in text
    assert "–" in text, "memory is unknown"


def test_a_bundle_has_one_precision(tiny_bundle: Path) -> None:
    report = nlpsuite.bench(tiny_bundle, device="cpu", threads=1, runs=1)
    assert [m.precision for m in report.measurements] == ["fp32"]
    assert (report.recommended_precision, report.recommended_threads) == (None, None)
    assert report.thread_speeds == () and "Recommended" not in str(report)
    with pytest.raises(OptionError, match="fp32, not int8"):
        nlpsuite.bench(tiny_bundle, precision="int8")
    with pytest.raises(OptionError, match="int3"):
        nlpsuite.bench(tiny_bundle, precision="int3")
