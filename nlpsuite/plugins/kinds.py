"""What a plugin can be, one kind for each hook of the contract, and which names are taken."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["API_VERSION", "ENTRY_POINT_GROUP", "KINDS", "TASK", "VERBS", "Kind"]

API_VERSION = 1
TASK = "task"


@dataclass(frozen=True)
class Kind:
    """One kind of plugin.

    Attributes:
        name: of the kind.
        argument: of its hook, which receives the entry point's name.
        returns: what the hook returns, as an error message names it.
        type: of what the hook returns, as ``module:class``; empty for any callable.
    """

    name: str
    argument: str
    returns: str = "a function"
    type: str = ""

    @property
    def hook(self) -> str:
        """The hook that a plugin of this kind implements."""
        return f"nlpsuite_{self.name}"

    @property
    def prefix(self) -> str:
        """The group of its entry points, up to the number of the contract's version."""
        return f"nlpsuite.{self.name}s.v"

    @property
    def group(self) -> str:
        """The group of entry points for this version of the contract."""
        return f"{self.prefix}{API_VERSION}"


# Not in hookspecs, which imports pluggy: listing has to be quick.
KINDS = {
    kind.name: kind
    for kind in (
        Kind(TASK, "name", "a Task", "nlpsuite.tasks.base:Task"),
        Kind("metric", "name"),
        Kind("source", "scheme"),
        Kind("reader", "suffix"),
        Kind("writer", "suffix"),
        Kind("engine", "name"),
        Kind("command", "name", "a click.Command", "click:Command"),
        Kind("guard", "name", "a Guard", "nlpsuite.tasks.guard:Guard"),
    )
}
ENTRY_POINT_GROUP = KINDS[TASK].group

# The verbs of the command line, with their lines in --help. No plugin replaces one.
VERBS = {
    "run": "Run a task on files, text or standard input.",
    "list": "List the tasks that are installed.",
    "score": "Run a task on every row of a data set.",
    "eval": "Measure how good a model is at a task, with intervals.",
    "compare": "Compare two or more evaluations on the same rows.",
    "jobs": "List, resume, verify or remove jobs of `score`.",
    "train": "Train a language model, or adapt one to a task.",
    "export": "Export a model as an ONNX bundle, with an adapter merged in.",
    "pull": "Fetch a model and build its bundle.",
    "prompts": "Show the text that a task sends to the model.",
    "lsp": "Serve completions to an editor, as a language server.",
    "serve": "Serve the tasks over HTTP, with a web page and OpenAI's API.",
    "config": "Show the configuration file and what it sets.",
    "models": "List or remove the models on this machine.",
    "plugins": "List, install, check and write plugins.",
    "bench": "Measure how fast a model is on this machine.",
    "doctor": "Check the installation and say what to do.",
    "completion": "Print the shell completion script.",
}
