"""``python -m nlpsuite``."""

import os
import sys

# Python puts the working directory first; modules lying there must not be imported.
if not sys.flags.safe_path and sys.path and sys.path[0] in ("", os.getcwd()):
    del sys.path[0]

from nlpsuite.cli import main

main()
