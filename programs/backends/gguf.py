"""Reads what a GGUF file says about itself.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (version 2 and 3, little-endian).
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, BinaryIO

from programs.errors import ConfigurationError

_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9


def context_length(path: Path) -> int | None:
    """The window in tokens that the weights were trained on; None where the file does not say.

    Raises:
        ConfigurationError: `path` is not a GGUF file.
    """
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise ConfigurationError(f"{path} is not a GGUF file: it does not begin with the letters GGUF")
        try:
            _version, _tensors, entries = struct.unpack("<IQQ", file.read(20))
            for _ in range(entries):
                key = _string(file)
                value = _value(file, *struct.unpack("<I", file.read(4)))
                if key.endswith(".context_length"):
                    return int(value)
        except struct.error as error:
            raise ConfigurationError(f"{path} is cut off: fetch it again") from error
    return None


def _string(file: BinaryIO) -> str:
    (length,) = struct.unpack("<Q", file.read(8))
    return file.read(length).decode(errors="replace")


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _string(file)
    if kind == _ARRAY:
        inner, length = struct.unpack("<IQ", file.read(12))
        for _ in range(length):
            _value(file, inner)
        return None
    form = _SCALARS[kind]
    return struct.unpack(form, file.read(struct.calcsize(form)))[0]
