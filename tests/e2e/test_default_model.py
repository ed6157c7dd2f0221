"""The default model, as a user types it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.model
ARTICLE = Path(__file__).parents[2] / "examples" / "article.txt"


def run(bundle: Path, *args: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "nlpsuite", "run", *args, "--model", str(bundle)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.mark.skipif(not ARTICLE.exists(), reason="no example article")
def test_summary(default_bundle: Path) -> None:
    done = run(default_bundle, "summarize", str(ARTICLE))
    assert done.returncode == 0 and done.stdout.strip()[-1] in ".!?", done


@pytest.mark.skipif(not ARTICLE.exists(), reason="no example article")
def test_bullets(default_bundle: Path) -> None:
    lines = run(default_bundle, "summarize", str(ARTICLE), "--style", "bullets").stdout.strip().splitlines()
    assert lines and all(line.startswith("- ") for line in lines), lines


@pytest.mark.parametrize(
    "text, label",
    [
        ("A wonderful, touching film. I loved it!", "positive"),
        ("Terrible, boring, a waste of money.", "negative"),
    ],
)
def test_sentiment(default_bundle: Path, text: str, label: str) -> None:
    assert run(default_bundle, "sentiment", "--text", text).stdout.startswith(label)


def test_a_long_text_is_split(default_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "long").write_text("I liked this film very much, it was good.\n\n" * 150)
    done = run(default_bundle, "sentiment", str(tmp_path / "long"))
    assert done.returncode == 0 and "parts and merges them" in done.stderr


def test_time_to_first_text(default_bundle: Path) -> None:
    pty = pytest.importorskip("pty")
    run(default_bundle, "chat", "--text", "Hello", "--max-tokens", "2")
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "nlpsuite", "run", "chat", "--text", "Hello", "--max-tokens", "9"]
    started = time.perf_counter()
    with subprocess.Popen(
        [*command, "--model", str(default_bundle)], stdout=slave, stderr=subprocess.DEVNULL
    ) as child:
        os.read(master, 1)
        seconds = time.perf_counter() - started
        child.wait(timeout=60)
    os.close(slave)
    os.close(master)
    print(f"first text after {seconds:.2f} s")
    assert seconds < 6
