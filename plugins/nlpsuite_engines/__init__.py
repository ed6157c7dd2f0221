"""Engines: what runs the chunks of a job. On this machine, or on a Ray cluster."""

from __future__ import annotations

from nlpsuite import hookimpl
from nlpsuite.jobs.engine import Engine


@hookimpl
def nlpsuite_engine(name: str) -> Engine:
    if name == "ray":
        from nlpsuite_engines.ray_engine import run_on_ray

        return run_on_ray
    from nlpsuite_engines.local import run_here

    return run_here
