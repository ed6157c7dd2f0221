"""``nlpsuite plugins check`` of plugins that are no tasks, and what the broken ones do to others."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from fake_plugins import install, nlpsuite

from nlpsuite.plugins.kinds import KINDS
from nlpsuite.plugins.probe import Probe
from nlpsuite.plugins.registry import installed
from nlpsuite.plugins.scan import Plugin
from nlpsuite.testing import Finding, check_plugin, subject

HOOK = "from nlpsuite import hookimpl\n@hookimpl\ndef {hook}(): return {value}\n"


def offer(place: Path, kind: str, name: str, code: str) -> None:
    distribution = f"{name}-plugin"
    info = install(place, name, code, distribution)
    (info / "entry_points.txt").write_text(
        f"[{KINDS[kind].group}]\n{name} = {distribution.replace('-', '_')}\n"
    )


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "task"])
def test_bundled_ones_pass(kind: str) -> None:
    # Ray takes half a minute to start; its own tests do that.
    for plugin in installed(kind).values():
        if not plugin.bundled or plugin.name == "ray":
            continue
        findings = list(check_plugin(plugin))
        assert findings and all(finding.ok for finding in findings), [str(f) for f in findings if not f.ok]


@pytest.mark.parametrize(
    ("kind", "code", "check", "message"),
    [
        ("metric", "raise ValueError('no')", "loads", "ValueError: no"),
        ("source", "import sys; sys.exit(0)", "loads", "SystemExit: 0"),
        ("reader", "def (", "loads", "SyntaxError"),
        ("command", "x = 1", "loads", "no hook nlpsuite_command; is @hookimpl missing?"),
        ("guard", HOOK.format(hook="nlpsuite_guard", value="3"), "loads", "returned int instead of a Guard"),
        ("metric", HOOK.format(hook="nlpsuite_metric", value="3"), "loads", "returned int instead of a function"),
        ("command", HOOK.format(hook="nlpsuite_command", value="print"), "loads", "instead of a click.Command"),
        ("metric", HOOK.format(hook="nlpsuite_metric", value="lambda a, b: 1"), "says what it is", "docstring"),
        ("metric", HOOK.format(hook="nlpsuite_metric", value="lambda a, b: 1"), "prefers what is right", "returned 1"),
        ("metric", HOOK.format(hook="nlpsuite_metric", value="lambda a, b: 1"), "checks its rows", "0 outputs"),
        ("metric", HOOK.format(hook="nlpsuite_metric", value="lambda a, b: a[9]"), "prefers what is right", "raised"),
        ("reader", HOOK.format(hook="nlpsuite_reader", value="lambda path: iter(())"), "reports unreadable files", "absent"),
    ],
)  # fmt: skip
def test_faults_are_found(tmp_path: Path, kind: str, code: str, check: str, message: str) -> None:
    offer(tmp_path, kind, "faulty", code)
    done = nlpsuite(tmp_path, "plugins", "check", f"{kind}:faulty")
    assert done.returncode == 6, done.stderr
    [line] = [line for line in done.stdout.splitlines() if line.startswith(f"failed  {check}")]
    assert message in line and "faulty_plugin" in line
    # And nobody else is disturbed.
    for args in (["--help"], ["list"], ["plugins", "list"], ["run", "summarize", "--help"]):
        other = nlpsuite(tmp_path, *args)
        assert (
            other.returncode == 0 and "Traceback" not in other.stderr and "Usage: python" not in other.stderr
        )


def test_names(tmp_path: Path) -> None:
    done = nlpsuite(tmp_path, "plugins", "check", "metric:chrf", "reader:csv")
    assert done.returncode == 0 and "==> reader:csv <==" in done.stdout
    unknown = nlpsuite(tmp_path, "plugins", "check", "metric:chrv")
    assert unknown.returncode == 2 and "Did you mean 'chrf'?" in unknown.stderr


# One good plugin of each kind, in which faults are planted by replacing a piece of its code.

GUARD = """from nlpsuite import hookimpl
from nlpsuite.plugins import Flag, Guard, Screening
import itertools
calls = itertools.count()
class It(Guard):
    name = "it"
    def screen(self, texts, model):
        return [Screening(tuple(self.find(text)), 0.5) for text in texts]
    def find(self, text):
        at = text.find("@")
        return [] if at < 0 else [Flag("email", at, at + 1)]
@hookimpl
def nlpsuite_guard(): return It()
"""
SOURCE = """from pathlib import Path
import time
from nlpsuite import hookimpl
from nlpsuite.errors import ModelNotFoundError, ModelUnavailableError
from nlpsuite.plugins import ModelSpec
def obtain(directory, reporter):
    raise ModelUnavailableError("Offline.")
def it(rest, *, offline):
    if not rest.strip(): raise ModelNotFoundError("No name.")
    return ModelSpec(rest, "key " + rest, "it:" + rest, obtain)
@hookimpl
def nlpsuite_source(): return it
"""
WRITER = """import json, time
from nlpsuite import hookimpl
def it(file, rows, columns, schema):
    for row in rows():
        file.write((json.dumps({name: row.get(name) for name in columns}) + "\\n").encode())
@hookimpl
def nlpsuite_writer(): return it
"""
ENGINE = """from nlpsuite import hookimpl
from nlpsuite.errors import InputInvalidError
from nlpsuite.plugins import Beat, Done, open_worker
def it(work, chunks):
    run = open_worker(work)
    for chunk in chunks:
        beats = []
        done = run(chunk, beats.append)
        yield from beats
        yield done
@hookimpl
def nlpsuite_engine(): return it
"""
METRIC = """import numpy as np
from nlpsuite import hookimpl
from nlpsuite.plugins import RowMetric, check_references
class It(RowMetric):
    \"\"\"The share, 0 to 1.\"\"\"
    name = "it"
    def signature(self, references=1): return "version:1"
    def statistics(self, predictions, references):
        check_references(predictions, references)
        return np.array([[float(p.text in r), 1.0] for p, r in zip(predictions, references)])
    def figure(self, sums): return sums[..., 0] / np.maximum(sums[..., 1], 1)
@hookimpl
def nlpsuite_metric(): return It()
"""


def findings(place: Path, kind: str, name: str, code: str, monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    (place / "planted.py").write_text(code)
    monkeypatch.syspath_prepend(place)
    monkeypatch.delitem(sys.modules, "planted", raising=False)
    # That loading in a process of its own is tried first is tested above.
    monkeypatch.setattr(subject, "probe", lambda plugin, **options: Probe())
    return list(check_plugin(Plugin(name, "planted", "planted-plugin", "1.2", kind=kind)))


@pytest.mark.parametrize(
    ("kind", "name", "code"),
    [
        ("guard", "it", GUARD),
        ("source", "it", SOURCE),
        ("writer", "jsonl", WRITER),  # read back by the bundled reader
        ("writer", "it", WRITER),  # nobody reads it back
        ("engine", "it", ENGINE),
        ("metric", "it", METRIC),
    ],
)
def test_good_ones_pass(tmp_path: Path, monkeypatch, kind: str, name: str, code: str) -> None:
    found = findings(tmp_path, kind, name, f'"""It."""\n{code}', monkeypatch)
    assert len(found) > 10 and [str(finding) for finding in found if not finding.ok] == []


@pytest.mark.parametrize(
    ("kind", "name", "good", "bad", "check", "message"),
    [
        ("guard", "it", "for text in texts]", "for text in texts[1:]]", "screens_each_text", "gave 0 screenings for 1 texts"),
        ("guard", "it", "return [Screening(tuple(self.find(text)), 0.5) for text in texts]", "return [{} for text in texts]",
         "screens_each_text", "list of dict instead of a list of Screening"),
        ("guard", "it", "0.5)", "1 / (2 + next(calls)))", "is_deterministic", "and then Screening"),
        ("guard", "it", "at = text.find", "text[0]; at = text.find", "takes_any_text", "raised IndexError"),
        ("guard", "it", "at + 1", "at + 99_999", "points_into_the_text", "which has 89 characters"),
        ("guard", "it", "at, at + 1", "at", "points_into_the_text", "a start or an end alone"),
        ("guard", "it", "at, at + 1", "at, at + 5, detail=text", "points_into_the_text", "may be a secret"),
        ("guard", "it", "0.5)", "50)", "points_into_the_text", "must be from 0 to 1"),
        ("guard", "it", "return [] if at < 0 else", "return 0 if at < 0 else", "screens_each_text", "raised TypeError"),
        ("source", "it", "return ModelSpec(rest,", "return str(rest) or ModelSpec(rest,", "gives_a_base_or_an_error", "gave str instead of a ModelSpec"),
        ("source", "it", "raise ModelUnavailableError(\"Offline.\")", "return Path(directory)", "refuses_what_is_not_there", "which nobody has"),
        ("source", "it", "raise ModelUnavailableError(\"Offline.\")", "raise OSError(\"x\")", "refuses_what_is_not_there", "raised OSError"),
        ("source", "it", "if not rest.strip()", "if not {}[rest]", "gives_a_base_or_an_error", "raised KeyError"),
        ("source", "it", "\"key \" + rest", "str(time.perf_counter())", "gives_a_base_or_an_error", "and then"),
        ("source", "it", "    if not rest.strip()", "    import socket; socket.create_connection((\"127.0.0.1\", 9))\n    if not rest.strip()",
         "gives_a_base_or_an_error", "uses the network"),
        ("source", "it", "    if not rest.strip()", "    time.sleep(1.1 * (rest[:1] == \"n\" and \"/\" in rest))\n    if not rest.strip()", "is_quick", "belongs in its obtain"),
        ("source", "it", "\"it:\" + rest", "None", "gives_a_base_or_an_error", "the origin of the base"),
        ("writer", "jsonl", "for row in rows()", "for row in [*rows()][1:]", "keeps_ids", "wrote 8 rows for 9"),
        ("writer", "jsonl", "row.get(name) for", "(row.get(name) or \"\").lstrip(\"0\") for", "keeps_ids", "'007' was read back as '7'"),
        ("writer", "it", "row.get(name) for", "(row.get(name) or \"\").lstrip(\"0\") for", "keeps_ids", "007"),
        ("writer", "jsonl", "row.get(name) for", "(row.get(name) or \"\").replace(\"\\n\", \" \") for", "keeps_texts", "was read back as"),
        ("writer", "jsonl", "row.get(name) for", "str(row.get(name)) for", "a_missing_column_is_null", "label 'None' where None"),
        ("writer", "jsonl", "row.get(name) for", "row[name] for", "writes_rows", "raised KeyError"),
        ("writer", "it", "for row in rows()", "file.write(str(time.perf_counter_ns()).encode())\n    for row in rows()", "is_deterministic", "other bytes"),
        ("writer", "jsonl", "@hookimpl", "write = it\ndef it(file, *rest):\n    write(file, *rest); file.close()\n@hookimpl", "writes_rows", "closed the file"),
        ("writer", "it", "for row in rows():", "return 3\n    for row in rows():", "writes_rows", "returned int"),
        ("engine", "it", "for chunk in chunks", "for chunk in [*chunks][:-1]", "runs_every_chunk", "never ran the chunks [6] of 7"),
        ("engine", "it", "        yield done", "", "runs_every_chunk", "yielded a Done for the chunks [] of 7"),
        ("engine", "it", "yield done", "yield Done(chunk, rows=0)", "runs_every_chunk", "not what the worker returned"),
        ("engine", "it", "yield done", "yield chunk", "runs_every_chunk", "yielded int, neither Done nor Beat"),
        ("engine", "it", "for chunk in chunks", "for chunk in [*chunks]", "takes_chunks_as_it_needs_them", "took all 500 chunks"),
        ("engine", "it", "    for chunk in chunks:", "    def quiet(chunk, beat):\n        try: return worker(chunk, beat)\n"
         "        except InputInvalidError: return Done(chunk, 3)\n    worker, run = run, quiet\n    for chunk in chunks:",
         "passes_errors_on", "nothing came of it"),
        ("engine", "it", "@hookimpl", "generate = it\ndef it(work, chunks): return list(generate(work, chunks))\n@hookimpl",
         "runs_every_chunk", "returned list; write it as a generator"),
        ("metric", "it", "name = \"it\"", "name = \"that\"", "is_a_function_of_sums", "calls itself 'that'"),
        ("metric", "it", "return \"version:1\"", "return \"\"", "is_a_function_of_sums", "has no version"),
        ("metric", "it", "return np.array([[", "return np.array([[0, 1.0]]) if len(predictions) == 3 else np.array([[",
         "is_a_function_of_sums", "the shape (1, 2), not (3, k)"),
        ("metric", "it", "/ np.maximum(sums[..., 1], 1)", "/ np.maximum(sums[..., 1], 1) - 1.0", "is_a_function_of_sums", "figures of single rows"),
    ],
)  # fmt: skip
def test_planted_faults_are_caught(
    tmp_path: Path, monkeypatch, kind: str, name: str, good: str, bad: str, check: str, message: str
) -> None:
    code = {"guard": GUARD, "source": SOURCE, "writer": WRITER, "engine": ENGINE, "metric": METRIC}[kind]
    assert good in code
    found = findings(tmp_path, kind, name, code.replace(good, bad), monkeypatch)
    [finding] = [finding for finding in found if finding.check == check]
    assert not finding.ok and message in finding.message, str(finding)
    assert "planted.py:" in finding.where


def test_workers_that_outlive_the_engine_are_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = ENGINE.replace(
        "        yield done\n",
        "        try: yield done\n"
        "        except GeneratorExit: threading.Thread(target=go_on, args=(run,)).start(); raise\n",
    )
    code += (
        "import threading\n"
        "def go_on(run):\n"
        "    try: [run(chunk, id) for chunk in range(12)]\n"
        "    except OSError: pass  # the place is gone\n"
    )
    found = findings(tmp_path, "engine", "it", code, monkeypatch)
    [finding] = [finding for finding in found if finding.check == "ends_when_closed"]
    assert not finding.ok and "closed, it went on to run" in finding.message


def test_what_needs_an_extra_is_not_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = WRITER.replace(
        "    for row in rows()",
        "    from nlpsuite.errors import MissingExtraError\n"
        "    raise MissingExtraError('Needs x.', hint='pip install x')\n    for row in rows()",
    )
    found = findings(tmp_path, "writer", "jsonl", code, monkeypatch)
    assert [finding.check for finding in found if not finding.ok] == ["summary"]
    assert sum("not tried: Needs x. pip install x" in finding.message for finding in found) == 5
