"""What a plugin can be: one kind for each hook of the contract, with its group of entry points."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["API_VERSION", "ENTRY_POINT_GROUP", "KINDS", "RESERVED", "TASK", "Kind"]

API_VERSION = 1
TASK = "task"


@dataclass(frozen=True)
class Kind:
    """One kind of plugin.

    Attributes:
        name: for people.
        hook: that a plugin of the kind implements.
        argument: of the hook; it is given the entry point's name.
        gives: what the hook returns, for people.
        prefix: of the entry points' group, up to the version of the contract.
        type: of what the hook returns, as ``module:class``; empty for any callable.
    """

    name: str
    hook: str
    argument: str
    gives: str
    prefix: str
    type: str = ""

    @property
    def group(self) -> str:
        """The group of entry points for this version of the contract."""
        return f"{self.prefix}{API_VERSION}"


# It stands here and not in hookspecs, which imports pluggy: listing must be quick.
KINDS = {
    kind.name: kind
    for kind in (
        Kind(TASK, "nlpsuite_task", "name", "a Task", "nlpsuite.tasks.v", "nlpsuite.tasks.base:Task"),
        Kind("metric", "nlpsuite_metric", "name", "a function", "nlpsuite.metrics.v"),
        Kind("source", "nlpsuite_source", "scheme", "a function", "nlpsuite.sources.v"),
        Kind("reader", "nlpsuite_reader", "suffix", "a function", "nlpsuite.readers.v"),
        Kind("writer", "nlpsuite_writer", "suffix", "a function", "nlpsuite.writers.v"),
        Kind("engine", "nlpsuite_engine", "name", "a function", "nlpsuite.engines.v"),
        Kind(
            "command", "nlpsuite_command", "name", "a click.Command", "nlpsuite.commands.v", "click:Command"
        ),
        Kind("guard", "nlpsuite_guard", "name", "a Guard", "nlpsuite.guards.v", "nlpsuite.tasks.guard:Guard"),
    )
}
ENTRY_POINT_GROUP = KINDS[TASK].group
# The suite's own verbs, which no plugin replaces.
RESERVED = {
    "command": frozenset(
        "run score eval compare jobs list train export pull prompts config models plugins doctor completion".split()
    ),
}
