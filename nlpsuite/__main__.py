"""``python -m nlpsuite``."""

from nlpsuite.cli import main

main()
