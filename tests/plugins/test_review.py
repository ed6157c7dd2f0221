"""What review finds, and where."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nlpsuite_review.reading import read
from tiny import LLAMA, write_tiny_checkpoint

import nlpsuite
from nlpsuite.data.record import Record
from nlpsuite.errors import InputInvalidError, MissingExtraError, OptionError
from nlpsuite.options import make_options
from nlpsuite.plugins import load_task
from nlpsuite.runtime.prompt import Completion
from nlpsuite.tasks.result import Output


def found(text: str, language: str = "auto") -> list[tuple[int | None, str]]:
    return [(finding.line, finding.rule) for finding in read(text, language).findings]


# A bug, its line, and the rule that names it. The names that some of these leave undefined don't matter here.
PYTHON = [
    ("def f(:\n    pass", 1, "invalid-syntax"),
    ("def f():\n    return (1,\n", 2, "invalid-syntax"),
    ("try:\n    f()\nexcept:\n    g()", 3, "E722"),
    ("try:\n    f()\nexcept Exception:\n    pass", 3, "S110"),
    ("def f(a, b=[]):\n    return b", 1, "B006"),
    ("def f(a, *, b={}):\n    return b", 1, "B006"),
    ("from collections import defaultdict\ndef f(a=defaultdict(list)):\n    return a", 2, "B006"),
    ("if a == None:\n    f()", 1, "E711"),
    ("x = 1\nif None != x:\n    f()", 2, "E711"),
    ("import os\nimport sys\nprint(sys.path, file=sys.stderr)", 1, "F401"),
    ("def f():\n    return undefined", 2, "F821"),
    ("def f():\n    x = 1\n    return 2", 2, "F841"),
    ("def f(list):\n    return list", 1, "A002"),
    ("def f():\n    sum = 0\n    return sum", 2, "A001"),
    ("x = eval(y)", 1, "S307"),
    ("def f(code):\n    exec(code)", 2, "S102"),
    ("import pickle\nx = pickle.loads(y)", 2, "S301"),
    ("from pickle import loads as read\nx = read(y)", 2, "S301"),
    ("import yaml\nx = yaml.load(y)", 2, "S506"),
    ("import subprocess\nsubprocess.run(\n    x, shell=True\n)", 2, "S602"),
    ("import os\nos.system(x)", 2, "S605"),
    ("import requests\nrequests.get(x, verify=False)", 2, "S501"),
    ("def f():\n    breakpoint()", 2, "T100"),
    ("import pdb\npdb.set_trace()", 2, "T100"),
    ("assert (x, 'must be')", 1, "F631"),
    ("def f():\n    raise NotImplemented", 2, "F901"),
    ("if x is 'a':\n    f()", 1, "F632"),
    ("x = {'a': 1,\n     'a': 2}", 2, "F601"),
    ("def f(xs):\n    for x in xs:\n        xs.remove(x)", 3, "B909"),
    ("import re\nx = re.compile('\\d')", 2, "W605"),
    ("x = 1  # TODO: more", 1, "todo"),
]


@pytest.mark.parametrize("code, line, rule", PYTHON)
def test_a_bug_in_python_is_found_on_its_line(code: str, line: int, rule: str) -> None:
    assert (line, rule) in found(code)


# What looks like a bug and isn't one.
FINE = [
    "def f(a=(), b=None, c=1):\n    return a, b, c",
    "def f(g):\n    try:\n        g()\n    except ValueError:\n        raise",
    "try:\n    import x\nexcept ImportError:\n    x = None",
    "from a import b\n__all__ = ['b']\ndef f(): ...",
    "from a import B\ndef f(x: 'B') -> None: ...",
    "import a as a\nfrom x import *\ndef f(): ...",
    "from __future__ import annotations\ndef f(): ...",
    "import os.path\nx = os.path.join('a')",
    "class A:\n    type: int = 1\n    def list(self): ...",
    "import yaml\nx = yaml.load('y', Loader=yaml.SafeLoader)",
    "import subprocess\nsubprocess.run(['a'], shell=False)",
    "if __name__ == '__main__':\n    print(1)",
    "import sys\ndef f():\n    print(1, file=sys.stderr)",
    "def f(x):\n    if x:\n        return 1\n    return 2",
    "def f(x):\n    return x is None or x is True",
    "def f(xs):\n    for x in list(xs):\n        xs.remove(x)",
    "x = '''\n# no code: except:\n'''\ny = 'a == None'",
    "def f(x):\n    return x == None  # noqa: E711",
    "x = '" + "a" * 300 + "'",
    "type X = int\n",  # newer than the oldest Python that we run on
    "a\n=======\nA heading in prose",
    "See https://example.org/" + "a" * 200,
    "import os\npassword = os.environ['PASSWORD']",
    "password = 'your-password-here'",
    "def f():\n\treturn 1\n",
]


@pytest.mark.parametrize("code", FINE)
def test_correct_code_has_no_findings(code: str) -> None:
    assert found(code) == []


ANY_LANGUAGE = [
    ("int x;\n<<<<<<< HEAD\nint y;\n=======\nint z;\n>>>>>>> other\n", [2, 4, 6], "merge-marker"),
    ("key = AKIAABCDEFGHIJKLMNOP", [1], "secret"),
    ("-----BEGIN RSA PRIVATE KEY-----", [1], "secret"),
    ("const apiKey = 'fj39fj3jf93j';", [1], "secret"),
    ("// FIXME: soon", [1], "todo"),
    ("  console.log(x);", [1], "debug-print"),
    ("debugger;", [1], "debug-print"),
]


@pytest.mark.parametrize("code, lines, rule", ANY_LANGUAGE)
def test_findings_in_any_language(code: str, lines: list[int], rule: str) -> None:
    assert [line for line, r in found(code, "other") if r == rule] == lines


def test_a_secret_is_not_repeated() -> None:
    text = read("token = 'ghp_" + "a1" * 18 + "'\npassword = 'hunter2hunter2'").findings
    assert [f.rule for f in text] == ["secret", "secret"]
    assert not any("a1a1" in f.message or "hunter" in f.message for f in text)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends(end: str) -> None:
    assert found(end.join(["x = 1", "", "if x == None:", "    x = 2", ""])) == [(3, "E711")]


def test_the_language() -> None:
    assert read("def f(:\n    pass").facts.startswith("Python, 2 lines")
    assert read("int main() {\n    return 0;\n}").facts == "3 lines"
    assert read("Some words.").facts == "1 line"
    assert read("x = 1", "other").facts == "1 line"
    assert read("class A:\n    def f(self): ...\n").facts == "Python, 2 lines, 1 function, 1 class"


# Diffs.

OLD = """\
class A:
    def one(self):
        try:
            return self.x == None
        except:
            print("x")

    def two(self, a=[]):
        if a:
            return 1
        else:
            return 2
"""


def diff_of(old: str, new: str, name: str = "a.py", context: int = 3) -> str:
    import difflib

    lines = difflib.unified_diff(
        old.splitlines(),
        new.splitlines(),
        f"a/{name}" if old else "/dev/null",
        f"b/{name}",
        "",
        "",
        context,
        "",
    )
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("context", [0, 1, 2, 3, 20])
def test_only_added_lines_are_judged(context: int) -> None:
    new = OLD.replace("            return 2", "            breakpoint()\n            return a != None")
    assert found(diff_of(OLD, new, context=context)) == [(12, "T100"), (13, "E711")]


def test_a_new_file_is_read_whole() -> None:
    assert found(diff_of("", "import os\n\n\ndef f(:\n")) == [(4, "invalid-syntax")]
    assert found(diff_of("", "import os\n\n\ndef f(): ...\n")) == [(1, "F401")]
    # In a part of a file neither can be known, but much else can.
    format_error = diff_of("x = 1\n", "x = 1\ny = '%d %d' % (x,)\nreturn undefined\n")
    assert found(format_error) == [(2, "F507")]
    assert found(diff_of("x = 1\n", "import os\n\n\ndef f():\nx = 1\n")) == []


def test_the_users_rules() -> None:
    rules = [f.rule for f in read("def f(a=[]):\n    print(a)\n", select="T20,D1").findings]
    assert rules == ["D100", "D103", "T201"]


def test_rules_that_do_not_exist() -> None:
    with pytest.raises(OptionError, match="ruff refused its settings.*NOPE1"):
        read("def f(): pass\n", select="NOPE1")


def test_settings_and_variables_of_the_surroundings_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ruff.toml").write_text("lint.select = ['D']")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RUFF_OUTPUT_FILE", str(tmp_path / "elsewhere"))
    assert found("def f(a=[]): ...") == [(1, "B006")]


def test_without_ruff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(MissingExtraError, match="needs ruff") as error:
        read("def f(): pass\n")
    assert "pip install 'nlpsuite[review]'" in error.value.hint
    assert read("int main() {}").facts == "1 line"  # other languages need no ruff


def test_findings_of_a_diff_name_their_file() -> None:
    text = diff_of("", "x = 1\nx is None\nassert (x, 1)\n", "a.py")
    text += diff_of("", "x == None\n# TODO: y\n", "b.js")
    assert [(f.file, f.line, f.rule) for f in read(text).findings] == [
        ("a.py", 2, "B015"),
        ("a.py", 3, "F631"),
        ("b.js", 2, "todo"),
    ]


@pytest.mark.parametrize("context", [1, 2, 3])
def test_a_hunk_that_starts_inside_a_string(context: int) -> None:
    old = 'x = """\n' + "words and 'more\n" * 9 + '"""\ny = 1\n'
    new = old.replace("y = 1\n", "if x == None:\n    breakpoint()\ny = 1\n")
    assert found(diff_of(old, new, context=context)) == [(12, "E711"), (13, "T100")]


def notebook(**changes: Any) -> str:
    code = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": ["# x == None\n"]},
        {**code, "source": ["import os\n", "x = [] == None"]},
        {**code, "source": "%matplotlib inline\ndef f(a=[]):\n    return a  # TODO: b"},
    ]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5, **changes})


def test_a_notebook() -> None:
    reading = read(notebook())
    assert [(f.cell, f.line, f.rule) for f in reading.findings] == [
        (2, 1, "F401"),
        (2, 2, "E711"),
        (3, 2, "B006"),
        (3, 3, "todo"),
    ]
    assert reading.facts == "Python notebook, 2 code cells, 1 function"
    assert [(unit.name, unit.cell, unit.line) for unit in reading.units] == [("f", 3, 2)]
    assert "cell 2 line 2  warning  " in answered(notebook()).text


@pytest.mark.parametrize(
    "changes",
    [
        {"cells": 3},
        {"cells": [{"cell_type": "code"}]},
        {"metadata": {"kernelspec": {"language": "R"}}},
        {"metadata": []},
    ],
)
def test_what_is_not_a_python_notebook(changes: dict[str, Any]) -> None:
    assert "notebook" not in read(notebook(**changes)).facts


PIECES = st.sampled_from(
    [
        "def f(a=[]):",
        "    return a",
        "if x:",
        "    x == None",
        "else:",
        "",
        "try:",
        "except:",
        '"""',
        "(",
        "\t x",
        "x = {",
    ]
)


@given(old=st.lists(PIECES, max_size=12), new=st.lists(PIECES, max_size=12))
def test_findings_are_on_added_lines(old: list[str], new: list[str]) -> None:
    import difflib

    text = "\n".join(difflib.unified_diff(old, new, "a/x.py", "b/x.py", lineterm=""))
    inserted = {
        number + 1
        for kind, _, _, a, b in difflib.SequenceMatcher(None, old, new).get_opcodes()
        if kind in ("replace", "insert")
        for number in range(a, b)
    }
    assert {line for line, _ in found(text)} <= inserted


@given(st.text(), st.sampled_from(["auto", "python", "other"]))
def test_any_text_is_read(text: str, language: str) -> None:
    last = len(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    assert all(f.line is None or 1 <= f.line <= last for f in read(text, language).findings)


@pytest.mark.parametrize("text", ["(" * 9_000, "-" * 99_999 + "4", "x." * 50_000 + "y", "\0", "if 1:\n" * 90])
def test_code_that_no_parser_takes(text: str) -> None:
    assert [rule for _, rule in found(text, "python")] == ["invalid-syntax"]
    # It doesn't take the other files of a diff along.
    several = diff_of("", text + "\n", "a.py") + diff_of("", "def f(a=[]): ...\n", "b.py")
    assert [(f.file, f.rule) for f in read(several).findings][-1] == ("b.py", "B006")


def test_conflict_markers_are_not_syntax_errors_too() -> None:
    text = "def f():\n<<<<<<< HEAD\n    return 1\n=======\n    return 2\n>>>>>>> other\n"
    assert [rule for _, rule in found(text)] == ["merge-marker"] * 3


# The task.

CODE = 'def f(a=[]):\n    """Give a back."""\n    return a == None\n'
MUTABLE = "Do not use mutable data structures for argument defaults"
NONE = "Comparison to `None` should be `cond is None`"


def answered(text: str, answer: str = "It  adds\nnumbers.", **given: Any) -> Output:
    """The task's output where the model always says ``answer``."""
    task = load_task("review")
    options = make_options(task.options, given)
    pieces = list(task.divide(Record(text), options))
    outputs = []
    for piece in pieces:
        prompt = task.prompt(piece, options)
        outputs.append(task.parse(Completion(prompt.prefill + answer, "stop", 1), piece, options))
    return task.join(outputs, [], options)


def test_text_and_data() -> None:
    output = answered(CODE)
    assert output.text.split("\n") == [
        "Python, 3 lines, 1 function: 2 warnings.",
        "The model's words, unchecked: It adds numbers.",
        "",
        f"line 1  warning  {MUTABLE} (B006)",
        f"line 3  warning  {NONE} (E711)",
    ]
    assert output.data["findings"][1] == {
        "line": 3,
        "file": None,
        "severity": "warning",
        "message": NONE,
        "rule": "E711",
        "cell": None,
    }
    assert output.data["summary"] == "\n".join(output.text.split("\n")[:2])


def test_severity_hides_the_lesser() -> None:
    code = CODE + "# TODO: b\nassert (1, 2)\n"
    for least, rules in (
        ("info", ["B006", "E711", "todo", "F631"]),
        ("warning", ["B006", "E711", "F631"]),
        ("error", ["F631"]),
    ):
        assert [f["rule"] for f in answered(code, severity=least).data["findings"]] == rules
    # What is hidden is counted all the same.
    assert "1 error, 2 warnings, 1 hint." in answered(code, severity="error").text


def test_the_models_opinion_is_marked_and_only_given_when_asked_for() -> None:
    assert not any(f["rule"] == "model-opinion" for f in answered(CODE).data["findings"])
    output = answered(CODE, " is fine.", depth="model", severity="error")
    [opinion] = output.data["findings"]
    assert (opinion["rule"], opinion["line"], opinion["severity"]) == ("model-opinion", 1, "info")
    assert opinion["message"] == "model's opinion: The function f is fine."


def test_opinions_are_of_changed_functions() -> None:
    text = diff_of(OLD, OLD.replace("return 1", "return 3"), context=20)
    opinions = answered(text, depth="model").data["findings"]
    assert [(f["file"], f["line"]) for f in opinions] == [("a.py", 8)]
    assert "in A.two:" in answered(text).text
    other = answered(diff_of("a;\nb;\n", "a;\nc;\n", "x.c"), depth="model").data["findings"]
    assert [(f["file"], f["line"], f["message"][:28]) for f in other] == [
        ("x.c", 2, "model's opinion: This change")
    ]


def test_no_more_opinions_than_anyone_reads() -> None:
    text = "".join(f"def f{n}():\n    pass\n" for n in range(20))
    output = answered(text, depth="model")
    assert len(output.data["findings"]) == 12
    assert "the first 12 functions; 8 more weren't" in output.text


def test_files_of_a_diff_have_headings() -> None:
    text = diff_of("", "x = [] == None\n", "b.py") + diff_of("", "x = [] == None\n", "a.py")
    lines = answered(text).text.split("\n")
    assert lines[3:] == [
        "b.py",
        f"line 1  warning  {NONE} (E711)",
        "",
        "a.py",
        f"line 1  warning  {NONE} (E711)",
    ]


@given(text=st.text(st.characters(exclude_categories=["Cs"])), answer=st.text())
def test_parse_is_total(text: str, answer: str) -> None:
    task = load_task("review")
    options = make_options(task.options, {})
    output = task.parse(Completion(answer, "length", 1), Record(text), options)
    json.dumps(dict(output.data), allow_nan=False)


# Evaluation.


def figures(code: str, reference: str) -> dict[str, float]:
    task = load_task("review")
    return task.evaluate([answered(code)], [reference], make_options(task.options, {}))


def test_precision_and_recall_of_lines() -> None:
    assert figures(CODE, "1, 3") == {"precision": 1, "recall": 1, "f1": 1}
    assert figures(CODE, "1 2 4 3") == {"precision": 1, "recall": 0.5, "f1": pytest.approx(2 / 3)}
    assert figures(CODE, '{"lines": [1]}') == {"precision": 0.5, "recall": 1, "f1": pytest.approx(2 / 3)}
    assert figures(CODE, "9") == {"precision": 0, "recall": 0, "f1": 0}
    assert figures("x = 1", "") == {"precision": 1, "recall": 1, "f1": 1}
    assert figures(diff_of("", "x = [] == None\n"), "a.py:1")["f1"] == 1


@pytest.mark.parametrize(
    "reference", ["looks good", "1, two", "{", '{"lines": 3}', '{"summary": "x"}', "[1]"]
)
def test_references_that_name_no_lines(reference: str) -> None:
    with pytest.raises(InputInvalidError, match="names no lines"):
        load_task("review").reference(reference)


def test_an_adapter_learns_summaries_alone() -> None:
    task = load_task("review")
    options = make_options(task.options, {})
    assert task.target('{"summary": "Adds.", "lines": []}', Record("x"), options) == "Adds."
    with pytest.raises(InputInvalidError, match="can't be trained on"):
        task.target("3", Record("x"), options)


# With a model.


@pytest.fixture(scope="module")
def roomy_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with a context that prompts of this task fit into."""
    from nlpsuite.export.build import build_bundle
    from nlpsuite.models.checkpoint import open_checkpoint

    directory = tmp_path_factory.mktemp("roomy")
    config = dataclasses.replace(LLAMA, max_position_embeddings=2048)
    checkpoint = open_checkpoint(write_tiny_checkpoint(directory / "tiny-random", config=config))
    return build_bundle(checkpoint, directory / "bundle", precision="fp32", source="random weights")


def test_the_checks_read_what_the_model_does_not(roomy_bundle: Path) -> None:
    pipeline = nlpsuite.load("review", model=str(roomy_bundle), max_tokens=4)
    long = "word word word\n" * 2_000 + "<<<<<<< HEAD\n"
    result = pipeline.run(Record(long))
    assert [f["line"] for f in result.output.data["findings"]] == [2001]
    assert any("review reads the last" in notice for notice in result.notices)
    assert pipeline.run(Record(CODE), depth="model").parts == 2


def test_as_a_user_types_it(roomy_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(CODE)
    command = [
        sys.executable,
        "-m",
        "nlpsuite",
        "run",
        "review",
        "--model",
        str(roomy_bundle),
        "--max-tokens",
        "4",
    ]
    args = [*command, str(tmp_path / "a.py"), "--json", "--severity", "warning"]
    report = json.loads(subprocess.run(args, capture_output=True, check=True).stdout)
    assert [finding["line"] for finding in report["findings"]] == [1, 3]
    assert report["summary"].startswith("Python, 3 lines")
