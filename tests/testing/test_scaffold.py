"""``plugins new`` writes a package that works, and ``plugins check`` finds what is broken in it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from installed import dist_info, environment_with, put_on_path

from nlpsuite.cli.plugins_command import command as plugins
from nlpsuite.errors import OptionError, StorageError, UnknownTaskError
from nlpsuite.testing.conformance import CHECKS

MODULE = "nlpsuite_demo"
SOURCE = f"{MODULE}.py"


def new(name: str, parent: Path) -> Path:
    done = CliRunner().invoke(plugins, ["new", name, "-o", str(parent)], catch_exceptions=False)
    assert done.exit_code == 0
    assert done.stdout == f"{parent / f'nlpsuite-{name}'}\n"
    return parent / f"nlpsuite-{name}"


def check(*args: str) -> tuple[int, list[dict[str, Any]]]:
    """Exit code and findings of ``plugins check --json``."""
    arguments = ["check", *args, "--json"]
    done = CliRunner().invoke(plugins, arguments, catch_exceptions=False, standalone_mode=False)
    return done.return_value, [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The scaffold of a task ``demo``, as if installed."""
    project = new("demo", tmp_path)
    dist_info(project)
    put_on_path(project, MODULE, monkeypatch)
    return project


def test_its_tests_pass_untouched(tmp_path: Path) -> None:
    project = new("two-words", tmp_path)
    dist_info(project)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "tests"],
        cwd=project,
        env=environment_with(project),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert f"{len(CHECKS) + 1} passed" in done.stdout
    made = {
        p.relative_to(project).as_posix() for p in project.rglob("*") if p.suffix in (".py", ".toml", ".md")
    }
    assert made == {
        "pyproject.toml",
        "README.md",
        "nlpsuite_two_words.py",
        "tests/test_nlpsuite_two_words.py",
    }
    assert not any("{{" in path.read_text() for path in project.rglob("*.py"))


def test_the_check_is_green(demo: Path) -> None:
    code, findings = check("demo")
    assert [f for f in findings if not f["ok"]] == [] and code == 0
    assert findings[0] == {
        "name": "demo",
        "check": "metadata",
        "ok": True,
        "message": "nlpsuite-demo 0.1.0, nlpsuite.tasks.v1",
        "where": "",
    }


@pytest.mark.parametrize("name", ["Demo", "a b", "1st", "-x", "a--b", "nlpsuite-demo", "x" * 41, "é", ""])
def test_a_bad_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(OptionError, match="can't be a task's name") as caught:
        CliRunner().invoke(plugins, ["new", "-o", str(tmp_path), "--", name], catch_exceptions=False)
    suggested = caught.value.hint.split()[-1]
    assert new(suggested, tmp_path).is_dir()


def test_a_taken_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="already, from nlpsuite") as caught:
        new("summarize", tmp_path)
    assert "plugins new my-summarize" in caught.value.hint


def test_what_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "nlpsuite-demo").mkdir()
    (tmp_path / "nlpsuite-demo" / "mine.txt").write_text("mine")
    with pytest.raises(StorageError, match="exists already"):
        new("demo", tmp_path)
    assert [p.name for p in tmp_path.rglob("*")] == ["nlpsuite-demo", "mine.txt"]


def test_an_unknown_task_is_named(demo: Path) -> None:
    with pytest.raises(UnknownTaskError, match="demp"):
        CliRunner().invoke(plugins, ["check", "demo", "demp"], catch_exceptions=False)


def test_a_failed_check_has_the_exit_code_of_a_failed_plugin(demo: Path) -> None:
    path = demo / SOURCE
    path.write_text(path.read_text().replace(PARSE, "return 3"))
    command = [sys.executable, "-m", "nlpsuite", "plugins", "check", "demo"]
    done = subprocess.run(command, env=environment_with(demo), capture_output=True, text=True)
    assert done.returncode == 6 and done.stderr == ""
    assert "failed  parses anything" in done.stdout
    assert "gave int, not an Output" in done.stdout


# Faults: a piece of the scaffold, what stands there instead, the check that must find it, what its
# message must say, and the text on the line it must point to.

PARSE = "return Output(completion.text.strip())"
FIRST = "from __future__ import annotations\n"
EVALUATE = "    def evaluate(self, outputs, references, options):\n"
HOOK = "\n\n@hookimpl"
FAULTS = {
    "no docstring": ('"""Say in one line what demo does: `nlpsuite list` shows it."""\n', "", "summary", "no docstring", None),
    "prints": (FIRST, FIRST + "print('hello')\n", "imports_silently", "prints 'hello'", "print("),
    "imports torch": (
        FIRST, FIRST + "try:\n    import torch\nexcept ImportError:\n    pass\n", "imports_nothing_heavy",
        "imports torch", "import torch",
    ),
    "uses the network": (
        FIRST,
        FIRST + "import socket\ntry:\n    socket.create_connection(('127.0.0.1', 9))\nexcept OSError:\n    pass\n",
        "imports_offline", "uses the network", "create_connection",
    ),
    "is slow": (FIRST, FIRST + "import time\ntime.sleep(0.51)\n", "imports_quickly", "0.5", None),
    "exits": (FIRST, FIRST + "import sys\nsys.exit(3)\n", "imports", "SystemExit: 3", "sys.exit"),
    "syntax error": (FIRST, FIRST + "def (:\n", "imports", "SyntaxError", "def (:"),
    "another name": ('    name = "demo"', '    name = "other"', "loads", "calls itself 'other'", None),
    "long text undeclared": (
        '    long_input = "split"  #', "    #", "declarations", "long_input isn't declared", "class Demo",
    ),
    "unknown policy": ('long_input = "split"', 'long_input = "cut"', "declarations", "'cut'", 'long_input = "cut"'),
    "no help": ('option("plain", "how the answer sounds")', '"plain"', "options", "'tone' has no help", "options ="),
    "default not allowed": ('option("plain", ', 'option("rude", ', "options", "'rude'", "options ="),
    "a name of the suite's": (
        "    tone: Literal", '    model: str = option("x", "which")\n    tone: Literal', "loads",
        "'model', a name", "class Demo",
    ),
    "unknown adapter option": (
        "    streams = True", "    adapter_options = {'tune': 'plain'}\n    streams = True", "adapter_options",
        "Did you mean 'tone'", "adapter_options =",
    ),
    "chance in the prompt": (
        "{record.text}", "{record.text}{__import__('random').random()}", "prompts_are_pure", "gave two prompts",
        "def prompt",
    ),
    "changes the record": (
        "        prompt = Prompt(",
        "        object.__setattr__(record, 'text', record.text.strip() + '.')\n        prompt = Prompt(",
        "prompts_are_pure", "changes the record", "def prompt",
    ),
    "keeps state": (
        "        prompt = Prompt(", "        self.last = record\n        prompt = Prompt(", "prompts_are_pure",
        "changes the task", "def prompt",
    ),
    "forgets the text": ("{record.text}", "", "prompts", "two texts have the same prompt", "def prompt"),
    "ignores --max-tokens": ("return options.apply(prompt)", "return prompt", "prompts", "no effect", "def prompt"),
    "braces": (
        'f"Describe the following text in one sentence.\\n\\n{record.text}"',
        '("Describe: " + record.text).format()', "odd_texts", "prompt raised", ".format()",
    ),
    "cuts in silence": (
        "{record.text}", "{record.text[:500]}", "long_texts", "without a notice", "def prompt",
    ),
    "repeats the text": (
        "{record.text}", "{record.text}{record.text}", "long_texts", "was refused", "long_input =",
    ),
    "parse raises": (PARSE, "return Output(completion.text.strip()[0])", "odd_texts", "IndexError", "[0]"),
    "parse expects JSON": (
        PARSE, "__import__('json').loads(completion.text or '1')\n        return Output(completion.text.strip())",
        "parses_anything", "JSONDecodeError", ".loads(",
    ),
    "prints while it works": (
        "        prompt = Prompt(",
        "        print('now')\n        prompt = Prompt(",
        "works_silently",
        "prints 'now",
        "class Demo",
    ),
    "not a number": (
        PARSE, "return Output(completion.text.strip(), data={'score': float('nan')})", "parses_anything",
        "can't be written as JSON", "def parse",
    ),
    "probabilities": (
        PARSE, "return Output('a', 'a', {'a': 0.7, 'b': 0.2})", "parses_anything", "sum to 0.9", "def parse",
    ),
    "overwrites the result": (
        PARSE, "return Output(completion.text.strip(), data={'model': 'mine'})", "parses_anything", "'model'",
        "def parse",
    ),
    "shows what it changes": (
        PARSE, "return Output(completion.text.strip().upper())", "streams", "was shown", "streams =",
    ),
    "join raises": (
        HOOK, "\n    def join(self, outputs, parts, options):\n        return outputs[2]\n" + HOOK, "joins",
        "IndexError", "outputs[2]",
    ),
    "a metric over 1": (
        HOOK, "\n" + EVALUATE + "        return {'f1': 1.5}\n" + HOOK, "metrics_are_bounded", "f1 is 1.5",
        "def evaluate",
    ),
    "a metric that is always best": (
        HOOK, "\n" + EVALUATE + "        return {'f1': 1.0}\n" + HOOK, "metrics_are_bounded", "no figure is lower",
        "def evaluate",
    ),
    "a metric that cuts lists": (
        HOOK,
        "\n" + EVALUATE + "        same = [a.text == b for a, b in zip(outputs, references)]\n"
        "        return {'same': sum(same) / len(references or [0])}\n" + HOOK,
        "metrics_check_their_rows", "check_lengths", "def evaluate",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_caught(demo: Path, fault: str) -> None:
    good, bad, check_name, said, line_has = FAULTS[fault]
    path = demo / SOURCE
    source = path.read_text()
    assert good in source
    path.write_text(source.replace(good, bad, 1))
    code, findings = check("demo")
    assert code == 6
    failed = {f["check"]: f for f in findings if not f["ok"]}
    assert check_name in failed, failed
    finding = failed[check_name]
    assert said in finding["message"] and finding["where"]
    assert len(failed) <= 8, failed  # what works is not blamed
    if line_has is not None:
        file, line = finding["where"].rsplit(":", 1)
        assert Path(file).name == SOURCE
        assert line_has in path.read_text().split("\n")[int(line) - 1], finding


def test_a_check_takes_a_line(demo: Path) -> None:
    path = demo / SOURCE
    path.write_text(path.read_text().replace(PARSE, "raise ValueError('one\\ntwo')"))
    done = CliRunner().invoke(plugins, ["check", "demo"], standalone_mode=False)
    lines = done.stdout.splitlines()
    assert done.return_value == 6 and len(lines) == len(CHECKS)
    assert all(line.startswith(("ok      ", "failed  ")) for line in lines)
    assert sum("parse raised ValueError: one" in line for line in lines) >= 1
