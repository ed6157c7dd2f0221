"""``nlpsuite plugins check`` of plugins that are no tasks, and what the broken ones do to others."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_plugins import install, nlpsuite

from nlpsuite.plugins.discovery import installed
from nlpsuite.plugins.kinds import KINDS
from nlpsuite.testing.checks_kinds import check_plugin

HOOK = "from nlpsuite import hookimpl\n@hookimpl\ndef {hook}(): return {value}\n"


def offer(place: Path, kind: str, name: str, code: str) -> None:
    distribution = f"{name}-plugin"
    info = install(place, name, code, distribution)
    (info / "entry_points.txt").write_text(
        f"[{KINDS[kind].group}]\n{name} = {distribution.replace('-', '_')}\n"
    )


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "task"])
def test_bundled_ones_pass(kind: str) -> None:
    bundled = [plugin for plugin in installed(kind).values() if plugin.bundled]
    assert bundled, "a hook exists only if a bundled plugin uses it"
    for plugin in bundled:
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
        ("metric", HOOK.format(hook="nlpsuite_metric", value="lambda a, b: 1"), "prefers what is right", "gave 1"),
        ("metric", HOOK.format(hook="nlpsuite_metric", value="lambda a, b: 1"), "checks its rows", "0 outputs"),
        ("metric", HOOK.format(hook="nlpsuite_metric", value="lambda a, b: a[9]"), "prefers what is right", "raised"),
        ("reader", HOOK.format(hook="nlpsuite_reader", value="lambda path: iter(())"), "tells of a file", "absent"),
    ],
)  # fmt: skip
def test_faults_are_found(tmp_path: Path, kind: str, code: str, check: str, message: str) -> None:
    offer(tmp_path, kind, "faulty", code)
    done = nlpsuite(tmp_path, "plugins", "check", f"{kind}:faulty")
    assert done.returncode == 70, done.stderr
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
    assert unknown.returncode == 64 and "Did you mean 'chrf'?" in unknown.stderr
