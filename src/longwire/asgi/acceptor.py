"""The opening handshake of a connection whose application decides by events.

The request is read and checked as by ``serve``; then the application is asked, for as
long as it takes, and its answer is written: a 101, or a response that refuses.
"""

from __future__ import annotations

from typing import Any

from ..errors import InvalidHandshake, LimitExceeded
from ..http import handshake
from ..http.extensions import grant, split
from ..http.fields import validate_subprotocols
from ..http.headers import Headers
from ..http.heads import Request, RequestReader, Response
from ..opening.server_plan import Acceptor, Refused
from ..opening.steps import Opened, Plan

__all__ = ["Opening"]


class Opening(Acceptor):
    """An opening handshake in two steps: a request, and later its answer."""

    default_headers: Headers
    """Fields of the server for each response: Date, Server and what it was told."""

    subprotocols: list[str]
    """What the client offers, in order; known when the request is."""

    _request: Request
    _key: str
    _rest: bytes

    def reading(self) -> Plan[Refused | None]:
        """Return the plan that reads the request: None where it may be accepted."""
        settings = self._settings
        limits = settings.limits
        reader = RequestReader(
            limits.handshake_line, limits.handshake_headers, limits.handshake_bytes
        )
        try:
            try:
                self._request = request = yield from self.read_request(reader)
                self._connection.request = request
                self._check_available()
                self._key = handshake.check_request(request)
                handshake.check_origin(request, settings.origins, secure=self._secure)
                self.subprotocols = handshake.offered_subprotocols(request.headers)
                self._granted = grant(
                    request.headers.get_all("Sec-WebSocket-Extensions"),
                    settings.extensions,
                )
            except (InvalidHandshake, LimitExceeded) as exc:
                return (yield from self.refuse_request(exc))
        except OSError as exc:
            return Refused(None, exc)  # the peer is gone
        self._rest = reader.rest
        return None

    def accept(self, subprotocol: str | None, headers: Headers) -> Opened:
        """Return the answer that opens the connection: ``response`` is to be written.

        A client that did not offer ``subprotocol`` gets it all the same, and may end
        the connection for it: what applications choose is theirs. Raises TypeError or
        ValueError for what cannot be sent.
        """
        if subprotocol is not None:
            validate_subprotocols([subprotocol])
        granted, extensions = self._granted
        response = handshake.build_response(
            self._key, subprotocol=subprotocol, extensions_header=granted
        )
        response.headers.update(headers)
        deflate, others = split(extensions)
        return Opened(
            self._request,
            self.sign(response),
            subprotocol,
            deflate,
            others,
            self._rest,
        )

    def refuse(self, status: int, text: str) -> tuple[Refused, bytes]:
        """Return a refusal in plain text, and what to write for it."""
        return self.answer(handshake.refuse(status, text))

    def answer(self, response: Response, exc: Any = None) -> tuple[Refused, bytes]:
        """Return a refusal with this response, and what to write for it."""
        self._answered = True
        response = self.sign(response)
        return Refused(response, exc), self.response_bytes(response)

    def sign(self, response: Response) -> Response:
        """Add the fields of the server; the application's own come after them."""
        own = list(response.headers.raw_items())
        response.headers = Headers(list(self.default_headers.raw_items()))
        for name, value in own:
            response.headers[name] = value
        self._connection.response = response
        return response
