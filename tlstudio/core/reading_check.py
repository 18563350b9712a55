"""Whether this computer's Pillow reads what is promised: asked when suspiciously many pictures cannot be read."""

from __future__ import annotations

import io

from PIL import Image

from tlstudio.core.images import SUFFIXES_OF, decode

_COLOUR = (200, 60, 30)
_TOLERANCE = 16


def unread_formats() -> tuple[str, ...]:
    """Return the promised formats in which a small picture does not come back as it was saved; none if all is well."""
    return tuple(kind for kind in SUFFIXES_OF if not _comes_back(kind))


def _comes_back(kind: str) -> bool:
    try:
        buffer = io.BytesIO()
        Image.new("RGB", (32, 32), _COLOUR).save(buffer, kind)
        seen = decode(buffer.getvalue()).getpixel((16, 16))
    except Exception:  # whatever is wrong with the installation
        return False
    assert isinstance(seen, tuple)
    return all(abs(value - meant) <= _TOLERANCE for value, meant in zip(seen, _COLOUR, strict=True))
