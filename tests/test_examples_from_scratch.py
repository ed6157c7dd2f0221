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
