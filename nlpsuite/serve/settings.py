"""Settings of the server."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from nlpsuite.errors import OptionError
from nlpsuite.options import Options, option

__all__ = ["ServeSettings"]


@dataclass(frozen=True)
class ServeSettings(Options):
    """Settings of the server; sizes and times are limits per request unless they say otherwise."""

    host: str = option("127.0.0.1", "Address to listen on; other machines can connect to 0.0.0.0.")
    port: int = option(8000, "Port to listen on; 0 takes a free one.")
    model: str = option(
        "",
        "Models, separated by commas: bundles, .gguf files, checkpoint directories or hf:owner/name; NAME=MODEL "
        "gives one a name. The first is the default.",
    )
    task: str = option(
        "", "Tasks to serve, separated by commas, loaded at the start; without it all, loaded when asked for."
    )
    precision: str = option("", "Precision of the weights: int8, int4, fp16 or fp32.")
    device: str = option("auto", "Device: auto, cuda or cpu.")
    threads: int = option(0, "CPU threads; 0 uses every core.")
    token: str = option("", "Bearer token that clients must send.", file=True)
    auth: bool = option(True, "Require a token where other machines can connect.")
    allow_host: str = option(
        "", "Further host names that clients may use, separated by commas; * allows all."
    )
    cors: str = option("", "Origins of other web pages that may use the server, separated by commas.")
    memory: int = option(
        2_000, "Megabytes for models and the texts they work on; the model used least recently is unloaded."
    )
    concurrency: int = option(32, "Requests that run at a time, of all clients.")
    queue: int = option(256, "Requests that wait for their turn, of all clients.")
    timeout: float = option(300.0, "Seconds that a request may run.")
    max_body: int = option(10_000_000, "Bytes of a request's body.")
    max_tokens: int = option(4_096, "Tokens that a request may generate.")
    max_batch: int = option(256, "Texts in a request.")
    log_format: str = option("text", "Format of the log: text or json.")

    def __post_init__(self) -> None:
        checks = {
            "port": (0 <= self.port < 65_536, "between 0 and 65,535"),
            "timeout": (self.timeout > 0, "above 0"),
            "log_format": (self.log_format in ("text", "json"), "text or json"),
            **{
                name: (getattr(self, name) > 0, "1 or more")
                for name in ("memory", "concurrency", "max_body", "max_tokens", "max_batch")
            },
            "queue": (self.queue >= 0, "0 or more"),
        }
        for name, (good, allowed) in checks.items():
            if not good:
                raise OptionError(f"{name} is {getattr(self, name)!r}, must be {allowed}.")
        # As a header has it; a file ends with a line break.
        object.__setattr__(self, "token", self.token.strip())
        if not self.token.isascii() or not self.token.isprintable() or " " in self.token:
            raise OptionError("token must consist of printable ASCII characters without spaces.")
        if not self.is_loopback and self.auth and not self.token:
            raise OptionError(
                f"On {self.host} other machines can connect, so a token is needed.",
                hint="Give one with --token @FILE, or allow everyone with --no-auth.",
            )

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:  # a name
            return False

    @property
    def hosts(self) -> frozenset[str]:
        """Names under which clients may address the server."""
        return frozenset({"localhost", self.host.lower(), *map(str.lower, _items(self.allow_host))})

    @property
    def origins(self) -> tuple[str, ...]:
        """Origins of other pages that may use the server."""
        return tuple(origin.rstrip("/") for origin in _items(self.cors))

    @property
    def models(self) -> list[tuple[str, str]]:
        """The models with their names, which are empty where none is given."""
        named = re.compile(r"([\w.-]+)=(.+)")
        found = [named.fullmatch(item) for item in _items(self.model)]
        return [
            (match[1], match[2]) if match else ("", item) for match, item in zip(found, _items(self.model))
        ] or [("", "")]

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks to serve; empty for all."""
        return tuple(_items(self.task))


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]
