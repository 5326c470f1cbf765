"""NATS servers that a test starts for itself, on ports of their own, and may hurt."""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.hub.servers import BrokerServer
from tests.support.ports import free_port


class NatsServer(BrokerServer):
    """One server with JetStream; ``ask`` asks its API, blocking."""

    program = "nats-server"
    scheme = "nats"
    data = ("store",)

    def arguments(self) -> list[str]:
        return [
            *("-a", self.host, "-p", str(self.port)),
            *("-js", "-sd", str(Path(self.folder, "store"))),
            *self.options,
        ]

    def answers(self) -> bool:
        return "error" not in self.ask("INFO")

    def halt(self) -> None:
        """End it with all that it has on disk."""
        assert self.process is not None
        self.process.terminate()
        self.process.wait()

    def ask(self, what: str, question: Any = None, timeout: float = 5.0) -> Any:
        """Ask JetStream's API, by a connection of its own."""
        data = self.request(f"$JS.API.{what}", question, timeout)
        return json.loads(data)

    def request(self, subject: str, question: Any, timeout: float = 5.0) -> bytes:
        """Send a request and return its answer."""
        body = b"" if question is None else json.dumps(question).encode()
        with socket.create_connection((self.host, self.port), timeout) as sock:
            sock.settimeout(timeout)
            stream = sock.makefile("rwb")
            stream.readline()  # INFO
            stream.write(b'CONNECT {"verbose":false,"pedantic":false}\r\n')
            stream.write(b"SUB inbox 1\r\n")
            stream.write(b"PUB %b inbox %d\r\n" % (subject.encode(), len(body)))
            stream.write(body + b"\r\n")
            stream.flush()
            while line := stream.readline():
                if line.startswith(b"MSG "):
                    return stream.read(int(line.split()[-1]))
                if line.startswith(b"PING"):
                    stream.write(b"PONG\r\n")
                    stream.flush()
        raise ConnectionResetError("closed by the server")

    def streams(self) -> list[str]:
        found: list[str] = self.ask("STREAM.NAMES")["streams"] or []
        return sorted(found)


@contextlib.contextmanager
def nats_server(*options: str, **more: Any) -> Iterator[NatsServer]:
    with NatsServer(*options, **more) as server:
        yield server.start()


@contextlib.contextmanager
def nats_cluster(count: int = 3) -> Iterator[list[NatsServer]]:
    """Servers that know each other, and choose a leader for each stream."""
    routes = [free_port() for _ in range(count)]
    urls = ",".join(f"nats://127.0.0.1:{port}" for port in routes)
    servers = [
        NatsServer(
            *("--cluster_name", "hub", "--cluster", f"nats://127.0.0.1:{port}"),
            *("--routes", urls, "--name", f"n{index}"),
        )
        for index, port in enumerate(routes)
    ]
    with contextlib.ExitStack() as stack:
        for server in servers:
            stack.enter_context(server).launch()
        for server in servers:
            server.wait(40)
        yield servers


# --- keys, and servers that ask for them -----------------------------------------

KINDS = {"O": 14 << 3, "A": 0, "U": 20 << 3}
"""What the bytes of keys begin with: of operators, accounts and users."""


class Key:
    """An NKey, made at random; https://docs.nats.io/reference/reference-protocols/nkey"""

    def __init__(self, kind: str) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        self._key = Ed25519PrivateKey.generate()
        first = KINDS[kind]
        self.public = _base32(
            bytes([first]) + self._key.public_key().public_bytes_raw()
        )
        head = bytes([18 << 3 | first >> 5, (first & 31) << 3])
        self.seed = _base32(head + self._key.private_bytes_raw())

    def jwt(self, subject: str, kind: str, **claims: Any) -> str:
        """Return a JWT about ``subject`` that this key has signed."""
        head = {"typ": "JWT", "alg": "ed25519-nkey"}
        body = {
            "jti": subject,
            "iat": 1_700_000_000,
            "iss": self.public,
            "name": kind,
            "sub": subject,
            "nats": {"type": kind, "version": 2, **claims},
        }
        signed = ".".join(_base64(json.dumps(each).encode()) for each in (head, body))
        return f"{signed}.{_base64(self._key.sign(signed.encode()))}"


def _base32(data: bytes) -> str:
    checked = data + binascii.crc_hqx(data, 0).to_bytes(2, "little")
    return base64.b32encode(checked).decode().rstrip("=")


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class KeyServer(NatsServer):
    """A server that asks who its clients are, by a configuration of its own."""

    def __init__(self, config: str) -> None:
        super().__init__()
        file = Path(self.folder, "conf")
        file.write_text(config)
        self.options = ("-c", str(file))

    def start(self) -> KeyServer:
        return self.launch().wait_for_port()


def server_of_key(public: str, permissions: str = "") -> KeyServer:
    """A server with one user, who is known by an NKey."""
    user = f"{{ nkey: {public}, permissions: {{ {permissions} }} }}"
    return KeyServer(f"authorization {{ users: [ {user} ] }}\n")


def server_of_credentials(path: Path) -> KeyServer:
    """A server of an operator with one account; writes the credentials of a user."""
    operator, account, system, user = (Key(kind) for kind in "OAAU")
    none = dict.fromkeys(("subs", "data", "payload"), -1)
    counts = dict.fromkeys(("imports", "exports", "conn", "leaf"), -1)
    store = dict.fromkeys(("mem_storage", "disk_storage", "streams", "consumer"), -1)
    accounts = {
        each.public: operator.jwt(
            each.public,
            "account",
            limits={**none, **counts, "wildcards": True, **more},
        )
        for each, more in ((account, store), (system, {}))
    }
    path.write_text(
        "-----BEGIN NATS USER JWT-----\n"
        f"{account.jwt(user.public, 'user', pub={}, sub={}, **none)}\n"
        "------END NATS USER JWT------\n\n"
        "-----BEGIN USER NKEY SEED-----\n"
        f"{user.seed}\n"
        "------END USER NKEY SEED------\n"
    )
    loaded = "\n".join(f'  {public}: "{jwt}"' for public, jwt in accounts.items())
    return KeyServer(
        f"operator: {operator.jwt(operator.public, 'operator')}\n"
        f"system_account: {system.public}\n"
        f"resolver: MEMORY\nresolver_preload {{\n{loaded}\n}}\n"
    )
