"""The server as a process: OpenAI's clients, many requests, clients that go away, and the end."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from serving import Server

openai = pytest.importorskip("openai")

NODE = r"""
import OpenAI from "openai";
const client = new OpenAI({ baseURL: process.argv[2], apiKey: "x" });
const messages = [{ role: "user", content: "the" }];
const whole = await client.chat.completions.create({ model: "default", messages, max_tokens: 6 });
let text = "";
for await (const chunk of await client.chat.completions.create({ model: "default", messages, max_tokens: 6, stream: true }))
  text += chunk.choices[0]?.delta?.content ?? "";
const wrong = await client.chat.completions.create({ model: "nope", messages }).catch((error) => error);
console.log(JSON.stringify({ whole: whole.choices[0].message.content, text, status: wrong.status, code: wrong.code }));
"""


@pytest.fixture(scope="module")
def server(tiny_bundle: Path) -> Iterator[Server]:
    server = Server(tiny_bundle)
    yield server
    server.stop()


def ask(server: Server, **fields: object) -> httpx.Response:
    body = {"messages": [{"role": "user", "content": "the"}], "max_tokens": 8, **fields}
    return httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=60)


@pytest.mark.slow
def test_the_python_client(server: Server) -> None:
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="x")
    messages = [{"role": "user", "content": "the"}]
    whole = client.chat.completions.create(
        model="default", messages=messages, max_tokens=8, logprobs=True, top_logprobs=2
    )
    assert whole.choices[0].logprobs.content[0].top_logprobs[1].logprob <= 0
    stream = client.chat.completions.create(model="default", messages=messages, max_tokens=8, stream=True)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert text == whole.choices[0].message.content
    schema = {
        "type": "object",
        "properties": {"a": {"type": "boolean"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    answer = client.chat.completions.create(
        model="default", messages=messages, max_tokens=60, response_format=form
    )
    assert json.loads(answer.choices[0].message.content).keys() == {"a"}
    completion = client.completions.create(model="default", prompt="the", max_tokens=3, n=2, temperature=1)
    assert len(completion.choices) == 2 and completion.usage.total_tokens
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="gpt-4o", messages=messages)
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="default", messages=messages, temperature=-1)


@pytest.mark.slow
def test_the_node_client(server: Server, tmp_path: Path) -> None:
    modules = os.environ.get("NLPSUITE_TEST_NODE_MODULES", "")
    if not shutil.which("node") or not (Path(modules) / "openai").is_dir():
        pytest.skip("NLPSUITE_TEST_NODE_MODULES names no node_modules with openai")
    (tmp_path / "node_modules").symlink_to(modules)
    (tmp_path / "client.mjs").write_text(NODE, encoding="utf-8")
    ran = subprocess.run(
        ["node", "client.mjs", f"{server.url}/v1"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["whole"] == found["text"] and found["status"] == 404 and found["code"] == "model_not_found"


def memory_of(process: subprocess.Popen[str]) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+)", status)
    assert found
    return int(found[1])


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
def test_two_hundred_requests_at_once_get_the_answer_of_one(server: Server) -> None:
    expected = ask(server).json()["choices"]
    grown = []
    with ThreadPoolExecutor(200) as pool:
        for _ in range(3):
            answers = list(pool.map(lambda _: ask(server), range(200)))
            assert {answer.status_code for answer in answers} == {200}
            assert all(answer.json()["choices"] == expected for answer in answers)
            grown.append(memory_of(server.process))
    assert grown[2] < 1.1 * grown[0]
    assert server.gauge("running") == server.gauge("waiting") == 0


@pytest.mark.slow
def test_clients_that_go_away_or_read_slowly(server: Server) -> None:
    body = json.dumps(
        {"messages": [{"role": "user", "content": "the"}], "max_tokens": 200, "stream": True}
    ).encode()
    request = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Content-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body
    )
    connections = []
    for _ in range(40):  # more than run at a time
        connection = socket.create_connection(("127.0.0.1", server.port))
        connection.sendall(request)
        connections.append(connection)
    slow, gone = connections[:3], connections[3:]
    for connection in gone:
        connection.close()
    assert ask(server).status_code == 200
    for connection in slow:
        assert connection.recv(16)
        connection.close()
    for _ in range(200):
        if server.gauge("running") == server.gauge("waiting") == 0:
            break
        time.sleep(0.05)
    assert server.gauge("running") == 0


@pytest.mark.slow
def test_malformed_requests(server: Server) -> None:
    for request in (
        b"GARBAGE\r\n\r\n",
        b"POST /v1/tasks/chat HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\n{",
    ):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(request)
    assert ask(server).status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_shutdown_finishes_what_runs(tiny_bundle: Path, number: int) -> None:
    server = Server(tiny_bundle)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(ask, server, max_tokens=200)
        while not running.done() and server.gauge("running") == 0:
            time.sleep(0.01)
        status = server.stop(number)
        assert running.result().status_code == 200
    assert status in (0, 130, 143, -number)
    assert not any("Traceback" in line for line in server.log)


@pytest.mark.slow
def test_a_port_that_is_taken(server: Server) -> None:
    command = [sys.executable, "-m", "nlpsuite", "serve", "--port", str(server.port)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 2 and "--port" in ran.stderr and "Traceback" not in ran.stderr
