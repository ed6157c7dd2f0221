"""The tasks that can be run: what is registered, less what may not be used. Imports no plugin."""

from __future__ import annotations

import dataclasses
import difflib

from nlpsuite.errors import NlpsuiteError, PluginError, UnknownTaskError
from nlpsuite.plugins.policy import blocked_by, only_bundled
from nlpsuite.plugins.registry import API_VERSION, TaskPlugin, normalized, registered
from nlpsuite.plugins.state import State, read_state

__all__ = ["find_task", "installed_tasks", "known_plugins", "unavailable"]


def known_plugins() -> list[TaskPlugin]:
    """Every registration with its ``state`` and, where it can't be run, the ``remedy``.

    States: ``enabled``; ``disabled`` by the user; ``blocked`` by --no-plugins or NLPSUITE_PLUGINS;
    ``incompatible``, for another version of the contract; ``broken``, as far as that shows without an
    import; ``clash``, with another third party's task of the same name; ``shadowed`` by one that
    goes first. Whether an enabled plugin works is known only once it is loaded.

    Raises:
        StorageError: the record of the user's decisions is damaged.
    """
    # What may only be bundled needs no record, so that a damaged one can be got around.
    state = State() if only_bundled() else read_state()
    plugins = [_judged(plugin, state) for plugin in registered()]
    by_name: dict[str, list[TaskPlugin]] = {}
    for plugin in plugins:
        if plugin.state == "enabled":
            by_name.setdefault(plugin.name, []).append(plugin)
    settled = {
        (p.name, p.distribution): p
        for name, ps in by_name.items()
        for p in _settled(ps, state.chosen.get(name))
    }
    return [settled.get((plugin.name, plugin.distribution), plugin) for plugin in plugins]


def installed_tasks() -> dict[str, TaskPlugin]:
    """The tasks that can be run, by name, in alphabetical order. Imports no plugin.

    Where two distributions offer one name, the user's choice goes first, then a bundled task; the
    others are its ``rivals``. Of two third parties neither is used until the user chooses.

    Raises:
        StorageError: the record of the user's decisions is damaged.
    """
    return {plugin.name: plugin for plugin in known_plugins() if plugin.state == "enabled"}


def unavailable() -> list[TaskPlugin]:
    """Plugins whose task can't be run now though they are installed, shadowed ones aside."""
    return [plugin for plugin in known_plugins() if plugin.state not in ("enabled", "shadowed")]


def find_task(name: str) -> TaskPlugin:
    """The plugin of a task.

    Raises:
        UnknownTaskError: none offers it, or it is disabled or blocked; says what to do.
        PluginError: it is incompatible, broken, or two third parties offer it.
        StorageError: the record of the user's decisions is damaged.
    """
    tasks = installed_tasks()
    if name in tasks:
        return tasks[name]
    others = [plugin for plugin in known_plugins() if plugin.name == name]
    if others:
        raise _refused(others)
    close = difflib.get_close_matches(name, tasks, n=1, cutoff=0.5)
    meant = f"Did you mean {close[0]!r}? " if close else ""
    raise UnknownTaskError(
        f"There is no task {name!r}.",
        hint=f"{meant}Tasks: {', '.join(tasks) or 'none'}. `nlpsuite list` says what they do.",
    )


def _judged(plugin: TaskPlugin, state: State) -> TaskPlugin:
    """The plugin's state by itself, names of others left aside."""
    if plugin.fault:
        mend = f"reinstall or uninstall it: nlpsuite plugins uninstall {plugin.distribution}"
        return dataclasses.replace(plugin, state="broken", remedy=mend)
    if plugin.api_version != API_VERSION:
        newer = (plugin.api_version or 0) > API_VERSION
        mend = "upgrade nlpsuite" if newer else f"nlpsuite plugins install --upgrade {plugin.distribution}"
        return dataclasses.replace(plugin, state="incompatible", remedy=mend)
    cause = blocked_by(plugin)
    if cause:
        mend = (
            "leave out --no-plugins"
            if cause == "--no-plugins"
            else f"add {plugin.name} to {cause}, or unset it"
        )
        return dataclasses.replace(plugin, state="blocked", remedy=mend)
    by_task = plugin.name in state.disabled
    if by_task or any(plugin.is_called(name) for name in state.disabled):
        mend = f"nlpsuite plugins enable {plugin.name if by_task else plugin.distribution}"
        return dataclasses.replace(plugin, state="disabled", remedy=mend)
    return plugin


def _settled(rivals: list[TaskPlugin], chosen: str | None) -> list[TaskPlugin]:
    """Usable plugins of one name, bundled first: one of them is used, or it is a clash."""
    wanted = [p for p in rivals if chosen and normalized(p.distribution) == normalized(chosen)]
    first = (wanted or rivals)[0]
    if len(rivals) > 1 and not wanted and not first.bundled:
        return [_passed_over(plugin, "clash") for plugin in rivals]
    others = tuple(plugin.distribution for plugin in rivals if plugin is not first)
    return [
        dataclasses.replace(p, rivals=others) if p is first else _passed_over(p, "shadowed") for p in rivals
    ]


def _passed_over(plugin: TaskPlugin, state: str) -> TaskPlugin:
    mend = f"nlpsuite plugins enable {plugin.name} --from {plugin.distribution}"
    return dataclasses.replace(plugin, state=state, remedy=mend)


def _refused(plugins: list[TaskPlugin]) -> NlpsuiteError:
    """Why no plugin of a name can be run."""
    clashing = [plugin for plugin in plugins if plugin.state == "clash"]
    if clashing:
        offers = " and ".join(f"{plugin.distribution} {plugin.version}" for plugin in clashing)
        return PluginError(
            f"The task {clashing[0].name!r} is offered by {offers}.",
            hint="Choose one: " + ", or ".join(plugin.remedy for plugin in clashing),
        )
    plugin = plugins[0]
    task = f"The task {plugin.name!r} of {plugin.distribution} {plugin.version}"
    hint = f"{plugin.remedy[0].upper()}{plugin.remedy[1:]}."
    if plugin.state == "disabled":
        return UnknownTaskError(f"{task} is disabled.", hint=f"Enable it: {plugin.remedy}")
    if plugin.state == "blocked":
        return UnknownTaskError(f"{task} is blocked by {blocked_by(plugin)}.", hint=hint)
    if plugin.state == "incompatible":
        return PluginError(
            f"{task} is written for version {plugin.api_version} of the plugin contract; this nlpsuite has "
            f"version {API_VERSION}.",
            hint=hint if "nlpsuite plugins" not in plugin.remedy else f"Upgrade it: {plugin.remedy}",
        )
    return PluginError(f"{task} can't be loaded: {plugin.fault}.", hint=hint)
