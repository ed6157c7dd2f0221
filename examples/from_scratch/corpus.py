"""A corpus of technical English from Debian's documentation packages, one text file for each page.

    python corpus.py corpus            # downloads about 20 MB with apt-get; installs nothing

Pages become plain text, a paragraph a line. ``corpus/SOURCES.json`` lists the packages with their versions, sizes and licenses' files.
"""

import argparse
import gzip
import json
import re
import subprocess
import tempfile
from html.parser import HTMLParser
from pathlib import Path

PACKAGES = (
    "python3.11-doc",
    "debian-policy",
    "debian-reference-en",
    "developers-reference",
    "maint-guide",
    "git-doc",
    "postgresql-doc-15",
    "sqlite3-doc",
    "bash-doc",
)
BLOCKS = set("p li dd dt h1 h2 h3 h4 h5 h6 td th pre div section article tr table ul ol dl br hr".split())
SKIPPED = set("script style nav head footer svg button select form".split())
# A paragraph of prose; what has fewer words or no end is a heading, a cell of a table or an entry of an index.
PARAGRAPH = re.compile(r"[A-Z](?:\S*\s){6,}\S*[.!?:]\)?")


class Text(HTMLParser):
    """The paragraphs of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.paragraphs: list[str] = []
        self._words: list[str] = []
        self._skipped = self._verbatim = 0

    def handle_starttag(self, tag, attrs):
        if tag in BLOCKS and not self._verbatim:
            self.end_paragraph()
        self._skipped += tag in SKIPPED
        self._verbatim += tag == "pre"

    def handle_endtag(self, tag):
        self._skipped = max(0, self._skipped - (tag in SKIPPED))
        self._verbatim = max(0, self._verbatim - (tag == "pre"))
        if tag in BLOCKS and not self._verbatim:
            self.end_paragraph()

    def handle_data(self, data):
        if not self._skipped and not self._verbatim:  # prose only: examples of code are another language
            self._words.append(data)

    def end_paragraph(self):
        self.paragraphs.append("".join(self._words).replace("¶", ""))
        self._words = []


def paragraphs_of(path: Path) -> list[str]:
    """The prose of an HTML or text file."""
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    text = raw.decode("utf-8", errors="replace")
    if ".html" in path.name:
        parser = Text()
        parser.feed(text)
        parser.end_paragraph()
        parts = parser.paragraphs
    else:
        parts = re.split(r"\n\s*\n", text)
    lines = (" ".join(part.split()) for part in parts)
    return [line for line in lines if PARAGRAPH.fullmatch(line)]


def collect(package: str, corpus: Path, seen: set[str]) -> dict:
    """Write a package's pages; paragraphs in ``seen`` are left out and new ones added to it."""
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        place.chmod(0o777)  # apt downloads as a user of its own
        subprocess.run(["apt-get", "download", "-qq", package], cwd=place, check=True)
        (archive,) = place.glob("*.deb")
        subprocess.run(["dpkg-deb", "-x", archive, place / "files"], check=True)
        pages = characters = 0
        for path in sorted((place / "files").rglob("*")):
            if not re.search(r"\.(html|txt)(\.gz)?$", path.name) or path.is_symlink() or not path.is_file():
                continue
            if "_sources" in path.parts:  # Sphinx's pages as they were written
                continue
            paragraphs = [line for line in paragraphs_of(path) if line not in seen]
            seen.update(paragraphs)
            text = "\n".join(paragraphs)
            if len(text) > 500:
                (corpus / f"{package}-{pages:05}.txt").write_text(text + "\n", encoding="utf-8")
                pages += 1
                characters += len(text)
        version = archive.name.split("_")[1].replace("%3a", ":")
    terms = f"/usr/share/doc/{package}/copyright"
    return {
        "package": package,
        "version": version,
        "pages": pages,
        "characters": characters,
        "license": terms,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--packages", nargs="+", default=PACKAGES)
    arguments = parser.parse_args()
    arguments.corpus.mkdir(parents=True)
    seen: set[str] = set()
    sources = [collect(package, arguments.corpus, seen) for package in arguments.packages]
    (arguments.corpus / "SOURCES.json").write_text(json.dumps(sources, indent=1) + "\n", encoding="utf-8")
    for source in sources:
        print(f"{source['package']:24} {source['pages']:5} pages {source['characters']:>10,} characters")


if __name__ == "__main__":
    main()
