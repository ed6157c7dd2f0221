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
from nlpsuite.errors import InputInvalidError
from nlpsuite.options import make_options
from nlpsuite.plugins import load_task
from nlpsuite.runtime.prompt import Completion
from nlpsuite.tasks.result import Output


def found(text: str, language: str = "auto") -> list[tuple[int | None, str]]:
    return [(finding.line, finding.rule) for finding in read(text, language).findings]


# A fault, the line it is on and the rule that names it.
PYTHON = [
    ("def f(:\n    pass", 1, "syntax-error"),
    ("def f():\n    return (1,\n", 2, "syntax-error"),
    ("try:\n    f()\nexcept:\n    g()", 3, "bare-except"),
    ("try:\n    f()\nexcept Exception:\n    pass", 3, "swallowed-error"),
    ("def f(a, b=[]):\n    return b", 1, "mutable-default"),
    ("def f(a, *, b={}):\n    return b", 1, "mutable-default"),
    ("from collections import defaultdict\ndef f(a=defaultdict(list)):\n    return a", 2, "mutable-default"),
    ("if a == None:\n    f()", 1, "none-comparison"),
    ("x = 1\nif None != x:\n    f()", 2, "none-comparison"),
    ("import os\nimport sys\nprint(sys.path, file=sys.stderr)", 1, "unused-import"),
    ("def f(list):\n    return list", 1, "shadowed-builtin"),
    ("def f():\n    sum = 0\n    return sum", 2, "shadowed-builtin"),
    ("x = eval(y)", 1, "eval"),
    ("def f(code):\n    exec(code)", 2, "eval"),
    ("import pickle\nx = pickle.loads(y)", 2, "unsafe-load"),
    ("from pickle import loads as read\nx = read(y)", 2, "unsafe-load"),
    ("import yaml\nx = yaml.load(y)", 2, "unsafe-load"),
    ("import subprocess\nsubprocess.run(\n    x, shell=True\n)", 2, "shell"),
    ("import os\nos.system(x)", 2, "shell"),
    ("import requests\nrequests.get(x, verify=False)", 2, "no-verify"),
    ("def f():\n    print(1)", 2, "debug-print"),
    ("def f():\n    breakpoint()", 2, "breakpoint"),
    ("import pdb\npdb.set_trace()", 2, "breakpoint"),
    ("def f():\n" + "    x = 1\n" * 90, 1, "long-function"),
    ("def f():\n    return 1\n    f()", 3, "unreachable"),
    ("assert (x, 'must be')", 1, "assert-tuple"),
    ("def f():\n    raise NotImplemented", 2, "raise-value"),
    ("if x is 'a':\n    f()", 1, "is-literal"),
    ("x = {'a': 1,\n     'a': 2}", 2, "repeated-key"),
    ("def f(xs):\n    for x in xs:\n        xs.remove(x)", 3, "changed-in-loop"),
    ("import re\nx = re.compile('\\d')", 2, "invalid-escape"),
    ("x = 1  # TODO: more", 1, "todo"),
    ("x = '" + "a" * 120 + "'", 1, "long-line"),
]


@pytest.mark.parametrize("code, line, rule", PYTHON)
def test_a_fault_in_python_is_found_on_its_line(code: str, line: int, rule: str) -> None:
    assert (line, rule) in found(code)


# What looks like a fault and is none.
FINE = [
    "def f(a=(), b=None, c=1):\n    return a, b, c",
    "try:\n    f()\nexcept:\n    g()\n    raise",
    "try:\n    import x\nexcept ImportError:\n    x = None",
    "from a import b\n__all__ = ['b']\ndef f(): ...",
    "from a import B\ndef f(x: 'B') -> None: ...",
    "import a as a\nfrom x import *\ndef f(): ...",
    "from a import b\nfrom c import d",
    "from __future__ import annotations\ndef f(): ...",
    "import os.path\nx = os.path.join(a)",
    "class A:\n    type: int = 1\n    def list(self): ...",
    "x = eval('1 + 1')",
    "import yaml\nx = yaml.load(y, Loader=yaml.SafeLoader)",
    "import subprocess\nsubprocess.run(['a'], shell=False)",
    "if __name__ == '__main__':\n    print(1)",
    "import sys\ndef f():\n    print(1, file=sys.stderr)",
    "def f(x):\n    if x:\n        return 1\n    return 2",
    "if x is None or x is True:\n    f()",
    "for x in list(xs):\n    xs.remove(x)",
    "x = '''\n# no code: except:\n'''\ny = 'a == None'",
    "x == None  # noqa: E711",
    "a\n=======\nA heading in prose",
    "See https://example.org/" + "a" * 200,
    "password = os.environ['PASSWORD']",
    "password = 'your-password-here'",
    "def f():\n\treturn 1\n",
]


@pytest.mark.parametrize("code", FINE)
def test_what_is_fine_is_left_alone(code: str) -> None:
    assert found(code) == []


ANY_LANGUAGE = [
    ("int x;\n<<<<<<< HEAD\nint y;\n=======\nint z;\n>>>>>>> other\n", [2, 4, 6], "merge-marker"),
    ("  \tx;", [1], "mixed-indent"),
    ("{\n  a;\n  b;\n\tc;\n}", [4], "mixed-indent"),
    ("key = AKIAABCDEFGHIJKLMNOP", [1], "secret"),
    ("-----BEGIN RSA PRIVATE KEY-----", [1], "secret"),
    ("const apiKey = 'fj39fj3jf93j';", [1], "secret"),
    ("// FIXME: soon", [1], "todo"),
    ("  console.log(x);", [1], "debug-print"),
    ("x" * 161 + ";", [1], "long-line"),
]


@pytest.mark.parametrize("code, lines, rule", ANY_LANGUAGE)
def test_faults_in_any_language(code: str, lines: list[int], rule: str) -> None:
    assert [line for line, r in found(code, "other") if r == rule] == lines


def test_a_secret_is_not_repeated() -> None:
    text = read("token = 'ghp_" + "a1" * 18 + "'\npassword = 'hunter2hunter2'").findings
    assert [f.rule for f in text] == ["secret", "secret"]
    assert not any("a1a1" in f.message or "hunter" in f.message for f in text)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends(end: str) -> None:
    assert found(end.join(["x = 1", "", "if x == None:", "    f()", ""])) == [(3, "none-comparison")]


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
    assert found(diff_of(OLD, new, context=context)) == [(12, "breakpoint"), (13, "none-comparison")]


def test_a_new_file_is_read_whole() -> None:
    assert found(diff_of("", "import os\n\n\ndef f(:\n")) == [(4, "syntax-error")]
    assert found(diff_of("", "import os\n\n\ndef f(): ...\n")) == [(1, "unused-import")]
    # In a part of a file neither can be told.
    assert found(diff_of("x = 1\n", "import os\n\n\ndef f():\nx = 1\n")) == []


def test_findings_of_a_diff_name_their_file() -> None:
    text = diff_of("", "x == None\n", "a.py") + diff_of("", "x == None\n# TODO: y\n", "b.js")
    assert [(f.file, f.line, f.rule) for f in read(text).findings] == [
        ("a.py", 1, "none-comparison"),
        ("b.js", 2, "todo"),
    ]


def test_a_hunk_that_makes_no_sense_gets_the_plain_checks() -> None:
    old = 'x = """\n' + "words and 'more\n" * 9 + '"""\n'
    new = old.replace('"""\n', '"""\nif x == None:\n    breakpoint()\n').replace('"""\nif', '"""\nif')
    assert {"none-comparison", "breakpoint"} <= {rule for _, rule in found(diff_of(old, new, context=1))}


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
    assert [rule for _, rule in found(text, "python") if rule != "long-line"] == ["syntax-error"]


# The task.

CODE = 'def f(a=[]):\n    """Give a back."""\n    return a == None\n'


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
        "line 1  warning  mutable default argument of f: all calls share it (mutable-default)",
        "line 3  warning  compare with None by 'is' (none-comparison)",
    ]
    assert output.data["findings"][1] == {
        "line": 3,
        "file": None,
        "severity": "warning",
        "message": "compare with None by 'is'",
        "rule": "none-comparison",
    }
    assert output.data["summary"] == "\n".join(output.text.split("\n")[:2])


def test_severity_hides_the_lesser() -> None:
    code = CODE + "# TODO: b\nassert (1, 2)\n"
    for least, rules in (
        ("info", ["mutable-default", "none-comparison", "todo", "assert-tuple"]),
        ("warning", ["mutable-default", "none-comparison", "assert-tuple"]),
        ("error", ["assert-tuple"]),
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
    assert "the first 12 functions; 8 more are left" in output.text


def test_files_of_a_diff_have_headings() -> None:
    text = diff_of("", "x == None\n", "b.py") + diff_of("", "x == None\n", "a.py")
    lines = answered(text).text.split("\n")
    assert lines[3:] == [
        "b.py",
        "line 1  warning  compare with None by 'is' (none-comparison)",
        "",
        "a.py",
        "line 1  warning  compare with None by 'is' (none-comparison)",
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
    assert figures(diff_of("", "x == None\n"), "a.py:1")["f1"] == 1


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
    with pytest.raises(InputInvalidError, match="teaches nothing"):
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
