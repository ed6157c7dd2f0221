"""Running pip, or uv if pip isn't installed, on this environment."""

from __future__ import annotations

import importlib.util
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence

from nlpsuite.errors import PluginInstallError

__all__ = ["installer_command", "run_installer"]


def installer_command(verb: str, *arguments: str) -> list[str]:
    """The command that runs ``pip VERB ARGUMENTS`` on this environment, or the same of uv.

    Args:
        verb: one that pip and uv share, such as ``install`` or ``uninstall``.
        arguments: options and requirements that both understand.

    Raises:
        PluginInstallError: neither pip nor uv is available.
    """
    if importlib.util.find_spec("pip") is not None:
        # -P: a pip.py in the working directory is not pip.
        pip = [sys.executable, "-P", "-m", "pip", "--disable-pip-version-check"]
        return [*pip, verb, *(["--yes"] if verb == "uninstall" else []), *arguments]
    uv = shutil.which("uv")
    if uv is not None:
        return [uv, "pip", verb, "--python", sys.executable, *arguments]
    raise PluginInstallError(
        f"Neither pip nor uv is available to {verb} packages in the environment of {sys.executable}.",
        hint=f"Get pip with: {shlex.quote(sys.executable)} -m ensurepip. Or put uv on the PATH.",
    )


def run_installer(command: Sequence[str]) -> None:
    """Run what ``installer_command`` gave. All of its output goes to stderr.

    Raises:
        PluginInstallError: it failed or could not be started.
    """
    sys.stderr.flush()
    try:
        done = subprocess.run(command, stdout=2, stdin=subprocess.DEVNULL)
    except OSError as error:
        raise PluginInstallError(f"Can't start {command[0]}: {error.strerror}.") from None
    importlib.invalidate_caches()
    if done.returncode:
        raise PluginInstallError(
            f"{shlex.join(command)} failed with code {done.returncode}.",
            hint="See its output above.",
        )
