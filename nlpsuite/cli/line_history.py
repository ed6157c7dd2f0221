"""The lines typed in earlier dialogues, for the arrow keys: stored on this machine, readable only by the user."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

__all__ = ["open_history"]

_MOST_LINES = 1_000


def open_history(file: Path) -> Callable[[], None]:
    """Give ``input`` line editing and the history in ``file``.

    Without readline (on Windows) or a usable file, input works without them.

    Returns:
        A function that appends the lines typed since to the file. Call it after each message, since a
        terminal may be closed at any time.
    """
    try:
        import readline
    except ImportError:
        return lambda: None
    readline.clear_history()
    with contextlib.suppress(OSError):
        readline.read_history_file(file)
    saved = readline.get_current_history_length()
    if saved > _MOST_LINES:
        with contextlib.suppress(OSError):
            readline.set_history_length(_MOST_LINES)
            readline.write_history_file(file)

    def save() -> None:
        nonlocal saved
        new = readline.get_current_history_length() - saved
        with contextlib.suppress(OSError):
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Created here, so that others can never read it, not even for a moment.
            os.close(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600))
            file.chmod(0o600)
            # Appended, since other dialogues may run at the same time.
            readline.append_history_file(new, file)
            saved += new

    return save
