"""HTTP Basic authentication (RFC 7617) as a ``process_request`` for ``serve``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from ..http.heads import Request, Response
from ..opening.basic_auth import BasicAuth, Credentials
from .driver import Stream, run
from .server import ServerConnection

__all__ = ["basic_auth"]


def basic_auth(
    realm: str = "",
    credentials: Credentials | Iterable[Credentials] | None = None,
    check_credentials: Callable[[str, str], Awaitable[bool] | bool] | None = None,
) -> Callable[[ServerConnection, Request], Awaitable[Response | None]]:
    """Return a ``process_request`` that lets in only who has credentials.

    ::

        serve(..., process_request=basic_auth("staging", ("user", "password")))

    ``credentials`` is a (user name, password) pair or an iterable of pairs, compared
    in constant time; ``check_credentials(username, password)``, a function or a
    coroutine, decides instead. Handlers find the name in ``connection.username``;
    others get 401. Raises ValueError unless exactly one of the two is given or when the
    realm is not ASCII, TypeError for anything else than these.
    """
    auth = BasicAuth(realm, credentials, check_credentials)

    async def process_request(
        connection: ServerConnection, request: Request
    ) -> Response | None:
        return await run(auth.plan(connection, request), Stream())

    return process_request


# Given as a callback itself, it is answered with how it is called.
basic_auth._is_called_first = (  # type: ignore[attr-defined]
    "basic_auth('realm', ('user', 'password'))"
)
