"""The picture of a run: drawn from whatever the metrics hold, whole or not at all."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from nlpsuite.errors import MissingExtraError, StorageError
from nlpsuite.training.plot import draw_curves
from nlpsuite.training.run_directory import RunDirectory

matplotlib = pytest.importorskip("matplotlib")


def rows(steps: int) -> list[dict[str, object]]:
    training = [
        {"step": i, "loss": 9 - i / steps, "lr": 1e-3 / i, "tokens_per_second": 5000.0 + i, "tokens": 64 * i}
        for i in range(1, steps + 1)
    ]
    return [*training, {"step": steps, "validation_loss": 8.5, "metrics": {"perplexity_token": 4900.0}}]


def picture(tmp_path: Path, text: str) -> np.ndarray:
    """The pixels (height, width, 4) of what ``draw_curves`` makes of the log ``text``."""
    from matplotlib.image import imread

    (tmp_path / "metrics.jsonl").write_text(text)
    draw_curves(RunDirectory(tmp_path, {}).metrics(), tmp_path / "curves.png")
    return imread(tmp_path / "curves.png")


def coloured(pixels: np.ndarray) -> int:
    """Pixels that are no shade of grey: those of the curves."""
    return int((np.ptp(pixels[..., :3], axis=-1) > 0.2).sum())


def lines(rows: list[dict[str, object]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize("steps", [1, 3, 100])
def test_curves_are_drawn(tmp_path: Path, steps: int) -> None:
    pixels = picture(tmp_path, lines(rows(steps)))
    assert pixels.shape[0] > 500 and pixels.shape[1] > 800
    assert coloured(pixels) > 100


def test_without_values_there_are_no_curves(tmp_path: Path) -> None:
    assert coloured(picture(tmp_path, "")) == 0
    assert coloured(picture(tmp_path, '{"step": 3}\n[1]\n"x"\n{"loss": 2}\n')) == 0


def test_a_torn_line_and_values_that_are_no_numbers_are_passed_over(tmp_path: Path) -> None:
    whole = picture(tmp_path, lines(rows(9)))
    strange = '{"step": 10, "loss": NaN, "lr": Infinity, "tokens_per_second": null}\n{"step": 11, "lo'
    np.testing.assert_array_equal(picture(tmp_path, lines(rows(9)) + strange), whole)


def test_a_step_that_was_done_again_counts_once(tmp_path: Path) -> None:
    whole = picture(tmp_path, lines(rows(9)))
    again = [{"step": 4, "loss": 30.0}, *rows(9)]
    np.testing.assert_array_equal(picture(tmp_path, lines(again)), whole)


def test_global_state_stays_as_it_is(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    had_pyplot = "matplotlib.pyplot" in sys.modules
    picture(tmp_path, lines(rows(3)))
    assert dict(matplotlib.rcParams) == before
    assert ("matplotlib.pyplot" in sys.modules) == had_pyplot


def test_missing_metrics_and_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    assert RunDirectory(tmp_path, {}).metrics() == []
    with pytest.raises(StorageError):
        draw_curves([], tmp_path / "none" / "curves.png")


def test_without_matplotlib_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match="matplotlib") as caught:
        draw_curves([], tmp_path / "p")
    assert "nlpsuite[train]" in caught.value.hint
