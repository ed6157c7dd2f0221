"""What was typed in earlier dialogues, for the arrow keys: kept on this machine, readable by the user alone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

__all__ = ["kept_lines"]

_MOST_LINES = 1_000


def kept_lines(file: Path) -> Callable[[], None]:
    """Give ``input`` line editing and the history in ``file``.

    Where there is no readline (Windows) or the file can't be used, input works without.

    Returns:
        A function that adds what was typed since to the file; called after each message, since a
        terminal may be closed at any time.
    """
    try:
        import readline
    except ImportError:
        return lambda: None
    readline.clear_history()
    with contextlib.suppress(OSError):
        readline.read_history_file(file)
    kept = readline.get_current_history_length()
    if kept > _MOST_LINES:
        with contextlib.suppress(OSError):
            readline.set_history_length(_MOST_LINES)
            readline.write_history_file(file)

    def keep() -> None:
        nonlocal kept
        new = readline.get_current_history_length() - kept
        with contextlib.suppress(OSError):
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Made here, so that it is never readable for others, not even for a moment.
            os.close(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600))
            file.chmod(0o600)
            # Appended, since other dialogues may go on at the same time.
            readline.append_history_file(new, file)
            kept += new

    return keep
