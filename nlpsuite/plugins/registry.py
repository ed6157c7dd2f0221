"""Which of the registered plugins may be used. Imports none of them.

``--no-plugins`` and ``NLPSUITE_PLUGINS`` are looked up in the environment whenever they are needed, so
that child processes obey them too.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import os

from nlpsuite.errors import NlpsuiteError, PluginError, UnknownTaskError
from nlpsuite.plugins.kinds import API_VERSION, TASK, VERBS
from nlpsuite.plugins.scan import Plugin, registered
from nlpsuite.plugins.state import State, parse_state, read_record

__all__ = [
    "STATES",
    "block",
    "find_plugin",
    "find_task",
    "installed",
    "installed_tasks",
    "known_plugins",
    "unavailable",
]

# The states that are not "enabled", worded to follow "the plugin is".
STATES = {
    "disabled": "disabled",
    "blocked": "blocked",
    "shadowed": "passed over for another of the same name",
    "clash": "offered by more than one plugin",
    "incompatible": "for another version of the plugin contract",
    "broken": "broken",
}
_ALLOWED = "NLPSUITE_PLUGINS"
_BLOCKED = "NLPSUITE_NO_PLUGINS"
_ALL = "*"


def block(*names: str) -> None:
    """Block plugins or distributions from now on, in this process and its children. ``*`` blocks all
    that are not bundled."""
    os.environ[_BLOCKED] = ",".join([*_names(_BLOCKED), *names])


def known_plugins() -> tuple[Plugin, ...]:
    """Every registration with its ``state`` and, unless it is enabled, the ``remedy``.

    States: ``enabled``; ``disabled`` by the user; ``blocked`` by --no-plugins or NLPSUITE_PLUGINS;
    ``incompatible``, for another version of the contract; ``broken``, as far as that shows without an
    import; ``clash``, with another third party's of the same kind and name; ``shadowed`` by one that
    takes precedence. Whether an enabled plugin works is known only once it is loaded.

    Raises:
        StorageError: the record of the user's decisions is damaged.
    """
    # Bundled plugins alone don't need the record, so --no-plugins works even if it is damaged.
    only_bundled = _ALL in _names(_BLOCKED) or (_ALLOWED in os.environ and not _names(_ALLOWED))
    record = None if only_bundled else read_record()
    return _judged(registered(), record, os.environ.get(_BLOCKED), os.environ.get(_ALLOWED))


@functools.lru_cache(maxsize=1)
def _judged(
    registered: tuple[Plugin, ...], record: bytes | None, blocked: str | None, allowed: str | None
) -> tuple[Plugin, ...]:
    """Every plugin with its state. The arguments are all that decides it, so it is worked out once until one
    of them changes: a command looks plugins up several times.

    Args:
        record: of the user's decisions; None if there is none or it doesn't matter.
        blocked, allowed: the variables of the environment.
    """
    state = parse_state(record)
    plugins = [_judge(plugin, state) for plugin in registered]
    by_name: dict[str, list[Plugin]] = {}
    for plugin in plugins:
        if plugin.state == "enabled":
            by_name.setdefault(plugin.key, []).append(plugin)
    settled = {
        (p.key, p.distribution): p for key, ps in by_name.items() for p in _settled(ps, state.chosen.get(key))
    }
    return tuple(settled.get((plugin.key, plugin.distribution), plugin) for plugin in plugins)


def installed(kind: str) -> dict[str, Plugin]:
    """The usable plugins of a kind, by name, in alphabetical order. Imports none.

    If two distributions offer one name, the user's choice takes precedence, then a bundled one; the
    others are its ``rivals``. Of two third parties neither is used until the user chooses.

    Raises:
        StorageError: the record of the user's decisions is damaged.
    """
    return {p.name: p for p in known_plugins() if p.kind == kind and p.state == "enabled"}


def installed_tasks() -> dict[str, Plugin]:
    """The usable tasks; see ``installed``."""
    return installed(TASK)


def unavailable() -> list[Plugin]:
    """Installed plugins that can't be used now, except shadowed ones."""
    return [plugin for plugin in known_plugins() if plugin.state not in ("enabled", "shadowed")]


def find_task(name: str) -> Plugin:
    """The plugin of a task; see ``find_plugin``."""
    return find_plugin(TASK, name)


def find_plugin(kind: str, name: str) -> Plugin:
    """The plugin of that kind and name.

    Raises:
        UnknownTaskError: no plugin offers it, or it is disabled or blocked; says what to do.
        PluginError: it is incompatible or broken, or two third parties offer it.
        StorageError: the record of the user's decisions is damaged.
    """
    usable = installed(kind)
    if name in usable:
        return usable[name]
    others = [plugin for plugin in known_plugins() if (plugin.kind, plugin.name) == (kind, name)]
    if others:
        raise _refusal(others)
    close = difflib.get_close_matches(name, usable, n=1, cutoff=0.5)
    suggestion = f"Did you mean {close[0]!r}? " if close else ""
    raise UnknownTaskError(
        f"There is no {kind} {name!r}.",
        hint=f"{suggestion}{kind.capitalize()}s: {', '.join(usable) or 'none'}. "
        f"`nlpsuite {'list' if kind == TASK else 'plugins list --all'}` describes them.",
    )


def _judge(plugin: Plugin, state: State) -> Plugin:
    """The plugin with its own state, regardless of others of the same name."""
    if plugin.fault:
        return _with(plugin, "broken", f"nlpsuite plugins install --upgrade {plugin.distribution}")
    if plugin.api_version != API_VERSION:
        newer = (plugin.api_version or 0) > API_VERSION
        remedy = "upgrade nlpsuite" if newer else f"nlpsuite plugins install --upgrade {plugin.distribution}"
        return _with(plugin, "incompatible", remedy)
    if cause := _blocked_by(plugin):
        flag = cause == "--no-plugins"
        remedy = "leave out --no-plugins" if flag else f"add {plugin.key} to {cause}, or unset it"
        return _with(plugin, "blocked", remedy)
    causes = [name for name in (plugin.name, plugin.key) if name in state.disabled]
    if causes or any(plugin.is_called(name) for name in state.disabled):
        return _with(plugin, "disabled", f"nlpsuite plugins enable {(causes or [plugin.distribution])[0]}")
    if plugin.kind == "command" and plugin.name in VERBS:
        return _with(plugin, "shadowed", "its author has to choose another name for the command")
    return plugin


def _blocked_by(plugin: Plugin) -> str:
    """What forbids a plugin: ``--no-plugins`` or ``NLPSUITE_PLUGINS``; empty if nothing does."""
    blocked = _names(_BLOCKED)
    if any(plugin.is_called(name) for name in blocked) or (_ALL in blocked and not plugin.bundled):
        return "--no-plugins"
    allowed = _ALLOWED not in os.environ or plugin.bundled or any(map(plugin.is_called, _names(_ALLOWED)))
    return "" if allowed else _ALLOWED


def _names(variable: str) -> list[str]:
    return [name.strip() for name in os.environ.get(variable, "").split(",") if name.strip()]


def _settled(rivals: list[Plugin], chosen: str | None) -> list[Plugin]:
    """Usable plugins of one name, bundled first: one of them is used, or they clash."""
    wanted = [plugin for plugin in rivals if chosen and plugin.is_from(chosen)]
    first = (wanted or rivals)[0]
    clash = len(rivals) > 1 and not wanted and not first.bundled
    settled = [
        _with(p, "clash" if clash else "shadowed", f"nlpsuite plugins enable {p.key} --from {p.distribution}")
        for p in rivals
        if clash or p is not first
    ]
    if not clash:
        settled.append(dataclasses.replace(first, rivals=tuple(plugin.distribution for plugin in settled)))
    return settled


def _with(plugin: Plugin, state: str, remedy: str) -> Plugin:
    return dataclasses.replace(plugin, state=state, remedy=remedy)


def _refusal(plugins: list[Plugin]) -> NlpsuiteError:
    """Why none of the plugins of one name can be used."""
    clashing = [plugin for plugin in plugins if plugin.state == "clash"]
    if clashing:
        offers = " and ".join(f"{plugin.distribution} {plugin.version}" for plugin in clashing)
        return PluginError(
            f"The {clashing[0].kind} {clashing[0].name!r} is offered by {offers}.",
            hint="Choose one: " + ", or ".join(plugin.remedy for plugin in clashing),
        )
    plugin = plugins[0]
    subject = f"The {plugin.kind} {plugin.name!r} of {plugin.distribution} {plugin.version}"
    if plugin.state == "disabled":
        return UnknownTaskError(f"{subject} is disabled.", hint=f"Enable it: {plugin.remedy}")
    hint = f"{plugin.remedy[0].upper()}{plugin.remedy[1:]}."
    if plugin.state == "blocked":
        return UnknownTaskError(f"{subject} is blocked by {_blocked_by(plugin)}.", hint=hint)
    if "nlpsuite plugins" in plugin.remedy:
        hint = f"Upgrade it: {plugin.remedy}"
    if plugin.state == "incompatible":
        return PluginError(
            f"{subject} was written for version {plugin.api_version} of the plugin contract; this nlpsuite "
            f"has version {API_VERSION}.",
            hint=hint,
        )
    return PluginError(
        f"{subject} can't be loaded: {plugin.fault}.",
        hint=f"{hint}. To do without it: nlpsuite plugins uninstall {plugin.distribution}",
    )
