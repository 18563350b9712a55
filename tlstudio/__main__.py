"""Where every start of the app comes through: window, command line, engine, decoding, spreadsheets."""

from __future__ import annotations

import sys


def main() -> int:
    """Return the exit code."""
    if "--engine-worker" in sys.argv[1:2]:
        from tlstudio.engine.worker import main as serve

        serve()
    if "--decode-worker" in sys.argv[1:2]:
        from tlstudio.core.decode_worker import main as decode

        decode()
    if "--sheet-worker" in sys.argv[1:2]:
        from tlstudio.core.sheet_reader import main as read_sheet

        read_sheet()
    from tlstudio.cli import main as command_line

    return command_line(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
