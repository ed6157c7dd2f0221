"""The plugins under examples/: built as wheels, installed into a new environment, and used there."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from installed import dist_info, environment_with

from nlpsuite.testing.conformance import CHECKS

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "examples"
PLUGINS = {"keywords": "nlpsuite-keywords", "title": "nlpsuite-title"}


def call(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )


def pip(*args: str | Path, cwd: Path) -> None:
    done = call(sys.executable, "-m", "pip", *args, "--no-deps", "--quiet", cwd=cwd)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with ``env``, an environment that has the suite and both plugins, and the plugins' tests."""
    pytest.importorskip("pip")
    # Not imported: that swaps distutils for all that comes after.
    if importlib.util.find_spec("setuptools") is None:
        pytest.skip("builds the wheels: setuptools is not installed")
    place = tmp_path_factory.mktemp("examples")
    done = call(sys.executable, "-m", "venv", "--without-pip", "env", cwd=place)
    assert done.returncode == 0, done.stderr
    # What this interpreter finds, the new one finds too; the plugins are its own.
    [packages] = (place / "env").glob("lib/python*/site-packages")
    (packages / "shared.pth").write_text(
        "\n".join(p for p in sys.path if "site-packages" in p or _is_suite(p))
    )
    for name in PLUGINS.values():
        # A copy: building leaves files in the source tree.
        shutil.copytree(EXAMPLES / name, place / name, ignore=shutil.ignore_patterns("build", "*.egg-info"))
        pip("wheel", "--no-build-isolation", "--no-index", "-w", "wheels", f"./{name}", cwd=place)
    wheels = sorted((place / "wheels").glob("*.whl"))
    assert len(wheels) == 2
    pip("--python", place / "env/bin/python", "install", "--no-index", "--no-compile", *wheels, cwd=place)
    return place


def _is_suite(path: str) -> bool:
    return any((Path(path) / name / "__init__.py").is_file() for name in ("nlpsuite", "nlpsuite_chat"))


def nlpsuite(place: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return call(place / "env/bin/python", "-m", "nlpsuite", *args, cwd=place)


def test_they_are_listed(place: Path) -> None:
    done = nlpsuite(place, "list", "--json")
    tasks = {row["task"]: row for row in json.loads(done.stdout)}
    assert tasks["keywords"]["summary"] == "List the keywords of a text."
    assert {name: tasks[name]["distribution"] for name in PLUGINS} == PLUGINS


def test_their_options_are_flags(place: Path) -> None:
    done = nlpsuite(place, "run", "keywords", "--help")
    assert done.returncode == 0, done.stderr
    assert "--count" in done.stdout and "[English|German]" in done.stdout


def test_they_keep_the_contract(place: Path) -> None:
    done = nlpsuite(place, "plugins", "check", *PLUGINS, "--json")
    findings = [json.loads(line) for line in done.stdout.splitlines()]
    assert [finding for finding in findings if not finding["ok"]] == [] and done.returncode == 0
    assert len(findings) == len(PLUGINS) * len(CHECKS)


def test_a_plugin_runs(place: Path, tiny_bundle: Path) -> None:
    text = "A crab finds the way."
    done = nlpsuite(
        place, "run", "title", "--text", text, "--json", "--max-tokens", "4", "--model", str(tiny_bundle)
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["plugin"]["distribution"] == "nlpsuite-title"


def test_metrics_a_reader_and_a_command_come_with_it(place: Path) -> None:
    keys = [f"metric:keyword_{name}" for name in ("f1", "precision", "recall")] + [
        "reader:keys",
        "command:tally",
    ]
    done = nlpsuite(place, "plugins", "check", *keys)
    assert done.returncode == 0 and "failed" not in done.stdout, done.stdout
    rows = json.loads(nlpsuite(place, "plugins", "list", "--json").stdout)
    summaries = {row["name"]: row["summary"] for row in rows}
    assert summaries["keyword_f1"].startswith("How well keywords agree")  # of the module inside the package
    found = {f"{row['kind']}:{row['name']}" for row in rows if row["distribution"] == "nlpsuite-keywords"}
    assert found == {"task:keywords", *keys}
    assert "tally" in nlpsuite(place, "--help").stdout
    assert nlpsuite(place, "tally", "absent.keys").returncode == 4


def test_an_adapter_comes_with_it(place: Path, tiny_bundle: Path) -> None:
    [installed] = (place / "env").glob("lib/python*/site-packages/nlpsuite_title/title.safetensors")
    shipped = EXAMPLES / "nlpsuite-title" / "nlpsuite_title" / "title.safetensors"
    assert installed.read_bytes() == shipped.read_bytes()
    assert "nlpsuite_title/title.safetensors" in nlpsuite(place, "plugins", "info", "title").stdout
    done = nlpsuite(place, "plugins", "check", "title")
    assert "title.safetensors, 0.9 MB, rank 8, for SmolLM2-135M-Instruct" in done.stdout
    run = ["run", "title", "--text", "A crab.", "--max-tokens", "4", "--model", str(tiny_bundle)]
    assert "the adapter of title can't be merged" in nlpsuite(place, *run).stderr
    assert nlpsuite(place, *run, "--adapter", "none").stderr == ""


@pytest.mark.model
def test_the_adapter_gives_titles(place: Path, default_gguf: Path) -> None:
    article = EXAMPLES / "articles" / "02.txt"
    done = nlpsuite(place, "run", "title", str(article), "--json", "--model", str(default_gguf))
    assert done.returncode == 0 and "running without it" not in done.stderr, done.stderr
    result = json.loads(done.stdout)
    assert result["model"]["adapter"]["task"] == "title" and result["finish_reason"] == "stop"
    assert 3 <= len(result["text"].split()) <= 12 and "Libraries" in result["text"]


@pytest.mark.model
def test_keywords_of_the_default_model(place: Path, default_bundle: Path) -> None:
    article = EXAMPLES / "articles" / "02.txt"
    done = nlpsuite(place, "run", "keywords", str(article), "--json", "--model", str(default_bundle))
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert "library" in result["keywords"] and result["found_by"] == "model"
    assert all(word.casefold() in article.read_text().casefold() for word in result["keywords"])


@pytest.mark.parametrize("task", PLUGINS)
def test_their_own_tests_pass(place: Path, task: str) -> None:
    python = place / "env/bin/python"
    done = call(
        python,
        "-m",
        "pytest",
        "-q",
        "-W",
        "error",
        "-p",
        "no:cacheprovider",
        "tests",
        cwd=place / PLUGINS[task],
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout and "skipped" not in done.stdout


# The author's guide.

GUIDE = EXAMPLES.parent / "docs" / "writing-plugins.md"
FIRST = EXAMPLES / "first-plugin"


def blocks() -> list[tuple[str, str, str]]:
    """Of every code block of the guide: its language, the file named above it (or nothing), its text."""
    found, lines = [], iter(GUIDE.read_text(encoding="utf-8").split("\n"))
    before = ""
    for line in lines:
        if line.startswith("```"):
            code = []
            for inner in lines:
                if inner == "```":
                    break
                code.append(inner)
            source = before.removeprefix("<!-- ").removesuffix(" -->") if before.startswith("<!-- ") else ""
            found.append((line.removeprefix("```"), source, "\n".join(code)))
        if line.strip():
            before = line
    return found


def test_every_snippet_of_the_guide_is_in_a_file_that_is_run() -> None:
    assert {language for language, _, _ in blocks()} == {"toml", "python", ""}
    for language, source, code in blocks():
        if language:
            assert source, f"no file is named above:\n{code}"
            text = (EXAMPLES / source).read_text(encoding="utf-8")
            assert f"\n{code}\n" in f"\n{text}\n", f"{source} has no such lines:\n{code}"


def test_the_first_plugin_is_in_the_guide_whole_and_short() -> None:
    shown = {source: code for _, source, code in blocks()}
    files = sorted(path for path in FIRST.iterdir() if path.suffix in (".py", ".toml"))
    lines = 0
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert shown[f"first-plugin/{path.name}"] == text.rstrip("\n")
        lines += sum(bool(line.strip()) for line in text.split("\n"))
    assert len(files) == 3 and lines < 30


def test_the_first_plugins_test_passes(tmp_path: Path) -> None:
    project = shutil.copytree(FIRST, tmp_path / "plugin")
    dist_info(project)
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"]
    done = call(*command, cwd=project, **{"PYTHONPATH": environment_with(project)["PYTHONPATH"]})
    assert done.returncode == 0 and f"{len(CHECKS)} passed" in done.stdout, done.stdout


def test_the_guide_names_every_check() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    for check in CHECKS:
        assert f"| {check.__name__.replace('_', ' ')} |" in text
