"""Names for the types of arguments, as programs written for the documents use them."""

from __future__ import annotations

import os
from typing import NewType

from ..connection import Data
from ..http.fields import ExtensionParameter
from ..http.names import ExtensionName, Origin, StatusLike, Subprotocol
from ..options import LoggerLike

__all__ = [
    "Data",
    "ExtensionHeader",
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

ExtensionHeader = tuple[ExtensionName, list[ExtensionParameter]]
ConnectionOption = NewType("ConnectionOption", str)
UpgradeProtocol = NewType("UpgradeProtocol", str)
