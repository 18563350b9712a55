"""Whether the classes can be told apart by what is not their subject: the border, the size, the camera."""

from __future__ import annotations

from tlstudio.core.events import Emit, ShouldStop
from tlstudio.core.jobs import Shortcuts
from tlstudio.core.results import ShortcutRow


def find_shortcuts(job: Shortcuts, emit: Emit, should_stop: ShouldStop) -> list[ShortcutRow]:
    """Return a row a clue that the pictures have, the most telling first. Raises StudioError, Stopped."""
    raise NotImplementedError
