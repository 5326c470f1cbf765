"""Header fields: the grammars of RFC 9110 section 5.6, in and out.

Parsers take one field value and return plain values; they run in linear time and
raise InvalidHeaderFormat with the position of the fault. A list has at most
`MAX_ELEMENTS` elements, over all the lines of its field. Builders return a value that
the parsers read back. Nothing here knows what a field is good for.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from ..errors import InvalidHeaderFormat, InvalidHeaderValue
from ..escaping import quote

__all__ = [
    "MAX_ELEMENTS",
    "MAX_PARAMETERS",
    "TOKEN",
    "ExtensionHeader",
    "ExtensionParameter",
    "build_authorization_basic",
    "build_extension",
    "build_host",
    "build_subprotocol",
    "build_www_authenticate_basic",
    "combined",
    "has_controls",
    "is_token",
    "is_valid_host",
    "lower",
    "parse_authorization_basic",
    "parse_connection",
    "parse_extension",
    "parse_subprotocol",
    "parse_upgrade",
    "split_host",
    "validate_subprotocols",
]

T = TypeVar("T")

ExtensionParameter = tuple[str, str | None]
ExtensionHeader = tuple[str, list[ExtensionParameter]]

MAX_ELEMENTS = 64
"""Elements of a list: each costs its parsing, and a search later on."""
MAX_PARAMETERS = 16
"""Parameters of an extension: RFC 7692 has four."""

# RFC 9110 section 5.6.2.
TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# Section 5.6.3; never fails to match.
_OWS = re.compile(r"[ \t]*")
# Section 5.6.4. The two alternatives begin differently: no backtracking.
_QUOTED = re.compile(r'"((?:[\t \x21\x23-\x5b\x5d-\x7e]|\\[\t \x21-\x7e])*)"')
_ESCAPE = re.compile(r"\\(.)")
# RFC 9110 section 11.2.
_TOKEN68 = re.compile(r"[-0-9A-Za-z._~+/]+=*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# RFC 3986 section 3.2.2, without IPvFuture, which does not exist.
_HOST = re.compile(
    r"(?:\[([0-9A-Fa-f:.]+)\]|((?:[-0-9A-Za-z._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})+))"
    r"(?::([0-9]*))?"
)
# str.lower() takes U+212A, the sign of kelvin, to "k".
_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


def lower(text: str) -> str:
    """Return ``text`` with A to Z in lower case, and nothing else changed.

    What is compared without case in HTTP is ASCII (RFC 9110 section 5.1, RFC 3986
    section 6.2.2.1). Other characters are not to be taken for ASCII ones.
    """
    return text.lower() if text.isascii() else text.translate(_LOWER)


def is_token(text: str) -> bool:
    """Return whether ``text`` is a token: the form of names and most values."""
    return TOKEN.fullmatch(text) is not None


def has_controls(text: str) -> bool:
    """Return whether ``text`` has a control character of ASCII (RFC 5234, CTL)."""
    return _CONTROL.search(text) is not None


def is_valid_host(value: str) -> bool:
    """Return whether ``value`` is a host with an optional port (RFC 9110, 7.2)."""
    return split_host(value) is not None


def split_host(value: str) -> tuple[str, int | None] | None:
    """Return host, as it is to be compared, and port; None if ``value`` has no host.

    The port is None where none is given. Addresses of IPv6 come in one spelling.
    """
    match = _HOST.fullmatch(value)
    if match is None:
        return None
    address, name, port = match.groups()
    number = None
    if port:
        # RFC 3986 section 3.2.3: any number of digits, so also of zeros in front.
        digits = port.lstrip("0") or "0"
        if len(digits) > 5 or int(digits) > 65535:
            return None
        number = int(digits)
    if address is None:
        return lower(name), number
    try:
        return str(ipaddress.IPv6Address(address)), number
    except ValueError:
        return None


# --- parsing ---------------------------------------------------------------------


def _skip(text: str, pos: int) -> int:
    """Return the position after optional white space."""
    match = _OWS.match(text, pos)
    assert match is not None
    return match.end()


def _token(text: str, pos: int, name: str) -> tuple[str, int]:
    """Return the token at ``pos`` and the position after it."""
    match = TOKEN.match(text, pos)
    if match is None:
        raise InvalidHeaderFormat(name, "expected token", text, pos)
    return match.group(), match.end()


def _list(
    text: str, name: str, parse_item: Callable[[str, int, str], tuple[T, int]]
) -> list[T]:
    """Return the elements of a comma-separated list (RFC 9110 section 5.6.1).

    Empty elements count for nothing, wherever they are, as section 5.6.1.2 demands:
    "a reasonable number" of them, "but not so much that they could be used as a denial
    of service mechanism".
    """
    items: list[T] = []
    empty = 0
    pos = _skip(text, 0)
    while pos < len(text):
        if text[pos] == ",":
            empty += 1
            if empty > MAX_ELEMENTS:
                fault = f"more than {MAX_ELEMENTS} empty elements"
                raise InvalidHeaderFormat(name, fault, text, pos)
            pos = _skip(text, pos + 1)
            continue
        if len(items) == MAX_ELEMENTS:
            fault = f"more than {MAX_ELEMENTS} elements"
            raise InvalidHeaderFormat(name, fault, text, pos)
        item, pos = parse_item(text, pos, name)
        items.append(item)
        pos = _skip(text, pos)
        if pos == len(text):
            break
        if text[pos] != ",":
            raise InvalidHeaderFormat(name, "expected comma", text, pos)
        pos = _skip(text, pos + 1)
    return items


def combined(values: Sequence[str]) -> str:
    """Return the one value that the lines of a list field stand for (RFC 9110, 5.3)."""
    return values[0] if len(values) == 1 else ", ".join(values)


def parse_connection(header: str) -> list[str]:
    """Return the options of a Connection field, as they were written."""
    return _list(header, "Connection", _token)


def _protocol(text: str, pos: int, name: str) -> tuple[str, int]:
    start = pos
    _, pos = _token(text, pos, name)
    if pos < len(text) and text[pos] == "/":
        _, pos = _token(text, pos + 1, name)
    return text[start:pos], pos


def parse_upgrade(header: str) -> list[str]:
    """Return the protocols of an Upgrade field: names, with a version if given."""
    return _list(header, "Upgrade", _protocol)


def parse_subprotocol(header: str) -> list[str]:
    """Return the names in a Sec-WebSocket-Protocol field, in order."""
    return _list(header, "Sec-WebSocket-Protocol", _token)


def _parameter(text: str, pos: int, name: str) -> tuple[ExtensionParameter, int]:
    """Return one extension parameter: a name, and a value unless it has none.

    White space is allowed around "=", for RFC 6455 section 4.3 keeps the implied
    white space of RFC 2616.
    """
    key, pos = _token(text, pos, name)
    after = _skip(text, pos)
    if after == len(text) or text[after] != "=":
        return (key, None), pos
    pos = _skip(text, after + 1)
    if pos == len(text) or text[pos] != '"':
        value, pos = _token(text, pos, name)
        return (key, value), pos
    match = _QUOTED.match(text, pos)
    if match is None:
        raise InvalidHeaderFormat(name, "expected quoted string", text, pos)
    value = _ESCAPE.sub(r"\1", match.group(1))
    if not is_token(value):
        # RFC 6455 section 9.1: unescaped, it "MUST conform to the 'token' ABNF".
        raise InvalidHeaderFormat(name, "expected token inside quotes", text, pos)
    return (key, value), match.end()


def _extension(text: str, pos: int, name: str) -> tuple[ExtensionHeader, int]:
    extension, pos = _token(text, pos, name)
    parameters: list[ExtensionParameter] = []
    while True:
        after = _skip(text, pos)
        if after == len(text) or text[after] != ";":
            return (extension, parameters), pos
        pos = _skip(text, after + 1)
        if len(parameters) == MAX_PARAMETERS:
            fault = f"more than {MAX_PARAMETERS} parameters"
            raise InvalidHeaderFormat(name, fault, text, pos)
        parameter, pos = _parameter(text, pos, name)
        parameters.append(parameter)


def parse_extension(header: str) -> list[ExtensionHeader]:
    """Return the extensions of a Sec-WebSocket-Extensions field, in order.

    Each is its name and a list of (name, value) parameters; the value is None where
    there is none. RFC 6455 section 9.1.
    """
    return _list(header, "Sec-WebSocket-Extensions", _extension)


def parse_authorization_basic(header: str) -> tuple[str, str]:
    """Return the user name and password of an Authorization field (RFC 7617).

    Bytes that are not UTF-8 come through as surrogate escapes. Raises
    InvalidHeaderFormat and InvalidHeaderValue.
    """
    name = "Authorization"
    scheme, pos = _token(header, 0, name)
    if lower(scheme) != "basic":
        raise InvalidHeaderValue(name, f"unsupported scheme: {scheme}")
    if pos == len(header) or header[pos] != " ":
        raise InvalidHeaderFormat(name, "expected space", header, pos)
    while pos < len(header) and header[pos] == " ":
        pos += 1
    match = _TOKEN68.fullmatch(header, pos)
    if match is None:
        raise InvalidHeaderFormat(name, "expected base64", header, pos)
    try:
        user_pass = base64.b64decode(match.group(), validate=True)
    except binascii.Error:
        raise InvalidHeaderValue(name, "expected base64-encoded credentials") from None
    username, colon, password = user_pass.decode(errors="surrogateescape").partition(
        ":"
    )
    if not colon:
        raise InvalidHeaderValue(name, "expected username:password credentials")
    if has_controls(username) or has_controls(password):
        # Section 2: they "MUST NOT contain any control characters".
        raise InvalidHeaderValue(name, "control character in credentials")
    return username, password


# --- building --------------------------------------------------------------------


def validate_subprotocols(subprotocols: Sequence[str]) -> None:
    """Raise TypeError or ValueError unless these can be offered or supported."""
    if isinstance(subprotocols, (str, bytes)):
        kind = type(subprotocols).__name__
        raise TypeError(f"subprotocols must be a list of str, not a {kind}")
    if not isinstance(subprotocols, Iterable):
        kind = type(subprotocols).__name__
        raise TypeError(f"subprotocols must be a list of str, not {kind}")
    for subprotocol in subprotocols:
        if not isinstance(subprotocol, str):
            kind = type(subprotocol).__name__
            raise TypeError(f"subprotocols must be a list of str, not of {kind}")
        if not is_token(subprotocol):
            found = quote(subprotocol)
            raise ValueError(f"invalid subprotocol: {found}; a token is needed")


def build_subprotocol(subprotocols: Iterable[str]) -> str:
    """Return the Sec-WebSocket-Protocol field for these names."""
    return ", ".join(subprotocols)


def build_extension(
    extensions: Iterable[tuple[str, Iterable[ExtensionParameter]]],
) -> str:
    """Return the Sec-WebSocket-Extensions field for these extensions."""
    return ", ".join(
        "; ".join(
            [name, *(key if v is None else f"{key}={v}" for key, v in parameters)]
        )
        for name, parameters in extensions
    )


def build_host(
    host: str, port: int, secure: bool, *, always_include_port: bool = False
) -> str:
    """Return the Host field; the port is left out where it is the default one."""
    if ":" in host:
        # A zone is for this machine alone (RFC 6874 section 4).
        host = f"[{host.partition('%')[0]}]"
    if port == (443 if secure else 80) and not always_include_port:
        return host
    return f"{host}:{port}"


def build_authorization_basic(username: str, password: str) -> str:
    """Return the Authorization field for these credentials (RFC 7617).

    Raises ValueError for a colon in ``username``, which could not be read back, and for
    control characters, which section 2 forbids.
    """
    if ":" in username:
        raise ValueError("user name contains a colon; Basic authentication forbids it")
    if has_controls(username) or has_controls(password):
        raise ValueError(
            "user name or password contains control characters; "
            "Basic authentication forbids them"
        )
    user_pass = f"{username}:{password}".encode(errors="surrogateescape")
    return f"Basic {base64.b64encode(user_pass).decode()}"


def build_www_authenticate_basic(realm: str) -> str:
    """Return the WWW-Authenticate field that asks for credentials (RFC 7617).

    Raises ValueError for a realm with control or non-ASCII characters.
    """
    if not (realm.isascii() and realm.isprintable()):
        raise ValueError(f"realm {quote(realm)} is not printable ASCII")
    quoted = realm.replace("\\", "\\\\").replace('"', '\\"')
    return f'Basic realm="{quoted}", charset="UTF-8"'
