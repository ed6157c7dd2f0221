"""Programs that do a task by its file, without nlpsuite: they agree with its golden examples, and notice damage."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from embed import client, run_client, schema_errors
from templates import needs_torch
from tiny import LLAMA, write_tiny_checkpoint

import nlpsuite
from nlpsuite.runtime.bundle import Bundle
from nlpsuite.tasks.export.export import export

pytestmark = [needs_torch, pytest.mark.filterwarnings("ignore")]  # torch's and its exporter's

TASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "sentiment": ("sentiment", {}),
    "classify": ("classify", {"labels": "billing,technical,other"}),
    "translate": ("translate", {"from_": "English", "to": "German"}),
    "summarize": ("summarize", {"method": "instruct"}),
    "complete": ("complete", {}),
    "chat": ("chat", {}),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = dataclasses.replace(LLAMA, max_position_embeddings=2_048)
    return write_tiny_checkpoint(tmp_path_factory.mktemp("base") / "tiny", config=config)


@pytest.fixture(scope="module")
def exported(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}
    place = tmp_path_factory.mktemp("exported")

    def bundle(name: str) -> Path:
        if name not in made:
            task, options = TASKS[name]
            export(base, place / name, task=task, precision="fp32", verify=False, adapter="none", **options)
            made[name] = place / name
        return made[name]

    return bundle


@pytest.fixture
def copy(exported: Callable[[str], Path], tmp_path: Path) -> Callable[..., Path]:
    """A copy of a bundle whose task file is changed."""

    def copied(name: str, change: Callable[[Any], Any]) -> Path:
        directory = shutil.copytree(exported(name), tmp_path / "bundle")
        file = json.loads((directory / "task.json").read_text("utf-8"))
        changed = change(file)
        (directory / "task.json").write_text(json.dumps(file if changed is None else changed))
        return directory

    return copied


@pytest.mark.parametrize("name", TASKS)
def test_the_golden_examples_agree(exported: Callable[[str], Path], name: str) -> None:
    bundle = exported(name)
    file = json.loads((bundle / "task.json").read_text("utf-8"), parse_constant=pytest.fail)
    assert schema_errors(file) == []
    assert len(file["golden"]) >= 3
    Bundle.open(bundle).verify()  # the manifest has the file
    done = run_client(bundle, "--check")
    assert done.returncode == 0, done.stdout + done.stderr
    count = len(file["golden"])
    assert done.stdout == f"{count} of {count} golden examples agree.\n"


@pytest.mark.parametrize("name", ["sentiment", "complete"])
def test_each_graph_has_golden_examples(base: Path, tmp_path: Path, name: str) -> None:
    made = tmp_path / name
    export(base, made, task=name, precision="fp32,int8,int4", verify=False, adapter="none")
    file = json.loads((made / "task.json").read_text("utf-8"))
    assert schema_errors(file) == []
    assert [each["model"]["precision"] for each in file["variants"]] == ["int8", "int4"]
    own = [each["golden"] for each in (file, *file["variants"])]
    assert own[0] != own[1] != own[2]  # weights of other bits
    assert all(each["tolerance"] != file["tolerance"] for each in file["variants"])
    for precision in ("fp32", "int8", "int4"):
        done = run_client(made, "--precision", precision, "--check")
        assert done.returncode == 0, done.stdout + done.stderr
    done = run_client(made, "--precision", "fp16", "--check")
    assert done.returncode != 0 and "has no fp16 graph" in done.stderr


@pytest.mark.parametrize("name, need", [("summarize", "numbers_from_text"), ("complete", "token_healing")])
def test_what_clients_may_leave_out_is_named(exported: Callable[[str], Path], name: str, need: str) -> None:
    """And so the examples above prove these as well."""
    file = json.loads((exported(name) / "task.json").read_text("utf-8"))
    assert need in {feature for golden in file["golden"] for feature in golden["needs"]}


def test_a_conversation_has_an_example_with_turns(exported: Callable[[str], Path]) -> None:
    file = json.loads((exported("chat") / "task.json").read_text("utf-8"))
    assert [len(golden["turns"]) for golden in file["golden"] if "turns" in golden] == [2]


def test_answers_are_nlpsuites(exported: Callable[[str], Path], base: Path) -> None:
    """Of a whole batch, padded on the left, and of one text."""
    texts = ["I liked it.", "It was the worst that I have ever seen, and so they said too.", "No."]
    run = nlpsuite.load("sentiment", model=base, adapter="none", precision="fp32", device="cpu", threads=1)
    expected = [output.label for output in run.map(texts)]
    task = client("task").Task(exported("sentiment"))
    assert task(texts) == expected
    assert [task(text) for text in texts] == expected
    done = run_client(exported("sentiment"), *texts)
    assert done.stdout.splitlines() == expected


def test_written_answers_are_nlpsuites(exported: Callable[[str], Path], base: Path) -> None:
    texts = ["The sea is calm tonight.", "the cat on the mat, and the dog 3.5"]
    run = nlpsuite.load(
        "complete", model=base, adapter="none", precision="fp32", device="cpu", threads=1, max_tokens=96
    )
    assert client("task").Task(exported("complete"))(texts) == [output.text for output in run.map(texts)]


def test_lines_are_translated_one_by_one(exported: Callable[[str], Path], base: Path) -> None:
    text = "The sea is calm.\n\nThe moon lies fair."
    run = nlpsuite.load(
        "translate", model=base, adapter="none", precision="fp32", device="cpu", threads=1, from_="English"
    )
    assert client("task").Task(exported("translate"))(text) == run(text).text


def _set(*path: Any, value: Any) -> Callable[[Any], None]:
    def change(file: Any) -> None:
        *parents, last = path
        for key in parents:
            file = file[key]
        file[last] = value

    return change


@pytest.mark.parametrize(
    "name, change, words",
    [
        ("sentiment", _set("golden", 0, "logprobs", 0, value=-9.0), "log-probabilities"),
        ("sentiment", _set("golden", 1, "label", value="neutral"), "instead of neutral"),
        ("sentiment", _set("choose", "choices", 0, value=" positively"), "other tokens"),
        ("sentiment", _set("prompt", "parts", 0, "text", value="Text: {text}\nSentiment:"), "other tokens"),
        ("sentiment", _set("choose", "temperature", value=3.0), "instead of"),
        ("summarize", _set("input", "clean", value=["strip"]), "other tokens"),
        ("chat", _set("generate", "sampling", "repetition_penalty", value=3.0), "instead of"),
        ("chat", _set("generate", "clean", value=[]), "instead of"),
    ],
)
def test_a_wrong_file_is_noticed(copy: Callable[..., Path], name: str, change: Any, words: str) -> None:
    done = run_client(copy(name, change), "--check")
    assert done.returncode == 1 and words in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("version", ["nlpsuite.task/2", "nlpsuite-bundle", None])
def test_another_format_is_refused(copy: Callable[..., Path], version: Any) -> None:
    done = run_client(copy("sentiment", _set("format", value=version)), "It is good.")
    assert done.returncode != 0 and done.stdout == ""
    assert f"is {version!r}, not nlpsuite.task/1." in done.stderr


@pytest.fixture(scope="module")
def genai() -> str:
    """A Python with onnxruntime-genai."""
    python = os.environ.get("NLPSUITE_TEST_GENAI_PYTHON", sys.executable)
    if subprocess.run([python, "-c", "import onnxruntime_genai"], capture_output=True).returncode:
        pytest.skip(
            "onnxruntime-genai is not installed (NLPSUITE_TEST_GENAI_PYTHON may name a Python with it)"
        )
    return python


def test_with_genai(base: Path, tmp_path: Path, genai: str) -> None:
    """Choices only: a tiny model writes bytes that are no text, at which the library's decoder stops."""
    # No word that is in the tiny vocabulary but that its merges can't reach (" and", " in"): the library takes
    # those whole.
    texts = ["It was the best.", " the cat\u00a0on 3 mats <|im_end|> \n", "  the sea "]
    made, options = tmp_path / "bundle", {"examples": False, "adapter": "none"}
    export(base, made, task="sentiment", precision="fp32", verify=False, golden_texts=texts, **options)
    done = run_client(made, "--check", program="genai.py", python=genai)
    assert done.returncode == 0, done.stdout + done.stderr


EXAMPLES = Path(__file__).parents[1] / "examples" / "embed"


@pytest.fixture(scope="module")
def libraries(genai: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The directory of onnxruntime-genai, and one with onnxruntime under the name by which that looks for it."""
    find = "import onnxruntime, onnxruntime_genai as g; print(g.__path__[0]); print(onnxruntime.__path__[0])"
    found = subprocess.run([genai, "-c", find], capture_output=True, text=True, check=True).stdout.split("\n")
    [library] = Path(found[1], "capi").glob("libonnxruntime.so.*")
    place = tmp_path_factory.mktemp("libraries")
    (place / "libonnxruntime.so.1").symlink_to(library)
    return found[0], str(place)


@pytest.fixture(scope="module")
def cpp(libraries: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The C++ program, built."""
    if not all(map(shutil.which, ("cmake", "c++"))):
        pytest.skip("there is no CMake or C++ compiler")
    build = tmp_path_factory.mktemp("cpp")
    configured = subprocess.run(
        ["cmake", "-S", str(EXAMPLES / "cpp"), "-B", str(build), f"-DGENAI={libraries[0]}"],
        capture_output=True, text=True,
    )  # fmt: skip
    if "nlohmann_json" in configured.stderr:
        pytest.skip("nlohmann-json3-dev isn't installed")
    assert configured.returncode == 0, configured.stderr
    made = subprocess.run(["cmake", "--build", str(build)], capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr
    assert "warning" not in made.stdout + made.stderr
    return ["env", f"LD_LIBRARY_PATH={libraries[1]}", str(build / "task")]


@pytest.fixture(scope="module")
def go(libraries: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The Go program, built."""
    if not all(map(shutil.which, ("go", "cc"))):
        pytest.skip("there is no Go or C compiler")
    place, (genai, onnxruntime) = tmp_path_factory.mktemp("go"), libraries
    linked = {"CGO_LDFLAGS": f"-L{genai} -Wl,-rpath,{genai}", "GOFLAGS": "-buildvcs=false", "GOPROXY": "off"}
    for command in (["go", "vet", "."], ["go", "build", "-o", str(place / "task"), "."]):
        done = subprocess.run(
            command, cwd=EXAMPLES / "go", env=os.environ | linked, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    return ["env", f"LD_LIBRARY_PATH={onnxruntime}", str(place / "task")]


@pytest.mark.slow
@pytest.mark.parametrize("program", ["cpp", "go"])
def test_compiled(base: Path, tmp_path: Path, program: str, request: pytest.FixtureRequest) -> None:
    command = request.getfixturevalue(program)
    texts = ["It was the best.", " the cat\u00a0on 3 mats <|im_end|> \n", "  the sea "]
    for labels in ("", "positive,negative,neutral"):
        made, options = tmp_path / f"bundle{labels}", {"examples": False, "adapter": "none"}
        options |= {"labels": labels} if labels else {}
        export(
            base, made, task="sentiment", precision="fp32,int4", verify=False, golden_texts=texts, **options
        )
        for precision in ("fp32", "int4"):
            flags = ["--check", "--precision", precision]
            done = run_compiled(command, made, flags)
            assert done.returncode == 0, done.stdout + done.stderr
            assert "3 of 3" in done.stdout
    answers = run_compiled(command, made, [], *texts).stdout.split()
    assert len(answers) == 3 and set(answers) <= {"positive", "negative", "neutral"}
    wrong = run_compiled(command, made, ["--precision", "fp16"], "a")
    assert wrong.returncode == 1 and "no fp16 graph" in wrong.stderr
    wrong = run_compiled(command, tmp_path, [], "a")
    assert wrong.returncode == 1 and wrong.stderr.startswith("Error: ")
    file = json.loads((made / "task.json").read_text("utf-8"))
    file["golden"][0]["logprobs"][0] -= 1
    (made / "task.json").write_text(json.dumps(file))
    done = run_compiled(command, made, ["--check"])
    assert done.returncode == 1 and "2 of 3" in done.stdout


def run_compiled(
    command: list[str], made: Path, flags: list[str], *texts: str
) -> subprocess.CompletedProcess[str]:
    """Go's library reads flags before other arguments only."""
    return subprocess.run([*command, *flags, str(made), *texts], capture_output=True, text=True)


# The real model.

REAL = {**TASKS, "sentiment-neutral": ("sentiment", {"labels": "positive,negative,neutral"})}


@pytest.fixture(scope="module", params=REAL)
def real(
    request: pytest.FixtureRequest, default_gguf: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    task, options = REAL[request.param]
    made = tmp_path_factory.mktemp("real") / request.param
    export(default_gguf, made, task=task, precision="fp32", verify=False, **options)
    return made


@pytest.mark.slow
@pytest.mark.model
def test_the_real_model(real: Path) -> None:
    file = json.loads((real / "task.json").read_text("utf-8"))
    assert schema_errors(file) == []
    assert max(file["tolerance"].values()) < 0.05  # in fp32 both ways of computing agree
    done = run_client(real, "--check")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.parametrize("program", ["cpp", "go"])
def test_the_real_model_compiled(real: Path, program: str, request: pytest.FixtureRequest) -> None:
    done = run_compiled(request.getfixturevalue(program), real, ["--check"])
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.model
def test_the_real_model_with_genai(real: Path, genai: str) -> None:
    done = run_client(real, "--check", program="genai.py", python=genai)
    assert done.returncode == 0, done.stdout + done.stderr
