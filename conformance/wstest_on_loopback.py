"""wstest of the Autobahn Testsuite, listening on loopback only.

Run by Python 2.7. wstest itself listens on every interface, whatever host its
configuration names; tests have no business with the network.
"""

import sys

from twisted.internet import posixbase

listen = posixbase.PosixReactorBase.listenTCP


def listen_on_loopback(self, port, factory, backlog=50, interface=""):
    return listen(self, port, factory, backlog, interface or "127.0.0.1")


posixbase.PosixReactorBase.listenTCP = listen_on_loopback

from autobahntestsuite.wstest import run  # noqa: E402 - the change comes first

sys.exit(run())
