"""Counts for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = ["Metrics"]

_SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)


class Metrics:
    """What the server counts; each has its own registry, so that several fit into a process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "nlpsuite_requests", "Answered requests.", ("route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "nlpsuite_request_seconds",
            "Time to the end of the answer.",
            ("route",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._tokens = Counter(
            "nlpsuite_tokens", "Tokens read and written.", ("kind",), registry=self._registry
        )

    def request(self, route: str, status: int, seconds: float) -> None:
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def tokens(self, read: int, written: int) -> None:
        self._tokens.labels("read").inc(read)
        self._tokens.labels("written").inc(written)

    def watch(self, name: str, help: str, value: Callable[[], float]) -> None:
        """Report a value that is asked for whenever the counts are read."""
        Gauge(f"nlpsuite_{name}", help, registry=self._registry).set_function(value)

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self._registry)
