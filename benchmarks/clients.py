"""Programs that run exported bundles beside nlpsuite: tables of clients and precisions.

    python benchmarks/clients.py BUNDLE ... [--clients NAMES] [--output FILE.md] [--json FILE]

What `nlpsuite export --verify-with` does, for portable bundles that are there already. NAMES are as that option takes them.
With --json every report is written as soon as it is there, and those in the file aren't made again. Seconds are as
transformers.js took them in Node and in Chromium: to load, and from a prompt to its first token.
"""

import argparse
import json
import sys
from pathlib import Path

from nlpsuite.export.clients.check import CLIENTS, check_clients, split_clients
from nlpsuite.export.clients.job import MODES
from nlpsuite.export.clients.report import ClientReport
from nlpsuite.export.portable import GRAPH_FILES
from nlpsuite.runtime.bundle import Bundle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundles", nargs="+", type=Path, metavar="BUNDLE")
    parser.add_argument("--clients", default=",".join(CLIENTS), metavar="NAMES")
    parser.add_argument("--precisions", default=",".join(GRAPH_FILES), metavar="NAMES")
    parser.add_argument("--output", type=Path, help="also write the tables to this file")
    parser.add_argument("--json", type=Path, help="every report, and what is there already")
    options = parser.parse_args()
    known = json.loads(options.json.read_text("utf-8")) if options.json and options.json.exists() else {}
    tables = []
    for bundle in map(Bundle.open, options.bundles):
        reports = known.setdefault(bundle.path.name, [])
        for report in missing_reports(bundle, options, reports):
            print(report, file=sys.stderr, flush=True)
            reports.append(report.to_dict())
            if options.json:
                options.json.write_text(json.dumps(known, indent=1), encoding="utf-8")
        tables.append(table(bundle, [ClientReport(**each) for each in reports]))
    text = "\n\n".join(tables)
    print(text)
    if options.output:
        options.output.write_text(text + "\n", encoding="utf-8")


def missing_reports(bundle, options, reports):
    """What isn't among the reports yet, one precision after the other."""
    there = {(each["client"], each["precision"]) for each in reports}
    for graph in bundle.graphs:
        left = {
            name: place
            for name, place in split_clients(options.clients).items()
            if (name, graph.precision) not in there
        }
        if left and graph.precision in options.precisions.split(","):
            names = [f"{name}={place}" if place else name for name, place in left.items()]
            yield from check_clients(bundle, names, graphs=[graph])


def table(bundle, reports):
    """A Markdown table: clients by precisions."""
    precisions = list(dict.fromkeys(each.precision for each in reports))
    lines = [f"| {bundle.path.name} | {' | '.join(precisions)} |", "|---" * (len(precisions) + 1) + "|"]
    for client in dict.fromkeys(each.client for each in reports):
        found = {each.precision: each for each in reports if each.client == client}
        version = next((each.version for each in found.values() if each.version), "")
        cells = [cell(found[each]) if each in found else "" for each in precisions]
        lines.append(f"| `{client}` {version.removeprefix('onnxruntime ')} | {' | '.join(cells)} |")
    sizes = [f"{download(bundle, each) / 1e6:,.0f} MB" for each in precisions]
    return "\n".join([*lines, f"| to download | {' | '.join(sizes)} |"])


def cell(report):
    if report.status in ("missing", "failed"):
        return report.status
    said = [report.status, ways(report.runs, report.encoded)]
    said += [f"labels {ways(report.labels, report.encoded)}"] if report.labels else []
    said.append(f"logits {report.logit_difference:.1g} of {report.tolerance:.1g}")
    if report.seconds:
        said.append(f"{report.seconds['load']:.1f} s, {report.seconds['first_token']:.2f} s")
    return "<br>".join(said)


def ways(counts, texts):
    """Texts that are the same, and others at a near tie: single, padded on the left, on the right."""
    cells = [
        (f"{counts[mode][0]}" + (f"+{counts[mode][1]}" if counts[mode][1] else "")) if mode in counts else "–"
        for mode in MODES
    ]
    return " / ".join(cells) + ("" if texts == 20 else f" of {texts}")


def download(bundle, precision):
    """Bytes that a browser fetches."""
    [graph] = [each.path for each in bundle.graphs if each.precision == precision]
    names = (graph, f"{graph}_data", "tokenizer.json", "tokenizer_config.json", "config.json", "task.json")
    return sum(bundle.files[name]["bytes"] for name in names if name in bundle.files)


if __name__ == "__main__":
    main()
