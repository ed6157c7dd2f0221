"""Requests to `nlpsuite serve` beside llama.cpp's server: throughput and latency at 1, 8 and 32 clients.

    python benchmarks/serve.py --llama ~/peers/bin/python --gguf model.gguf --rounds 3 --output serve
    python benchmarks/serve.py --quick            nlpsuite alone, few requests

Peers: --llama is a Python with llama-cpp-python[server]; llama.cpp's own server is --llama-server, a binary, or --xllamacpp,
a Python with the package xllamacpp, which carries it prebuilt. They serve the file --gguf, whose weights must be those of --model. Every server gets the same prompts, each of them once a round, by /v1/completions,
greedily and without a cache of earlier rounds' prompts. In each round one server after the other is asked, in an
order that rotates. Figures are medians over the rounds. Written to serve.json and serve.md in --output.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles

import httpx
from score import sentences

WORDS = 90  # in a prompt
TIMEOUT = 600.0


@dataclass(frozen=True)
class Server:
    """A server to ask.

    Attributes:
        command: starts it on a port.
    """

    name: str
    command: Sequence[str]
    url: str


@dataclass(frozen=True)
class Sample:
    """One server at one number of clients in one round.

    Attributes:
        requests_per_second, tokens_per_second: of all clients together; tokens are those generated.
        p50, p95: seconds from a request to the end of its answer.
    """

    server: str
    clients: int
    requests_per_second: float
    tokens_per_second: float
    p50: float
    p95: float


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def servers_of(arguments: argparse.Namespace) -> list[Server]:
    """The servers asked for, nlpsuite first."""
    threads, most = str(arguments.threads), max(arguments.clients)

    def at(name: str, make: list[str], flag: str = "--port") -> Server:
        port = free_port()
        return Server(name, [*make, flag, str(port)], f"http://127.0.0.1:{port}")

    model = ["--model", arguments.model] if arguments.model else []
    concurrency = ["--concurrency", str(max(32, most))]
    found = [
        at(
            "nlpsuite",
            [sys.executable, "-m", "nlpsuite", "serve", *model, "--threads", threads, *concurrency],
        )
    ]
    if arguments.llama:
        flags = ["--model", arguments.gguf, "--n_ctx", "2048", "--n_threads", threads, "--n_batch", "512"]
        found.append(
            at(
                "llama-cpp-python",
                [arguments.llama, "-m", "llama_cpp.server", *flags, "--logits_all", "false"],
            )
        )
    if arguments.xllamacpp:
        worker = str(Path(__file__).parent / "workers" / "llama_server.py")
        flags = ["--slots", str(most), "--context", str(512 * most), "--threads", threads]
        found.append(at("llama.cpp", [arguments.xllamacpp, worker, arguments.gguf, *flags]))
    if arguments.llama_server:
        flags = ["-m", arguments.gguf, "-c", str(512 * most), "-t", threads, "-np", str(most), "--no-webui"]
        found.append(at("llama-server", [arguments.llama_server, *flags]))
    return found


@contextlib.contextmanager
def running(server: Server) -> Iterator[None]:
    """Start a server, wait until it answers, and end it."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(server.command, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + TIMEOUT
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if httpx.get(f"{server.url}/v1/models", timeout=5).status_code == 200:
                        break
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise SystemExit(f"{server.name} didn't start:\n{log.read().decode()[-3000:]}")
                time.sleep(0.2)
            yield
        finally:
            process.terminate()
            process.wait(60)


def ask(client: httpx.Client, server: Server, prompt: str, tokens: int) -> tuple[float, int]:
    """Seconds and generated tokens of one request."""
    body = {"model": "default", "prompt": prompt, "max_tokens": tokens, "temperature": 0}
    started = time.perf_counter()
    response = client.post(f"{server.url}/v1/completions", json=body)
    seconds = time.perf_counter() - started
    if response.status_code != 200:
        raise SystemExit(f"{server.name}: {response.status_code} {response.text[:500]}")
    return seconds, int(response.json()["usage"]["completion_tokens"])


def measure(server: Server, clients: int, prompts: Sequence[str], tokens: int) -> Sample:
    """Ask for all prompts, so many at a time."""
    limits = httpx.Limits(max_connections=clients)
    with httpx.Client(timeout=TIMEOUT, limits=limits) as client, ThreadPoolExecutor(clients) as pool:
        started = time.perf_counter()
        answers = list(pool.map(lambda prompt: ask(client, server, prompt, tokens), prompts))
        seconds = time.perf_counter() - started
    times = [each for each, _ in answers]
    return Sample(
        server.name,
        clients,
        len(prompts) / seconds,
        sum(count for _, count in answers) / seconds,
        median(times),
        quantiles(times, n=20)[-1] if len(times) > 1 else times[0],
    )


def prompts_for(count: int, generator: random.Random) -> list[str]:
    """Texts of running English that are all different from their first word on."""
    found = list(sentences())
    texts = [" ".join(generator.sample(found, 12)).split()[:WORDS] for _ in range(count)]
    return [f"Review {generator.randrange(10**6)}. {' '.join(text)}" for text in texts]


def table(samples: Sequence[Sample], servers: Sequence[Server], clients: Sequence[int]) -> str:
    """Medians as Markdown; the ratio is that of requests/s to the first server's, a median of the rounds' ratios."""
    lines = [
        "| server | clients | requests/s | tokens/s | p50 s | p95 s | ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    for count in clients:
        base = [s.requests_per_second for s in samples if (s.server, s.clients) == (servers[0].name, count)]
        for server in servers:
            mine = [s for s in samples if (s.server, s.clients) == (server.name, count)]
            names = ("requests_per_second", "tokens_per_second", "p50", "p95")
            figures = [f"{median(getattr(s, name) for s in mine):.2f}" for name in names]
            ratio = median(s.requests_per_second / b for s, b in zip(mine, base))
            lines.append(f"| {server.name} | {count} | {' | '.join(figures)} | {ratio:.2f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, and write what was found after every round."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="as nlpsuite serve takes it; by default the default model")
    parser.add_argument("--llama", help="Python with llama-cpp-python[server]")
    parser.add_argument("--llama-server", help="binary of llama.cpp's server")
    parser.add_argument("--xllamacpp", help="Python with xllamacpp")
    parser.add_argument("--gguf", help="file for llama.cpp")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--clients", type=lambda text: [int(n) for n in text.split(",")], default=[1, 8, 32])
    parser.add_argument("--requests", type=int, help="in a round; by default 12 and three for each client")
    parser.add_argument("--tokens", type=int, default=48, help="most to generate for a prompt")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path("serve"))
    parser.add_argument("--quick", action="store_true", help="two clients, four requests, one round")
    arguments = parser.parse_args()
    if (arguments.llama or arguments.llama_server or arguments.xllamacpp) and not arguments.gguf:
        parser.error("llama.cpp needs --gguf")
    if arguments.quick:
        arguments.clients, arguments.requests, arguments.tokens, arguments.rounds = [2], 4, 8, 1
    arguments.output.mkdir(parents=True, exist_ok=True)
    generator, samples = random.Random(0), []
    with contextlib.ExitStack() as stack:
        servers = servers_of(arguments)
        for server in servers:
            stack.enter_context(running(server))
            measure(server, 1, prompts_for(2, generator), 4)  # what happens only once
        for number in range(arguments.rounds):
            order = servers[number % len(servers) :] + servers[: number % len(servers)]
            for clients in arguments.clients:
                prompts = prompts_for(arguments.requests or 12 + 3 * clients, generator)
                for server in order:
                    samples.append(measure(server, clients, prompts, arguments.tokens))
                    print(samples[-1], flush=True)
            found = {"samples": [asdict(sample) for sample in samples], "threads": arguments.threads}
            (arguments.output / "serve.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
            text = table(samples, servers, arguments.clients)
            (arguments.output / "serve.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
