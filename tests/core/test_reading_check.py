"""The check of this computer's own decoders notices a missing one."""

from __future__ import annotations

import pytest
from PIL import Image, WebPImagePlugin

from tlstudio.core.reading_check import unread_formats


def test_all_is_well_here():
    assert unread_formats() == ()


def test_a_missing_decoder_is_noticed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(Image.OPEN, WebPImagePlugin.WebPImageFile.format)
    assert unread_formats() == ("WEBP",)
