"""Names for the types of arguments, as programs written for the documents use them."""

from __future__ import annotations

import http
import os
from typing import NewType

from ..connection import Data
from ..options import LoggerLike

__all__ = [
    "Data",
    "ExtensionName",
    "ExtensionParameter",
    "LoggerLike",
    "Origin",
    "StatusLike",
    "Subprotocol",
]

BytesLike = bytes | bytearray | memoryview
DataLike = str | bytes | bytearray | memoryview
PathLike = str | os.PathLike[str]

StatusLike = http.HTTPStatus | int
"""What stands for an HTTP status."""

Origin = NewType("Origin", str)
"""The value of an Origin header."""

Subprotocol = NewType("Subprotocol", str)
"""A name in Sec-WebSocket-Protocol."""

ExtensionName = NewType("ExtensionName", str)
"""The name of an extension in Sec-WebSocket-Extensions."""

ExtensionParameter = tuple[str, str | None]
"""A parameter of an extension: its name, and its value if it has one."""

ExtensionHeader = tuple[ExtensionName, list[ExtensionParameter]]
ConnectionOption = NewType("ConnectionOption", str)
UpgradeProtocol = NewType("UpgradeProtocol", str)
