"""The corpus of the example of training from scratch, from a package made on the spot."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "examples" / "from_scratch" / "corpus.py"
PAGE = """<html><head><style>p { color: Red the long style rule that ends here. }</style></head><body>
<nav>Home of the navigation which nobody wants to read here.</nav>
<h1>A heading of more than six words here</h1>
<p>The <em>first</em> paragraph has
   two lines and ends properly.¶</p><p>Too short.</p>
<pre>Code that has more than six words, too.</pre>
<ul><li>Each item of a list is a paragraph too.</li></ul></body></html>"""


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb isn't here")
def test_pages_of_a_package_become_prose(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    doc = tree / "usr" / "share" / "doc" / "tiny-doc"
    for folder in (tree / "DEBIAN", doc / "html", doc / "_sources"):
        folder.mkdir(parents=True)
    (tree / "DEBIAN" / "control").write_text(
        "Package: tiny-doc\nVersion: 1.0\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: tiny\n"
    )
    sentences = [f"This is sentence number {n} of a page with many of them." for n in range(20)]
    (doc / "html" / "a.html").write_text(PAGE + "".join(f"<p>{s}</p>" for s in sentences))
    (doc / "b.txt").write_text(
        "\n\n".join([*sentences[:10], *(s.replace("page", "text") for s in sentences)])
    )
    (doc / "_sources" / "c.txt").write_text("\n\n".join(s.replace("page", "source") for s in sentences))
    (doc / "short.txt").write_text("One sentence alone is not worth a file.")
    (doc / "menu.html").mkdir()  # a directory with a page's name
    subprocess.run(
        ["dpkg-deb", "-b", tree, tmp_path / "tiny-doc_1.0_all.deb"], check=True, capture_output=True
    )
    fake = tmp_path / "bin" / "apt-get"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\ncp {tmp_path}/"$3"_*.deb .\n')
    fake.chmod(0o755)
    done = subprocess.run(
        [sys.executable, SCRIPT, tmp_path / "corpus", "--packages", "tiny-doc"],
        env={**os.environ, "PATH": f"{fake.parent}:{os.environ['PATH']}"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    text, page = sorted((tmp_path / "corpus").glob("*.txt"))
    assert page.read_text().splitlines()[:2] == [
        "The first paragraph has two lines and ends properly.",
        "Each item of a list is a paragraph too.",
    ]
    lines = [line for path in (text, page) for line in path.read_text().splitlines()]
    assert len(lines) == len(set(lines)) == 2 + 40  # each paragraph once, none of the code, menus or sources
    (source,) = json.loads((tmp_path / "corpus" / "SOURCES.json").read_text())
    assert (source["package"], source["version"], source["pages"]) == ("tiny-doc", "1.0", 2)


@pytest.mark.slow
def test_from_text_to_a_program_without_nlpsuite(tmp_path: Path) -> None:
    import nlpsuite

    words = "the staff were friendly and room was clean it broke after two days nobody answered".split()
    lines = [" ".join(words[(i * k) % len(words)] for i in range(12)) + "." for k in range(1, 400)]
    (tmp_path / "corpus.txt").write_text("\n".join(lines))
    trained = nlpsuite.train_lm(
        tmp_path / "corpus.txt", output=tmp_path / "run", steps=3, layers=1, hidden=64, vocab_size=300,
        context=128, batch_tokens=512, baselines=False, threads=1,
    )  # fmt: skip
    nlpsuite.export(trained.result, tmp_path / "exported", task="complete")
    golden = json.loads((tmp_path / "exported" / "task.json").read_text())["golden"]
    assert len(golden) >= 2  # usual texts too long for this model are left out, not cut
    program = SCRIPT.parent.parent / "embed" / "python" / "task.py"
    done = subprocess.run(
        [sys.executable, program, tmp_path / "exported", "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
