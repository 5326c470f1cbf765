"""The heads of the opening handshake, whose headers have values as documented."""

from __future__ import annotations

from ..errors import InvalidMessage, SecurityError
from ..http.heads import Request, RequestReader, Response
from ..opening import client_plan, server_plan
from ..opening.steps import Plan
from .datastructures import Headers
from .negotiating import no_response

__all__ = ["Acceptor", "Exchange"]


class Exchange(client_plan.Exchange):
    """Writes and reads the values of headers as the documents say."""

    def write(self) -> Plan[None]:
        self.request.headers = Headers.made(self.request.headers)
        yield from super().write()

    def read(self) -> Plan[None]:
        try:
            yield from super().read()
        except OSError as exc:
            ended = EOFError("connection lost while reading the HTTP response")
            ended.__cause__ = exc
            raise no_response(ended) from ended
        except (InvalidMessage, SecurityError) as exc:
            unreadable = no_response(exc)
            raise unreadable from unreadable.__cause__
        self.response.headers = Headers.received(self.response.headers)


class Acceptor(server_plan.Acceptor):
    """Reads and writes the values of headers as the documents say."""

    headers: type[Headers] = Headers

    def read_request(self, reader: RequestReader) -> Plan[Request]:
        request = yield from super().read_request(reader)
        request.headers = self.headers.received(request.headers)
        return request

    def sign(self, response: Response) -> Response:
        response.headers = self.headers.made(response.headers)
        return super().sign(response)
