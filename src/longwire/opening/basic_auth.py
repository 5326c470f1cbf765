"""Basic: HTTP Basic authentication (RFC 7617) as a plan for ``process_request``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..errors import InvalidHeader
from ..http.auth import CredentialsChecker
from ..http.headers import build_www_authenticate_basic, parse_authorization_basic
from ..http.heads import Request, Response
from .arguments import check_callback
from .steps import Call, Plan

__all__ = ["BasicAuth", "Credentials"]

Credentials = tuple[str, str]


class BasicAuth:
    """Who may connect: the arguments of ``basic_auth()``, checked.

    Raises ValueError unless exactly one of the two ways is given or when the realm is
    not ASCII, TypeError for anything else than these.
    """

    def __init__(
        self,
        realm: str,
        credentials: Credentials | Iterable[Credentials] | None,
        check_credentials: Callable[[str, str], Any] | None,
    ) -> None:
        if (credentials is None) == (check_credentials is None):
            raise ValueError(
                "give either credentials or check_credentials: write "
                "basic_auth('realm', ('user', 'password'))"
            )
        self._challenge = build_www_authenticate_basic(realm)
        if credentials is not None:
            self._check: Callable[[str, str], Any] = CredentialsChecker(credentials)
        elif callable(check_credentials):
            parameters = ("username", "password")
            check_callback("check_credentials", check_credentials, parameters)
            self._check = check_credentials
        else:
            kind = type(check_credentials).__name__
            raise TypeError(f"check_credentials must be a function, not {kind}")

    def plan(self, connection: Any, request: Request) -> Plan[Response | None]:
        """Return the response that refuses ``request``, None to let it in."""
        values = request.headers.get_all("Authorization")
        if not values:
            return self._refuse(connection, "Missing credentials\n")
        try:
            (value,) = values
            username, password = parse_authorization_basic(value)
        except (InvalidHeader, ValueError):
            return self._refuse(connection, "Unsupported credentials\n")
        if not (yield Call(self._check, (username, password))):
            return self._refuse(connection, "Invalid credentials\n")
        connection.username = username
        return None

    def _refuse(self, connection: Any, text: str) -> Response:
        response: Response = connection.respond(401, text)
        response.headers["WWW-Authenticate"] = self._challenge
        return response
