"""``nlpsuite eval bias``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nlpsuite.cli.output import print_json
from nlpsuite.cli.task_commands import model_flags

if TYPE_CHECKING:
    from nlpsuite.evaluation.bias import Comparison, Counterfactuals, Difference
    from nlpsuite.evaluation.metrics.bootstrap import Interval
    from nlpsuite.runtime.bundle import Bundle

__all__ = ["command"]

_SHOWN = 3
_SEED = 0


def _measure(as_json: bool, device: str, threads: int, **model_options: Any) -> None:
    from nlpsuite.cli.progress import Progress
    from nlpsuite.evaluation.bias import Counterfactuals, compare, measure
    from nlpsuite.tasks.load import load

    progress = Progress()
    try:
        pipeline = load("sentiment", device=device, threads=threads, reporter=progress, **model_options)  # type: ignore[arg-type]
    finally:
        progress.close()
    for notice in pipeline.notices:
        click.echo(notice, err=True)
    tests = Counterfactuals.bundled()
    sentences = tests.sentences()
    click.echo(f"Measuring {len(sentences):,} sentences, which takes a minute or so on a CPU.", err=True)
    comparisons, singles = compare(measure(pipeline, sentences), seed=_SEED)
    bundle = pipeline.model.bundle
    if as_json:
        report = _report(bundle, tests, len(sentences), comparisons, singles)
        print_json(report)
    else:
        click.echo(_text(bundle, tests, len(sentences), comparisons, singles))


command = click.Command(
    "bias",
    callback=_measure,
    params=[
        *model_flags(),
        click.Option(["--device"], type=click.Choice(["auto", "cuda", "cpu"]), default="auto", show_default=True,
                     help="Where the model runs."),
        click.Option(["--threads"], type=click.IntRange(0, 256), default=0, show_default=True,
                     help="CPU threads; 0 uses every core."),
        click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
    ],
    help="""Measure how much a model's answers change with the group of a person.

    A set of English sentences is put to the model once for each group of four axes: gender, age, origin,
    religion. For each pair of groups it prints the mean difference in sentiment (probability of positive,
    by the task sentiment) and in the log-probability of a token, each with a 95 % interval, and the
    sentences that differ most. docs/guard.md says what that can and can't show.

    \b
    nlpsuite eval bias
    nlpsuite eval bias --model ./my-bundle --json
    """,
)  # fmt: skip


def _report(
    bundle: Bundle,
    tests: Counterfactuals,
    sentences: int,
    comparisons: list[Comparison],
    singles: dict[str, list[Difference]],
) -> dict[str, Any]:
    from nlpsuite import __version__
    from nlpsuite.evaluation.bias import LIMITS
    from nlpsuite.evaluation.metrics.bootstrap import RESAMPLES
    from nlpsuite.plugins import find_task

    plugin = find_task("sentiment")
    return {
        "model": {
            "name": bundle.name,
            "precision": bundle.graph("slots").precision,
            "fingerprint": bundle.fingerprint,
        },
        "set": {
            "version": tests.version,
            "sha256": tests.sha256,
            "templates": len(tests.templates),
            "sentences": sentences,
        },
        "bootstrap": {"resamples": RESAMPLES, "seed": _SEED, "interval": 0.95, "unit": "template"},
        "comparisons": [
            {
                "axis": found.axis,
                "groups": [found.first, found.second],
                "pairs": found.pairs,
                "sentiment": _values(found.sentiment),
                "logprob": _values(found.logprob),
            }
            for found in comparisons
        ],
        "largest": {
            measured: [
                {"axis": single.axis, "sentences": [single.first, single.second],
                 "difference": round(single.value, 6)}
                for single in some[:_SHOWN]
            ]
            for measured, some in singles.items()
        },
        "limits": list(LIMITS),
        "plugin": {"distribution": plugin.distribution, "version": plugin.version},
        "nlpsuite": __version__,
    }  # fmt: skip


def _values(interval: Interval) -> dict[str, Any]:
    ends = {"mean": interval.mean, "low": interval.low, "high": interval.high}
    return {name: round(value, 6) for name, value in ends.items()} | {
        "n": interval.n,
        "clear": interval.clear,
    }


def _text(
    bundle: Bundle,
    tests: Counterfactuals,
    sentences: int,
    comparisons: list[Comparison],
    singles: dict[str, list[Difference]],
) -> str:
    from nlpsuite.evaluation.bias import LIMITS
    from nlpsuite.evaluation.metrics.bootstrap import RESAMPLES

    width = max(len(f"{found.first} − {found.second}") for found in comparisons)
    lines = [
        f"{bundle.name}: {sentences:,} sentences from {len(tests.templates)} templates (set {tests.version}).",
        f"Mean difference with its 95 % interval, over n = {len(tests.templates)} templates ({RESAMPLES:,} "
        "resamples); * where it leaves out 0.",
        "",
        f"{'axis':<10}{'groups':<{width + 2}}{'pairs':>5}  {'P(positive)':<27}log-probability a token",
    ]
    for found in comparisons:
        groups = f"{found.first} − {found.second}"
        lines.append(
            f"{found.axis:<10}{groups:<{width + 2}}{found.pairs:>5}  {_shown(found.sentiment):<27}"
            f"{_shown(found.logprob)}"
        )
    titles = {"sentiment": "P(positive)", "logprob": "log-probability a token"}
    for measured, some in singles.items():
        lines += ["", f"Largest differences in {titles[measured]}:"]
        lines += [f"  {single.value:+.3f}  {single.first}  |  {single.second}" for single in some[:_SHOWN]]
    return "\n".join([*lines, "", "What this can't show:", *(f"- {limit}" for limit in LIMITS)])


def _shown(interval: Interval) -> str:
    return f"{interval.mean:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]{' *' if interval.clear else ''}"
