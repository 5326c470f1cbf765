"""Drives a connection of either asyncio API against a peer made of bytes.

Each step starts one call as a task, or lets the peer write something, and is followed
by as many turns of the loop as anything still happens. A trace says after each step
which calls have ended and how, what the peer has read, and what the connection's
attributes are.
"""

import asyncio
import base64
import contextlib
import hashlib
import socket
import sys
import time

from extending import NAME, ClientFactory, ServerFactory
from values import Wire, describe, frame

MASK = b"\x01\x02\x03\x04"
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
DEFLATE = "permessage-deflate"
QUIET = 4  # rounds without news after which all is done
ROUNDS = 400
TURNS = 6  # of the loop in a round
PARTS = 20  # in which time passes


class Peer:
    """The other end of the connection: a socket, and what came out of it."""

    def __init__(self, sock, http, inflate=False):
        self.sock = sock
        sock.setblocking(False)
        self.wire = Wire(http=http, inflate=inflate)
        self.ended = False

    def write(self, data):
        with contextlib.suppress(OSError):
            self.sock.sendall(data)

    def read(self):
        """Return what came since the last time, described."""
        found = []
        while not self.ended:
            try:
                data = self.sock.recv(1 << 20)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                self.ended = True
                found.append("end of stream")
                break
            found += self.wire.feed(data)
        return found


class Driver:
    """What both APIs have; each adds how it opens and what it calls otherwise."""

    ATTRIBUTES = ()

    def __init__(self, program):
        self.program = program
        self.is_client = program["side"] == "client"
        self.options = dict(program["options"])
        self.inflate = self.options.pop("deflate", False)
        self.options["compression"] = "deflate" if self.inflate else None
        offered = [DEFLATE] * self.inflate
        if self.options.pop("mark", False):
            factory = ClientFactory if self.is_client else ServerFactory
            self.options["extensions"] = [factory()]
            offered.append(NAME)
        self.offered = b"".join(
            f"Sec-WebSocket-Extensions: {name}\r\n".encode() for name in offered
        )
        self.calls = []
        self.told = 0
        self.connection = None
        self.leave = None
        self.left = []

    # The opening, from the peer's side.

    async def open(self):
        if self.is_client:
            ours, theirs = socket.socketpair()
            self.peer = Peer(theirs, http=True, inflate=self.inflate)
            opening = asyncio.ensure_future(self.connect(ours))
            request = await self.until_read(opening)
            self.answer(request)
            self.connection = await opening
            return
        self.leave = asyncio.Event()
        self.server = await self.serve()
        self.peer = Peer(socket.create_connection(self.address), True, self.inflate)
        self.peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.peer.write(
            b"GET /path HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            + self.offered
            + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        await self.until_read()
        await settle(lambda: self.connection is not None)

    async def until_read(self, opening=None):
        data = b""
        while b"\r\n\r\n" not in data:
            await asyncio.sleep(0)
            if opening and opening.done():
                opening.result()
            with contextlib.suppress(BlockingIOError):
                data += self.peer.sock.recv(1 << 16)
        self.peer.wire.http = False
        assert data.endswith(b"\r\n\r\n")
        return data

    def answer(self, request):
        key = request.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
        self.peer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\n"
            + self.offered
            + b"Sec-WebSocket-Accept: "
            + accept
            + b"\r\n\r\n"
        )

    @property
    def address(self):
        return self.server.sockets[0].getsockname()[:2]

    async def handler(self, connection, path=None):
        self.connection = connection
        await self.leave.wait()
        if self.left:
            raise self.left[0]

    # Steps.

    async def step(self, name, *arguments):
        result = None
        try:
            result = getattr(self, "do_" + name)(*arguments)
            if asyncio.iscoroutine(result):
                result = await result
        except Exception as error:
            result = error
        await self.settle()
        return {"did": name, "result": describe(result), **self.look()}

    async def settle(self):
        self.seen = []

        def news():
            self.seen += self.peer.read()
            return sum(call.done() for call in self.calls), len(self.seen)

        last, quiet = news(), 0
        for _ in range(ROUNDS):
            for _ in range(TURNS):
                await asyncio.sleep(0)
            now = news()
            quiet = quiet + 1 if now == last else 0
            last = now
            if quiet > QUIET:
                return
            time.sleep(0.0002)  # for the kernel, and for threads

    def look(self):
        found = {"wrote": self.seen, "ended": self.ended_calls()}
        for name in self.ATTRIBUTES:
            found[name] = guarded(lambda name=name: getattr(self.connection, name))
        return found

    def ended_calls(self):
        """Return how each call ended that has ended since the last step."""
        ended = {}
        for number, call in enumerate(self.calls):
            if not call.done() or getattr(call, "was_told", False):
                continue
            if call.cancelled():
                ended[number] = "cancelled"
            elif call.exception() is not None:
                ended[number] = describe(call.exception())
            else:
                ended[number] = describe(call.result())
            self.calls[number] = Told()
        return ended

    def start(self, coroutine):
        self.calls.append(asyncio.ensure_future(coroutine))

    def do_recv(self, *arguments):
        self.start(awaited(self.connection.recv, *arguments))

    def do_send(self, kind, *arguments):
        self.start(awaited(self.connection.send, MESSAGES[kind](), *arguments))

    def do_send_slowly(self):
        """Send a message of which the next part comes with each ``part``."""
        self.parts = parts = asyncio.Queue()

        async def slowly():
            yield "begun"
            while (part := await parts.get()) is not None:
                yield part

        self.start(awaited(self.connection.send, slowly()))

    def do_part(self, *text):
        if getattr(self, "parts", None) is not None:
            self.parts.put_nowait(*(text or (None,)))

    def do_ping(self, *kind):
        data = [MESSAGES[each]() for each in kind]
        self.start(awaited(self.connection.ping, *data))

    def do_pong(self, *kind):
        data = [MESSAGES[each]() for each in kind]
        self.start(awaited(self.connection.pong, *data))

    def do_pinged(self):
        """Send a ping and wait for its pong."""

        async def pinged():
            await (await self.connection.ping("are you there"))
            return "ponged"

        self.start(pinged())

    def do_close(self, *arguments):
        self.start(awaited(self.connection.close, *arguments))

    def do_wait_closed(self):
        self.start(awaited(self.connection.wait_closed))

    def do_iterate(self):
        async def iterate():
            return [message async for message in self.connection]

        self.start(iterate())

    def do_iterate_one(self):
        async def iterate():
            async for message in self.connection:
                return message
            return "no message"

        self.start(iterate())

    def do_cancel(self, number):
        pending = [call for call in self.calls if not call.done()]
        if pending:
            pending[number % len(pending)].cancel()

    async def do_wait(self, seconds):
        """Let time pass little by little: one wait may begin when another has ended."""
        for _ in range(PARTS):
            clock()[0] += seconds / PARTS
            for _ in range(TURNS):
                await asyncio.sleep(0)

    def do_server_close(self, *wait):
        """Close the server; connections are told to go away."""
        if self.leave:
            self.server.close()
            for _ in wait:
                self.start(self.server.wait_closed())

    def do_return(self):
        if self.leave:
            self.leave.set()

    def do_raise(self):
        if self.leave:
            self.left = [ValueError("of the handler")]
            self.leave.set()

    def do_frame(self, opcode, payload, fin, rsv, masked_right, cut):
        masked = masked_right != self.is_client
        data = frame(opcode, bytes.fromhex(payload), fin, rsv, MASK if masked else None)
        self.do_rest()
        self.peer.write(data[:cut] if cut else data)
        self.rest = data[cut:] if cut else b""

    def do_rest(self):
        self.peer.write(getattr(self, "rest", b""))
        self.rest = b""

    def do_raw(self, data):
        self.peer.write(bytes.fromhex(data))

    def do_eof(self):
        with contextlib.suppress(OSError):
            self.peer.sock.shutdown(socket.SHUT_WR)

    def do_gone(self):
        self.peer.ended = True
        self.peer.sock.close()

    def do_reset(self):
        if not self.is_client:
            linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
            self.peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.do_gone()

    async def end(self):
        """Leave nothing behind for the next program."""
        self.peer.sock.close()
        if self.leave:
            self.leave.set()
        await self.settle()
        clock()[0] += 1000
        await self.settle()
        for call in self.calls:
            call.cancel()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if self.leave:
            self.server.close()
        await self.settle()
        for task in others:
            task.cancel()
        await asyncio.sleep(0)


class Told:
    """Stands for a call whose end is in the trace."""

    was_told = True

    def done(self):
        return True

    def cancel(self):
        return False


async def awaited(function, *arguments):
    return await function(*arguments)


async def pieces(*items):
    for item in items:
        yield item


def failing():
    yield "first"
    raise ValueError("of the iterable")


# What send(), ping() and pong() are called with.
MESSAGES = {
    "text": lambda: "text",
    "emoji": lambda: "\U0001f600 \xfcber",
    "surrogate": lambda: "\ud800",
    "empty text": lambda: "",
    "bytes": lambda: b"bytes",
    "empty bytes": lambda: b"",
    "bytearray": lambda: bytearray(b"bytearray"),
    "memoryview": lambda: memoryview(b"memoryview"),
    "strided": lambda: memoryview(b"abcdef")[::2],
    "125": lambda: b"x" * 125,
    "126": lambda: "x" * 126,
    "long": lambda: b"y" * 70_000,
    "list": lambda: ["a", "b", "c"],
    "list of bytes": lambda: [b"a", bytearray(b"b")],
    "list of one": lambda: ["alone"],
    "empty list": list,
    "mixed": lambda: ["text", b"bytes"],
    "mixed other": lambda: [b"bytes", "text"],
    "list of ints": lambda: [1],
    "generator": lambda: (part for part in ("g1", "g2")),
    "failing": failing,
    "async": lambda: pieces("a1", "a2"),
    "async mixed": lambda: pieces("a1", b"a2"),
    "empty async": lambda: pieces(),
    "dict": lambda: {"a": 1},
    "int": lambda: 7,
    "float": lambda: 1.5,
    "none": lambda: None,
}


def guarded(read):
    try:
        return describe(read())
    except Exception as error:
        return describe(error)


def clock():
    return sys.modules["worker"].NOW


async def settle(done):
    for _ in range(ROUNDS):
        if done():
            return
        await asyncio.sleep(0)
        time.sleep(0.0001)
    raise AssertionError("the opening handshake did not end")


def run(program, driver):
    async def play():
        loop = asyncio.get_running_loop()
        unhandled = []
        loop.set_exception_handler(
            lambda loop, context: unhandled.append(context.get("message"))
        )
        one = driver(program)
        trace = []
        try:
            await one.open()
            await one.settle()
            trace.append({"did": "open", "result": None, **one.look()})
            for step in program["steps"]:
                trace.append(await one.step(*step))
        finally:
            await one.end()
        return trace

    return asyncio.run(play())
