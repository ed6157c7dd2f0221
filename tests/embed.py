"""The programs in examples/embed/python, importable: an implementation of task.json that shares no code with nlpsuite."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema

__all__ = ["PROGRAMS", "client", "ids_of", "run_client", "schema_errors"]

ROOT = Path(__file__).parent.parent
PROGRAMS = ROOT / "examples" / "embed" / "python"
SCHEMA = json.loads((ROOT / "nlpsuite" / "tasks" / "export" / "task.schema.json").read_text("utf-8"))
# What a client must do without.
_BLOCKED = ("nlpsuite", "torch", "onnx", "jinja2", "transformers")


def client(name: str) -> ModuleType:
    """A module of the programs."""
    sys.path.insert(0, str(PROGRAMS))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(PROGRAMS))


def ids_of(directory: Path) -> Any:
    """A bundle's tokenizer as the client uses it."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    return lambda text: tokenizer.encode(text, add_special_tokens=False).ids


def run_client(
    *arguments: str | Path, program: str = "task.py", python: str = sys.executable
) -> subprocess.CompletedProcess[str]:
    """Run a program in a process in which neither nlpsuite nor what it needs more than the client can be imported."""
    code = (
        "import runpy, sys\n"
        f"sys.modules.update(dict.fromkeys({_BLOCKED!r}))\n"
        "sys.argv = sys.argv[1:]\n"
        "sys.path[0] = sys.argv[0].rpartition('/')[0]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    command = [python, "-c", code, str(PROGRAMS / program), *map(str, arguments)]
    environment = {"PATH": "", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)


def schema_errors(file: Any) -> list[str]:
    """What is wrong with a task file by the schema."""
    return [error.message for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(file)]
