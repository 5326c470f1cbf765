"""Django views that call another service: all threads of the process share a client.

Try it with thread_server.py: python examples/rpc/django_views.py runserver 8000, then
curl 'http://localhost:8000/add?a=1&b=2' and curl http://localhost:8000/count?to=3
"""

import functools
import os
import sys
import threading
from collections.abc import Iterator

from django.conf import settings
from django.core.exceptions import BadRequest
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path

from longwire import rpc
from longwire.rpc.sync import Client

URI = os.environ.get("URI", "ws://localhost:8765/")

settings.configure(
    DEBUG=True,
    SECRET_KEY="of this example",
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["localhost"],
)
making = threading.Lock()


def service() -> Client:
    """Return the client, which connects at the first call: after workers are forked."""
    with making:  # two views may come first at the same time
        return started()


@functools.cache
def started() -> Client:
    client = Client(URI)
    client.start()
    return client


def number(request: HttpRequest, name: str) -> int:
    try:
        return int(request.GET.get(name, "0"))
    except ValueError as error:
        raise BadRequest(f"{name} is no number") from error


def add(request: HttpRequest) -> HttpResponse:
    a, b = number(request, "a"), number(request, "b")
    try:
        return HttpResponse(service().call("add", a, b, timeout=5, returns=int))
    except (rpc.Disconnected, rpc.CallTimeout, rpc.TooBusy) as error:
        return HttpResponse(str(error), status=503)


def count(request: HttpRequest) -> StreamingHttpResponse:
    """Send each item on when it comes."""
    to = number(request, "to")

    def lines() -> Iterator[str]:
        # A browser that leaves ends the block, and so the stream at the service.
        with service().stream("count", to, returns=int) as items:
            for item in items:
                yield f"{item}\n"

    return StreamingHttpResponse(lines(), content_type="text/plain")


urlpatterns = [path("add", add), path("count", count)]
application = get_wsgi_application()  # for WSGI servers, with any number of workers

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
