"""``nlpsuite doctor``."""

from __future__ import annotations

import math
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import click

from nlpsuite import __version__
from nlpsuite.cli.output import print_json
from nlpsuite.errors import PluginError

__all__ = ["command"]


@dataclass(frozen=True)
class _Line:
    """One thing examined. ``advice`` is what to do; empty if all is well."""

    subject: str
    state: str
    advice: str = ""


@click.command()
@click.option("--all", "show_all", is_flag=True, help="Include the suite's own metrics, readers and so on.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(show_all: bool, as_json: bool) -> int:
    """Check versions, providers, GPU, cache, models and plugins, and say what to do.

    The exit code is 6 if something stands in the way of running a task.
    """
    lines = [*_versions(), *_runtime(), *_cache(), *_proposal(), *_plugins(show_all)]
    if as_json:
        print_json([asdict(line) for line in lines])
    else:
        width = max(len(line.subject) for line in lines)
        for line in lines:
            click.echo(f"{line.subject:<{width}}  {line.state}")
            if line.advice:
                click.echo(f"{'':<{width}}  -> {line.advice}")
    return PluginError.exit_code if any(line.state.startswith("broken") for line in lines) else 0


def _versions() -> Iterator[_Line]:
    yield _Line("nlpsuite", __version__)
    yield _Line("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    for package in ("numpy", "tokenizers", "onnx", "torch"):
        try:
            yield _Line(package, metadata.version(package))
        except metadata.PackageNotFoundError:
            if package == "torch":
                advice = "only needed to train and to export other models: pip install 'nlpsuite[train]'"
                yield _Line(package, "not installed", advice)
            else:
                yield _Line(package, "broken: missing", "reinstall nlpsuite")


def _runtime() -> Iterator[_Line]:
    names = {distribution.metadata["Name"] for distribution in metadata.distributions()}
    if {"onnxruntime", "onnxruntime-gpu"} <= names:
        advice = "pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu"
        yield _Line("onnxruntime", "broken: onnxruntime and onnxruntime-gpu are both installed", advice)
        return
    try:
        import onnxruntime
    except ImportError as error:
        yield _Line("onnxruntime", f"broken: {error}", "pip install --force-reinstall onnxruntime-gpu")
        return
    from nlpsuite.runtime.device import cuda_problem

    providers = ", ".join(p.removesuffix("ExecutionProvider") for p in onnxruntime.get_available_providers())
    yield _Line("onnxruntime", f"{onnxruntime.__version__} (built with {providers})")
    yield _Line("CPU", f"{os.cpu_count()} cores{_kernels()}")
    if problem := cuda_problem():
        yield _Line("GPU", f"not used: {problem}", "tasks run on the CPU")
    else:
        yield _Line("GPU", "CUDA works")


def _kernels() -> str:
    """How 8-bit weights are stored for this CPU; empty where onnx, which is reported above, is missing."""
    try:
        from nlpsuite.export.kernels import decoder_kernels

        return f", {decoder_kernels('int8').removeprefix('int8-')} 8-bit weights"
    except ImportError:
        return ""


def _cache() -> Iterator[_Line]:
    from nlpsuite.models.bundle_cache import BundleCache
    from nlpsuite.paths import cache_dir

    place = cache_dir()
    existing = next((path for path in (place, *place.parents) if path.exists()), Path("/"))
    if existing.is_dir() and os.access(existing, os.W_OK):
        yield _Line("cache", f"{place} ({shutil.disk_usage(existing).free / 1e9:,.1f} GB free)")
    else:
        advice = "set NLPSUITE_CACHE to a directory that you can write to"
        yield _Line("cache", f"broken: {place} can't be written", advice)
    for bundle in (bundles := BundleCache().bundles()):
        if bundle.error:
            yield _Line("model", f"damaged: {bundle.error}", f"nlpsuite models rm {bundle.path.name}")
        else:
            yield _Line("model", f"{bundle.path.name} ({bundle.size_bytes / 1e6:,.0f} MB)")
    if not bundles:
        yield _Line("model", "none yet", "nlpsuite pull")


def _proposal() -> Iterator[_Line]:
    """The model of the catalogue that suits this machine."""
    try:
        from nlpsuite.batch.resources import this_machine
        from nlpsuite.models.catalog import propose_model
        from nlpsuite.runtime.device import cuda_memory, cuda_problem, memory_speed

        on_gpu = cuda_problem() is None
        video = cuda_memory() if on_gpu else None
    except ImportError:  # reported above
        return
    machine = this_machine()
    if video:
        model, _ = propose_model(video, math.inf, precision="fp16")
        where, flags = f"fits the GPU's {video / 1e9:.0f} GB in fp16", " --precision fp16"
    else:
        model, speed = propose_model(machine.memory_bytes, memory_speed(machine.cores))
        where = (
            f"at most {speed:.0f} tokens/s in int8, with {machine.memory_bytes / 1e9:.1f} GB of memory free"
        )
        flags = ""
    checked = "" if model.checked else "; no task's prompts were tried on it"
    yield _Line(
        "suits",
        f"{model.name}: {where}{checked}",
        f"nlpsuite pull {model.name}{flags}; others: nlpsuite models catalog",
    )


def _plugins(show_all: bool) -> Iterator[_Line]:
    from nlpsuite.plugins.probe import try_plugins
    from nlpsuite.plugins.registry import known_plugins, unavailable

    usable = [plugin for plugin in known_plugins() if plugin.state == "enabled"]
    passed = 0
    for plugin, found in try_plugins(usable):
        origin = f"{plugin.name} from {plugin.distribution} {plugin.version}"
        if found.problem and plugin.bundled:
            yield _Line(plugin.kind, f"broken: {found.problem}", found.remedy)
        elif found.problem:  # a third party's fault stands in the way of nothing but its own plugin
            click.echo(f"{found.problem}. {found.remedy}", err=True)
            yield _Line(plugin.kind, f"{origin} does not load", f"nlpsuite plugins disable {plugin.key}")
        elif show_all or plugin.kind == "task" or not plugin.bundled:
            slow = " (imports torch: slow)" if "torch" in (name for name, _ in found.heavy) else ""
            yield _Line(plugin.kind, f"{origin}{slow}")
        else:
            passed += 1
    if passed:
        yield _Line("others", f"{passed} metrics, readers and so on from nlpsuite {__version__} load")
    for plugin in unavailable():
        origin = f"{plugin.name} from {plugin.distribution} {plugin.version}"
        yield _Line(plugin.kind, f"{origin} is left out: {plugin.state}", plugin.remedy)
    if not any(plugin.kind == "task" for plugin in usable):
        yield _Line("task", "broken: no task is installed", "reinstall nlpsuite")
