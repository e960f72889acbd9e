"""Pictures: whether bytes are what a file of an app must be."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import NamedTuple

from PIL import Image

from service.api.assets import MediaFile
from service.api.messages import MessagesError, error, invalid

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_FIRST = b"\x00\x00\x00\x0dIHDR"
_LAST = b"\x00\x00\x00\x00IEND\xaeB`\x82"
_OPAQUE = 255


class _Picture(NamedTuple):
    """What only decoding says of a picture."""

    least_alpha: int
    """Of its pixels, 0 to 255."""
    is_animated: bool


def check_picture(content: bytes, file: MediaFile) -> None:
    """
    Raise `MessagesError` where the bytes are not what *file* must be: 415, no PNG; 400, not such a one.

    Source:
        PNG (Third Edition), 5 and 11.2.
    """
    if not content.startswith(_SIGNATURE):
        raise MessagesError(415, [error("asset.not.png", "The file is not a PNG")])
    start, size = len(_SIGNATURE), struct.Struct(">II")
    # What follows the last chunk is no part of the picture, and may be a file of another kind.
    if content[start : start + len(_FIRST)] != _FIRST or not content.endswith(_LAST):
        raise _broken()
    width, height = size.unpack_from(content, start + len(_FIRST))
    # Before anything is decoded: a small file may hold a picture that no memory does.
    if (width, height) != (file.width, file.height):
        text = "{{name}} must be {{wanted}} pixels, not {{found}}"
        wanted, found = f"{file.width}x{file.height}", f"{width}x{height}"
        raise MessagesError(400, [invalid("asset.size", text, name=file.name, wanted=wanted, found=found)])
    picture = _decode(content)
    if picture.is_animated:
        raise MessagesError(400, [invalid("asset.animated", "The file must be one picture, not several")])
    if file.is_transparent and picture.least_alpha == _OPAQUE:
        text = "{{name}} must be transparent in parts"
        raise MessagesError(400, [invalid("asset.opaque", text, name=file.name)])


def _decode(content: bytes) -> _Picture:
    try:
        with Image.open(BytesIO(content), formats=["PNG"]) as opened:
            alphas = opened.convert("RGBA").getchannel("A").histogram()
            is_animated = bool(getattr(opened, "is_animated", False))
    except Exception as failure:
        # Bytes of strangers: a decoder meets them with whatever it comes upon, a zlib.error as well as a SyntaxError.
        raise _broken() from failure
    return _Picture(next(alpha for alpha, count in enumerate(alphas) if count), is_animated)


def _broken() -> MessagesError:
    return MessagesError(400, [invalid("asset.broken", "The PNG is damaged, or has something after its end")])
