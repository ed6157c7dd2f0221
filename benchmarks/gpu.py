"""Speed on a CUDA device beside the roofline: what its memory, its arithmetic and its launches allow.

    python benchmarks/gpu.py                        # measure, on a machine with a GPU
    python benchmarks/gpu.py --expect H100          # only the roofline, on any machine

The roofline of a step is the longest of three times: reading weights and cache from the device's memory, the matrix
products at the peak rate of fp16, and starting one kernel for each node of the graph. Peaks are the vendor's
(``DEVICES``); the cost of a launch is an assumption to be checked by the measurement (``--launch``).
"""

from __future__ import annotations

import argparse
import json
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from nlpsuite.export.cache import get_bundle
from nlpsuite.runtime.bundle import Bundle
from nlpsuite.runtime.device import cuda_problem
from nlpsuite.runtime.measure import measure_speed

# Bytes/s of memory and dense fp16 FLOP/s, from NVIDIA's data sheets.
DEVICES = {
    "H200": (4.8e12, 989e12),
    "H100": (3.35e12, 989e12),
    "A100": (2.04e12, 312e12),
    "L4": (0.30e12, 121e12),
    "T4": (0.32e12, 65e12),
}
STREAMS = (1, 2, 4, 8, 16, 32, 64)
CONTEXT = 160  # positions read per stream, as measure_speed leaves them on average, rounded up
PREFILL = 512


@dataclass(frozen=True)
class Graph:
    """What a step of a bundle's graph costs.

    Attributes:
        weight_bytes: read by every step.
        weights: multiplied for every token.
        cache_bytes: of one position of one stream.
        launches: nodes that run on the device.
    """

    weight_bytes: int
    weights: int
    cache_bytes: int
    launches: int


@dataclass(frozen=True)
class Roofline:
    """Times of one step in seconds."""

    memory: float
    arithmetic: float
    launches: float

    @property
    def seconds(self) -> float:
        return max(self.memory, self.arithmetic, self.launches)

    @property
    def bound(self) -> str:
        return max(asdict(self), key=asdict(self).__getitem__)


def graph_of(bundle: Bundle) -> Graph:
    """Count the weights and nodes of the slots graph."""
    import onnx

    model = onnx.load(bundle.path / bundle.graph("slots").path, load_external_data=False)
    sizes = {tensor.name: tensor for tensor in model.graph.initializer if tensor.external_data}
    multiplied = {
        name
        for node in model.graph.node
        if node.op_type.endswith("MatMul")
        for name in node.input
        if name in sizes
    }
    weights = 0
    for name in multiplied:
        elements = 1
        for dimension in sizes[name].dims:
            elements *= dimension
        weights += elements
    cache = sum(
        value.type.tensor_type.shape.dim[-1].dim_value * 2
        for value in model.graph.input
        if value.name.startswith("cache.")
    )
    return Graph(weights * 2, weights, cache, len(model.graph.node))


def roofline(graph: Graph, device: str, streams: int, tokens: int, context: int, launch: float) -> Roofline:
    """The least time of a step that reads ``tokens`` new tokens of each stream."""
    bandwidth, rate = DEVICES[device]
    moved = graph.weight_bytes + streams * context * graph.cache_bytes
    return Roofline(moved / bandwidth, 2 * graph.weights * streams * tokens / rate, graph.launches * launch)


def device_here() -> str:
    """The name in ``DEVICES`` of the first GPU."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    name = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    found = next((known for known in DEVICES if known in name), None)
    if found is None:
        raise SystemExit(f"No peaks are known for {name}: add them to DEVICES.")
    return found


def main() -> None:
    """Print the table, as Markdown or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--expect", choices=DEVICES, help="print only the roofline of this device")
    parser.add_argument("--model", help="as for `nlpsuite run`; by default the default model")
    parser.add_argument("--launch", type=float, default=4.0, help="microseconds to start a kernel")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    if arguments.expect is None and (problem := cuda_problem()):
        raise SystemExit(f"CUDA can't be used: {problem}. Give --expect H100 for the roofline alone.")
    device = arguments.expect or device_here()
    path = get_bundle(arguments.model, precision="fp16")
    graph = graph_of(Bundle.open(path))
    launch = arguments.launch / 1e6
    measured: dict[str, float] = {}
    if arguments.expect is None:
        speed = measure_speed(path, device="cuda", streams=STREAMS, runs=arguments.runs)
        measured = {f"decode × {d.streams}": d.tokens_per_second for d in speed.decoding}
        measured[f"prefill {speed.prefill_tokens}"] = speed.prefill_tokens_per_second
    cases = {f"prefill {PREFILL}": (1, PREFILL, PREFILL)}
    cases |= {f"decode × {streams}": (streams, 1, CONTEXT) for streams in STREAMS}
    print(
        f"{device}: {graph.weight_bytes / 1e6:,.0f} MB of weights, {graph.launches} nodes, {graph.cache_bytes:,} bytes of"
    )
    print(f"cache per position; {arguments.launch:g} µs a launch\n")
    print(
        "| | memory | arithmetic | launches | bound, tokens/s | one graph launch, tokens/s | measured | share |"
    )
    print("|---|---|---|---|---|---|---|---|")
    figures = {}
    for name, (streams, tokens, context) in cases.items():
        least = roofline(graph, device, streams, tokens, context, launch)
        captured = max(least.memory, least.arithmetic)
        bound, best = streams * tokens / least.seconds, streams * tokens / captured
        got = measured.get(name)
        figures[name] = {**asdict(least), "bound": least.bound, "roofline": bound, "measured": got}
        times = " | ".join(f"{time * 1e6:,.0f} µs" for time in asdict(least).values())
        seen = f"{got:,.0f} | {got / bound:.0%}" if got else "– | –"
        print(f"| {name} | {times} | {bound:,.0f} | {best:,.0f} | {seen} |")
    if arguments.json:
        report = {"device": device, "graph": asdict(graph), "launch_us": arguments.launch, "figures": figures}
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
