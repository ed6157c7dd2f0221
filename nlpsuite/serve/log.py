"""The server's log on stderr, as lines of text or of JSON."""

from __future__ import annotations

import json
import logging
import time

__all__ = ["set_up_log"]


class _JsonFormatter(logging.Formatter):
    """A JSON object per line: time, level and message, and the fields of a request."""

    def format(self, record: logging.LogRecord) -> str:
        line = {"time": self.formatTime(record), "level": record.levelname.lower()}
        fields = getattr(record, "fields", None)
        line |= fields if fields is not None else {"message": record.getMessage()}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z"


def set_up_log(form: str) -> None:
    """Log requests and errors to stderr.

    Args:
        form: ``text`` or ``json``.
    """
    handler = logging.StreamHandler()
    plain = logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S")
    handler.setFormatter(_JsonFormatter() if form == "json" else plain)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("nlpsuite.serve").setLevel(logging.INFO)
