"""Pictures: whether bytes are what a file of an app must be."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import NamedTuple

from PIL import Image

from service.api.assets import MediaFile
from service.api.messages import MessagesError, error, invalid

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_FIRST = b"\x00\x00\x00\x0dIHDR"
_HEAD = struct.Struct(">I4s")
"""Of a chunk: how many bytes it holds, and of what kind it is."""
_SIZE_BYTES = 4
_CHECKSUM = struct.Struct(">I")
"""At a chunk's end, of its kind and its bytes."""
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
    if content[start : start + len(_FIRST)] != _FIRST or not _is_whole(content):
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


def _is_whole(content: bytes) -> bool:
    """Say whether these are chunks as they were written, to the one that ends a picture, and nothing else."""
    start = len(_SIGNATURE)
    while len(content) - start >= _HEAD.size + _CHECKSUM.size:
        size: int
        size, kind = _HEAD.unpack_from(content, start)
        end = start + _HEAD.size + size
        if end + _CHECKSUM.size > len(content):
            return False
        # The decoder passes over some chunks without a look, and stops at the last one.
        checked = memoryview(content)[start + _SIZE_BYTES : end]
        if (zlib.crc32(checked),) != _CHECKSUM.unpack_from(content, end):
            return False
        start = end + _CHECKSUM.size
        if kind == b"IEND":
            # What follows is no part of the picture, and may be a file of another kind.
            return size == 0 and start == len(content)
    return False


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
