"""Pictures laid out in a plane by what a network sees in them."""

from __future__ import annotations

from tlstudio.core.events import Emit, ShouldStop
from tlstudio.core.jobs import Map
from tlstudio.core.results import PictureMap


def lay_out(job: Map, emit: Emit, should_stop: ShouldStop) -> PictureMap:
    """Return where every usable picture lies. Raises StudioError, Stopped."""
    raise NotImplementedError
