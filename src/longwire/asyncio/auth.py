"""HTTP Basic authentication (RFC 7617) as a ``process_request`` for ``serve``."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable

from ..errors import InvalidHeader
from ..http.auth import CredentialsChecker
from ..http.headers import build_www_authenticate_basic, parse_authorization_basic
from ..http.heads import Request, Response
from .server_connection import ServerConnection

__all__ = ["basic_auth"]

Credentials = tuple[str, str]
Check = Callable[[str, str], Awaitable[bool] | bool]


def basic_auth(
    realm: str = "",
    credentials: Credentials | Iterable[Credentials] | None = None,
    check_credentials: Check | None = None,
) -> Callable[[ServerConnection, Request], Awaitable[Response | None]]:
    """Return a ``process_request`` that lets in only who has credentials.

    ::

        serve(..., process_request=basic_auth("staging", ("user", "password")))

    ``credentials`` is a (user name, password) pair or an iterable of pairs, compared
    in constant time; ``check_credentials(username, password)``, a function or
    coroutine, decides instead. Handlers find the name in ``connection.username``;
    others get 401. Raises ValueError unless exactly one of the two is given or when
    the realm is not ASCII, TypeError for anything else than these.
    """
    if (credentials is None) == (check_credentials is None):
        raise ValueError("give either credentials or check_credentials")
    challenge = build_www_authenticate_basic(realm)
    if credentials is not None:
        check: Check = CredentialsChecker(credentials)
    elif callable(check_credentials):
        check = check_credentials
    else:
        kind = type(check_credentials).__name__
        raise TypeError(f"check_credentials must be a function, not {kind}")

    def refuse(connection: ServerConnection, text: str) -> Response:
        response = connection.respond(401, text)
        response.headers["WWW-Authenticate"] = challenge
        return response

    async def process_request(
        connection: ServerConnection, request: Request
    ) -> Response | None:
        values = request.headers.get_all("Authorization")
        if not values:
            return refuse(connection, "Missing credentials\n")
        try:
            (value,) = values
            username, password = parse_authorization_basic(value)
        except (InvalidHeader, ValueError):
            return refuse(connection, "Unsupported credentials\n")
        valid = check(username, password)
        if inspect.isawaitable(valid):
            valid = await valid
        if not valid:
            return refuse(connection, "Invalid credentials\n")
        connection.username = username
        return None

    return process_request
