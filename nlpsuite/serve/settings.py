"""Settings of the server."""

from __future__ import annotations

from dataclasses import dataclass

from nlpsuite.errors import OptionError
from nlpsuite.options import Options, option

__all__ = ["LOOPBACK", "ServeSettings"]

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class ServeSettings(Options):
    """Settings of the server; sizes and times are limits per request unless they say otherwise."""

    host: str = option("127.0.0.1", "Address to listen on; other machines can connect to 0.0.0.0.")
    port: int = option(8000, "Port to listen on; 0 takes a free one.")
    model: str = option("", "Model: a bundle, .gguf file, checkpoint directory or hf:owner/name.")
    precision: str = option("", "Precision of the weights: int8, int4, fp16 or fp32.")
    device: str = option("auto", "Device: auto, cuda or cpu.")
    threads: int = option(0, "CPU threads; 0 uses every core.")
    token: str = option("", "Bearer token that clients must send.", file=True)
    auth: bool = option(True, "Require a token where other machines can connect.")
    allow_host: str = option("", "Further host names that clients may use, separated by commas.")
    cors: str = option("", "Origins of other web pages that may use the server, separated by commas.")
    memory: int = option(2_000, "Megabytes for models; the one used least recently is unloaded.")
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
        if self.host not in LOOPBACK and self.auth and not self.token:
            raise OptionError(
                f"On {self.host} other machines can connect, so a token is needed.",
                hint="Give one with --token @FILE, or allow everyone with --no-auth.",
            )

    @property
    def hosts(self) -> frozenset[str]:
        """Names under which clients may address the server: against DNS rebinding."""
        return frozenset({*LOOPBACK, self.host, *filter(None, self.allow_host.split(","))})

    @property
    def origins(self) -> tuple[str, ...]:
        """Origins of other pages that may use the server."""
        return tuple(origin.strip().rstrip("/") for origin in self.cors.split(",") if origin.strip())
