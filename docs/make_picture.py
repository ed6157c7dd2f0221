"""Draw docs/tour.svg, the picture of the README, from real output of the default model.

python docs/make_picture.py
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

DOCS = Path(__file__).parent
WIDTH = 100
SCORE = "nlpsuite score sentiment reviews.txt --chunk-rows 1 -o"


class Terminal:
    """Commands and their output, one below the other."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        # Only the recording matters.
        self.console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)

    def show(self, command: str, output: bytes = b"") -> None:
        self.console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
        text = output.decode().replace(f"{self.directory}/", "").strip()
        if text:
            self.console.print(text, highlight=False, markup=False)

    def run(self, command: str) -> None:
        done = subprocess.run(command, shell=True, cwd=self.directory, capture_output=True, check=True)
        self.show(command, done.stdout + done.stderr)

    def kill(self, command: str, job: str, chunks: int) -> None:
        """Run a command and kill it as soon as its job has some chunks."""
        process = subprocess.Popen(
            command.split(), cwd=self.directory, stderr=subprocess.DEVNULL, start_new_session=True
        )
        while len(list((self.directory / job / "shards").glob("[0-9]*"))) < chunks:
            if process.poll() is not None:
                sys.exit(f"{command}: ended before it could be killed")
            time.sleep(0.01)
        os.killpg(process.pid, 9)
        process.wait()
        self.show(f"{command}  # kill -9 after {chunks} rows")


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        shutil.copytree(DOCS.parent / "examples", directory, dirs_exist_ok=True)
        # The model's bundle is in the cache after this, so that building it isn't in the picture.
        subprocess.run(f"{SCORE} whole.csv", shell=True, cwd=directory, capture_output=True, check=True)
        terminal = Terminal(directory)
        terminal.run("nlpsuite run summarize article.txt")
        terminal.run('nlpsuite run sentiment --text "A warm, funny film that never drags."')
        terminal.kill(f"{SCORE} scored.csv", "scored.job", 3)
        terminal.run(f"{SCORE} scored.csv")
        terminal.run("sha256sum scored.csv whole.csv  # whole.csv: the same job, never interrupted")
        svg = terminal.console.export_svg(title="nlpsuite", unique_id="nlpsuite")
    (DOCS / "tour.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
