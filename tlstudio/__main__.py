"""Where every start of the app comes through: the window, the command line, the engine process."""

from __future__ import annotations

import sys


def main() -> int:
    """Return the exit code."""
    if "--engine-worker" in sys.argv[1:2]:
        from tlstudio.engine.worker import main as serve

        serve()
    from tlstudio.cli import main as command_line

    return command_line(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
