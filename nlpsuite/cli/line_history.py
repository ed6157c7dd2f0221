"""What was typed in earlier dialogues, for the arrow keys: kept on this machine, readable by the user alone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["kept_lines"]

_MOST_LINES = 1_000


@contextlib.contextmanager
def kept_lines(file: Path) -> Iterator[None]:
    """Give ``input`` line editing and the history in ``file``; what is typed meanwhile is added to it.

    Where there is no readline (Windows) or the file can't be used, input works without.
    """
    try:
        import readline
    except ImportError:
        yield
        return
    readline.clear_history()
    with contextlib.suppress(OSError):
        readline.read_history_file(file)
    before = readline.get_current_history_length()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Made here, so that it is never readable for others, not even for a moment.
            os.close(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600))
            # Appended, since another dialogue may have ended meanwhile.
            readline.append_history_file(readline.get_current_history_length() - before, file)
            readline.set_history_length(_MOST_LINES)
            readline.clear_history()
            readline.read_history_file(file)
            if readline.get_current_history_length() > _MOST_LINES:
                readline.write_history_file(file)
            file.chmod(0o600)
