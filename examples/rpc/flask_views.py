"""Flask views that call another service: all threads of the process share a client.

Try it with thread_server.py: flask --app examples/rpc/flask_views.py run, then
curl 'http://localhost:5000/add?a=1&b=2'
"""

import functools
import os
import threading

from flask import Flask, abort, request
from werkzeug.wrappers import Response

from longwire import rpc
from longwire.rpc.sync import Client

URI = os.environ.get("URI", "ws://localhost:8765/")

app = Flask(__name__)
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


@app.get("/add")
def add() -> str | Response:
    a, b = request.args.get("a", 0, int), request.args.get("b", 0, int)
    try:
        return str(service().call("add", a, b, timeout=5, returns=int))
    except (rpc.Disconnected, rpc.CallTimeout, rpc.TooBusy) as error:
        abort(503, str(error))
