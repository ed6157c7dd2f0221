"""The provenance of a report: all that is needed to get the same figures."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nlpsuite import __version__
from nlpsuite.files import sha256_file
from nlpsuite.plugins.registry import find_plugin

if TYPE_CHECKING:
    from nlpsuite.data.tables import Table
    from nlpsuite.runtime.bundle import Bundle
    from nlpsuite.tasks.base import Task

__all__ = ["describe_bundle", "hash_of", "model_of", "provenance"]


def hash_of(table: Table) -> dict[str, str]:
    """The sha256 of each file of a table, by file name. Raises OSError."""
    return {path.name: sha256_file(path) for path in table.files}


def model_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Name and sha256 of the model of a job, from the job's manifest."""
    model = manifest["keys"]["model"]
    return {"name": manifest["model"], "sha256": model["sha256"], "adapter_sha256": model.get("adapter")}


def describe_bundle(bundle: Bundle) -> dict[str, str]:
    """Name, precision and fingerprint of a loaded model."""
    return {
        "name": bundle.name,
        "precision": bundle.graph("slots").precision,
        "fingerprint": bundle.fingerprint,
    }


def provenance(task: Task[Any], **parts: Any) -> dict[str, Any]:
    """A report's ``provenance``: date, versions, task and plugin, and then ``parts``."""
    plugin = find_plugin("task", task.name)
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "nlpsuite": __version__,
        "task": {"name": task.name, "version": task.version},
        "plugin": {"distribution": plugin.distribution, "version": plugin.version},
        **parts,
    }
