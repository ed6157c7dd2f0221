"""What can be used: what is registered, less what may not be. Imports no plugin."""

from __future__ import annotations

import dataclasses
import difflib

from nlpsuite.errors import NlpsuiteError, PluginError, UnknownTaskError
from nlpsuite.plugins.kinds import RESERVED, TASK
from nlpsuite.plugins.policy import blocked_by, only_bundled
from nlpsuite.plugins.registry import API_VERSION, Plugin, normalized, registered
from nlpsuite.plugins.state import State, read_state

__all__ = ["find_plugin", "find_task", "installed", "installed_tasks", "known_plugins", "unavailable"]


def known_plugins() -> list[Plugin]:
    """Every registration with its ``state`` and, where it can't be run, the ``remedy``.

    States: ``enabled``; ``disabled`` by the user; ``blocked`` by --no-plugins or NLPSUITE_PLUGINS;
    ``incompatible``, for another version of the contract; ``broken``, as far as that shows without an
    import; ``clash``, with another third party's of the same kind and name; ``shadowed`` by one that
    goes first. Whether an enabled plugin works is known only once it is loaded.

    Raises:
        StorageError: the record of the user's decisions is damaged.
    """
    # What may only be bundled needs no record, so that a damaged one can be got around.
    state = State() if only_bundled() else read_state()
    plugins = [_judged(plugin, state) for plugin in registered()]
    by_name: dict[str, list[Plugin]] = {}
    for plugin in plugins:
        if plugin.state == "enabled":
            by_name.setdefault(plugin.key, []).append(plugin)
    settled = {
        (p.key, p.distribution): p for key, ps in by_name.items() for p in _settled(ps, state.chosen.get(key))
    }
    return [settled.get((plugin.key, plugin.distribution), plugin) for plugin in plugins]


def installed(kind: str) -> dict[str, Plugin]:
    """The plugins of a kind that can be used, by name, in alphabetical order. Imports none.

    Where two distributions offer one name, the user's choice goes first, then a bundled one; the
    others are its ``rivals``. Of two third parties neither is used until the user chooses.

    Raises:
        StorageError: the record of the user's decisions is damaged.
    """
    return {p.name: p for p in known_plugins() if p.kind == kind and p.state == "enabled"}


def installed_tasks() -> dict[str, Plugin]:
    """The tasks that can be run; see ``installed``."""
    return installed(TASK)


def unavailable() -> list[Plugin]:
    """Plugins that can't be used now though they are installed, shadowed ones aside."""
    return [plugin for plugin in known_plugins() if plugin.state not in ("enabled", "shadowed")]


def find_task(name: str) -> Plugin:
    """The plugin of a task; see ``find_plugin``."""
    return find_plugin(TASK, name)


def find_plugin(kind: str, name: str) -> Plugin:
    """The plugin of that kind and name.

    Raises:
        UnknownTaskError: none offers it, or it is disabled or blocked; says what to do.
        PluginError: it is incompatible, broken, or two third parties offer it.
        StorageError: the record of the user's decisions is damaged.
    """
    there = installed(kind)
    if name in there:
        return there[name]
    others = [plugin for plugin in known_plugins() if (plugin.kind, plugin.name) == (kind, name)]
    if others:
        raise _refused(others)
    close = difflib.get_close_matches(name, there, n=1, cutoff=0.5)
    meant = f"Did you mean {close[0]!r}? " if close else ""
    raise UnknownTaskError(
        f"There is no {kind} {name!r}.",
        hint=f"{meant}{kind.capitalize()}s: {', '.join(there) or 'none'}. "
        f"`nlpsuite {'list' if kind == TASK else 'plugins list'}` says what they do.",
    )


def _judged(plugin: Plugin, state: State) -> Plugin:
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
            else f"add {plugin.key} to {cause}, or unset it"
        )
        return dataclasses.replace(plugin, state="blocked", remedy=mend)
    causes = [name for name in (plugin.name, plugin.key) if name in state.disabled]
    if causes or any(plugin.is_called(name) for name in state.disabled):
        mend = f"nlpsuite plugins enable {causes[0] if causes else plugin.distribution}"
        return dataclasses.replace(plugin, state="disabled", remedy=mend)
    if plugin.name in RESERVED.get(plugin.kind, ()):
        mend = f"`nlpsuite {plugin.name}` stays what it is; its author can name the command otherwise"
        return dataclasses.replace(plugin, state="shadowed", remedy=mend)
    return plugin


def _settled(rivals: list[Plugin], chosen: str | None) -> list[Plugin]:
    """Usable plugins of one name, bundled first: one of them is used, or it is a clash."""
    wanted = [p for p in rivals if chosen and normalized(p.distribution) == normalized(chosen)]
    first = (wanted or rivals)[0]
    if len(rivals) > 1 and not wanted and not first.bundled:
        return [_passed_over(plugin, "clash") for plugin in rivals]
    others = tuple(plugin.distribution for plugin in rivals if plugin is not first)
    return [
        dataclasses.replace(p, rivals=others) if p is first else _passed_over(p, "shadowed") for p in rivals
    ]


def _passed_over(plugin: Plugin, state: str) -> Plugin:
    mend = f"nlpsuite plugins enable {plugin.key} --from {plugin.distribution}"
    return dataclasses.replace(plugin, state=state, remedy=mend)


def _refused(plugins: list[Plugin]) -> NlpsuiteError:
    """Why no plugin of a name can be run."""
    clashing = [plugin for plugin in plugins if plugin.state == "clash"]
    if clashing:
        offers = " and ".join(f"{plugin.distribution} {plugin.version}" for plugin in clashing)
        return PluginError(
            f"The {clashing[0].kind} {clashing[0].name!r} is offered by {offers}.",
            hint="Choose one: " + ", or ".join(plugin.remedy for plugin in clashing),
        )
    plugin = plugins[0]
    task = f"The {plugin.kind} {plugin.name!r} of {plugin.distribution} {plugin.version}"
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
