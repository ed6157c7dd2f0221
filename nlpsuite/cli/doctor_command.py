"""``nlpsuite doctor``."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nlpsuite import __version__
from nlpsuite.cli.output import print_json

if TYPE_CHECKING:
    from nlpsuite.plugins import Plugin

__all__ = ["command"]


@dataclass(frozen=True)
class Finding:
    """One thing looked at. ``advice`` is what to do; empty where all is well."""

    subject: str
    state: str
    advice: str = ""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> int:
    """Check versions, providers, GPU, cache, models and plugins, and say what to do.

    Exits with 1 if something stands in the way of running a task.
    """
    findings = [*_versions(), *_runtime(), *_cache(), *_plugins()]
    if as_json:
        print_json([asdict(f) for f in findings])
    else:
        width = max(len(f.subject) for f in findings)
        for f in findings:
            click.echo(f"{f.subject:<{width}}  {f.state}")
            if f.advice:
                click.echo(f"{'':<{width}}  -> {f.advice}")
    return 1 if any(f.state.startswith("broken") for f in findings) else 0


def _versions() -> list[Finding]:
    found = [
        Finding("nlpsuite", __version__),
        Finding("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
    ]
    for package in ("numpy", "tokenizers", "onnx", "torch"):
        try:
            found.append(Finding(package, metadata.version(package)))
        except metadata.PackageNotFoundError:
            optional = package == "torch"
            advice = "only needed to train and to export other models: pip install 'nlpsuite[train]'"
            found.append(
                Finding(
                    package,
                    "not installed" if optional else "broken: missing",
                    advice if optional else "reinstall nlpsuite",
                )
            )
    return found


def _runtime() -> list[Finding]:
    names = [
        d.metadata["Name"]
        for d in metadata.distributions()
        if d.metadata["Name"] in ("onnxruntime", "onnxruntime-gpu")
    ]
    if len(set(names)) > 1:
        return [Finding("onnxruntime", "broken: onnxruntime and onnxruntime-gpu are both installed",
                        "pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu")]  # fmt: skip
    try:
        import onnxruntime
    except ImportError as error:
        return [Finding("onnxruntime", f"broken: {error}", "pip install --force-reinstall onnxruntime-gpu")]
    from nlpsuite.runtime.device import cuda_problem

    providers = ", ".join(p.removesuffix("ExecutionProvider") for p in onnxruntime.get_available_providers())
    problem = cuda_problem()
    gpu = (
        Finding("GPU", "CUDA works")
        if problem is None
        else Finding("GPU", f"not used: {problem}", "tasks run on the CPU")
    )
    return [Finding("onnxruntime", f"{onnxruntime.__version__} (built with {providers})"),
            Finding("CPU", f"{os.cpu_count()} cores"), gpu]  # fmt: skip


def _cache() -> list[Finding]:
    from nlpsuite.export import store
    from nlpsuite.paths import cache_dir

    place = cache_dir()
    existing = next((p for p in (place, *place.parents) if p.exists()), Path("/"))
    writable = existing.is_dir() and os.access(existing, os.W_OK)
    free = shutil.disk_usage(existing).free / 1e9
    state = f"{place} ({free:,.1f} GB free)"
    found = [
        Finding("cache", state)
        if writable
        else Finding(
            "cache", f"broken: {place} can't be written", "set NLPSUITE_CACHE to a directory of yours"
        )
    ]
    bundles = store.cached()
    for bundle in bundles:
        advice = f"nlpsuite models rm {bundle.path.name}" if bundle.error else ""
        state = (
            f"damaged: {bundle.error}"
            if bundle.error
            else f"{bundle.path.name} ({bundle.size_bytes / 1e6:,.0f} MB)"
        )
        found.append(Finding("model", state, advice))
    return found if bundles else [*found, Finding("model", "none yet", "nlpsuite pull")]


def _plugins() -> list[Finding]:
    """Each plugin, loaded: a third party's in a process of its own, where it can do no harm."""
    from concurrent.futures import ThreadPoolExecutor

    from nlpsuite.plugins import known_plugins
    from nlpsuite.plugins.discovery import unavailable
    from nlpsuite.plugins.probe import probe

    def look_at(plugin: Plugin) -> Finding:
        found = probe(plugin)
        if found.problem:
            # Somebody else's fault stands in nobody's way but that plugin's.
            click.echo(f"{found.problem}. {found.remedy}", err=True)
            state = f"{plugin.name} from {plugin.distribution} {plugin.version} does not load"
            return Finding(plugin.kind, state, f"nlpsuite plugins disable {plugin.key}")
        slow = " (imports torch: slow)" if found.imports_torch else ""
        return Finding(plugin.kind, f"{plugin.name} from {plugin.distribution} {plugin.version}{slow}")

    plugins = [plugin for plugin in known_plugins() if plugin.state == "enabled"]
    found = [_bundled(plugin) for plugin in plugins if plugin.bundled]
    with ThreadPoolExecutor(4) as pool:
        found += pool.map(look_at, [plugin for plugin in plugins if not plugin.bundled])
    found += [
        Finding(p.kind, f"{p.name} from {p.distribution} {p.version} is left out: {p.state}", p.remedy)
        for p in unavailable()
    ]
    return found or [Finding("task", "broken: no task is installed", "reinstall nlpsuite")]


def _bundled(plugin: Plugin) -> Finding:
    from nlpsuite.errors import PluginError
    from nlpsuite.plugins.loading import load_plugin

    try:
        load_plugin(plugin)
    except PluginError as error:
        return Finding(plugin.kind, f"broken: {error.message}", error.hint)
    return Finding(plugin.kind, f"{plugin.name} from nlpsuite {__version__}")
