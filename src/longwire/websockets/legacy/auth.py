"""Basic authentication (RFC 7617) by protocol class, as in editions 8 to 13.

The credentials are compared by longwire's checker, in constant time.
"""

from __future__ import annotations

import functools
import http
import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from ...errors import InvalidHeader
from ...http.auth import CredentialsChecker
from ...http.headers import (
    MultipleValuesError,
    build_www_authenticate_basic,
    parse_authorization_basic,
)
from ..aliases import give_aliases
from ..datastructures import Headers
from .opening import HTTPResponse
from .server import WebSocketServerProtocol

__all__ = ["BasicAuthWebSocketServerProtocol", "basic_auth_protocol_factory"]

Credentials = tuple[str, str]
Check = Callable[[str, str], Awaitable[bool] | bool]


def is_credentials(value: Any) -> bool:
    """Return whether ``value`` is a pair of a user name and a password."""
    try:
        username, password = value
    except (TypeError, ValueError):
        return False
    return isinstance(username, str) and isinstance(password, str)


class BasicAuthWebSocketServerProtocol(WebSocketServerProtocol):
    """A client's connection, let in only with credentials.

    Override ``check_credentials()``, or pass a coroutine. ``realm`` may also be set by
    a subclass; it has to be ASCII. ``username`` is who was let in.
    """

    realm: str = ""
    username: str | None = None

    def __init__(
        self,
        *args: Any,
        realm: str | None = None,
        check_credentials: Check | None = None,
        **kwargs: Any,
    ) -> None:
        if realm is not None:
            self.realm = realm
        self._check_credentials = check_credentials
        super().__init__(*args, **kwargs)

    async def check_credentials(self, username: str, password: str) -> bool:
        """Return whether ``password`` is that of ``username``."""
        if self._check_credentials is None:
            return False
        valid = self._check_credentials(username, password)
        return await valid if inspect.isawaitable(valid) else valid

    async def process_request(
        self, path: str, request_headers: Headers
    ) -> HTTPResponse | None:
        """Answer 401 without valid credentials, else go on."""
        try:
            value = request_headers["Authorization"]
        except KeyError:
            return self._refuse("Missing credentials\n")
        except MultipleValuesError:
            return self._refuse("Unsupported credentials\n")
        try:
            username, password = parse_authorization_basic(value)
        except (InvalidHeader, ValueError):
            return self._refuse("Unsupported credentials\n")
        if not await self.check_credentials(username, password):
            return self._refuse("Invalid credentials\n")
        self.username = username
        return await super().process_request(path, request_headers)

    def _refuse(self, text: str) -> HTTPResponse:
        challenge = build_www_authenticate_basic(self.realm)
        headers = [("WWW-Authenticate", challenge)]
        return http.HTTPStatus.UNAUTHORIZED, headers, text.encode()


def basic_auth_protocol_factory(
    realm: str | None = None,
    credentials: Credentials | Iterable[Credentials] | None = None,
    check_credentials: Check | None = None,
    create_protocol: Callable[..., Any] | None = None,
) -> Callable[..., Any]:
    """Return a ``create_protocol`` for ``serve`` that asks for credentials.

    ``credentials`` is a (user name, password) pair or an iterable of pairs;
    ``check_credentials(username, password)`` decides instead. Raises TypeError unless
    exactly one of the two is given, and for anything else than these.
    """
    if (credentials is None) == (check_credentials is None):
        raise TypeError("provide either credentials or check_credentials")
    if credentials is not None:
        check_credentials = CredentialsChecker(credentials)
    elif not callable(check_credentials):
        kind = type(check_credentials).__name__
        raise TypeError(f"check_credentials must be a coroutine function, not {kind}")
    if create_protocol is None:
        create_protocol = BasicAuthWebSocketServerProtocol
    keywords: dict[str, Any] = {"check_credentials": check_credentials}
    if realm is not None:
        build_www_authenticate_basic(realm)  # refuses what is not ASCII
        keywords["realm"] = realm
    return functools.partial(create_protocol, **keywords)


give_aliases(globals())
