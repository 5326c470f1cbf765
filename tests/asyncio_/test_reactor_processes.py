"""The reactor in processes of their own: forks, limits, loops that just go away."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest
from longwire.asyncio.reactor import POLLER
from tests.support.loops import PLAIN
from tests.support.scripts import run_script

HEAD = textwrap.dedent(
    """
    import asyncio, contextlib, gc, os, resource, signal, socket, struct, sys, time
    import logging, warnings, weakref
    import longwire

    # Python 3.12 and newer: of forks in processes with threads.
    warnings.simplefilter("ignore", DeprecationWarning)

    kind = sys.argv[1]

    def new_loop():
        if kind == "uvloop":
            import uvloop
            return uvloop.new_event_loop()
        return asyncio.new_event_loop()

    def run(main):
        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(main())

    async def echo(ws):
        async for message in ws:
            await ws.send(message)

    def port_of(server):
        return server.sockets[0].getsockname()[1]

    async def serve(handler=echo, **options):
        return await longwire.serve(handler, "127.0.0.1", 0, **options)

    async def connect(server, **options):
        uri = f"ws://127.0.0.1:{port_of(server)}/"
        return await longwire.connect(uri, proxy=None, **options)

    def descriptors():
        gc.collect()
        return len(os.listdir("/proc/self/fd"))
    """
)

LOOP = pytest.mark.parametrize("loop", PLAIN)


def script(source: str, loop: str, *arguments: str, **options: Any) -> list[str]:
    """Return the lines that a program prints."""
    return run_script(
        HEAD + textwrap.dedent(source), loop, *arguments, **options
    ).splitlines()


# --- loops that go away ----------------------------------------------------------


# uvloop's loops are never collected while they are open.
@pytest.mark.parametrize(
    ("loop", "ending"),
    [("asyncio", "closed"), ("asyncio", "dropped"), ("uvloop", "closed")],
)
def test_a_loop_that_goes_away_while_tasks_wait_in_recv(loop: str, ending: str) -> None:
    # Freed by the collector in whatever order, which once read what was freed before.
    found = script(
        """
        warnings.simplefilter("ignore")

        def begin():
            loop = new_loop()
            loop.set_exception_handler(lambda loop, context: None)

            async def main():
                server = await serve()
                clients = [await connect(server) for _ in range(6)]
                wait = lambda ws: ws.recv()
                async def wait_in_a_frame(ws):
                    return await ws.recv()
                tasks = [
                    loop.create_task((wait if number % 2 else wait_in_a_frame)(ws))
                    for number, ws in enumerate(clients)
                ]
                clients[0].transport.get_extra_info("socket")
                await asyncio.sleep(0.05)
                for ws in clients:
                    ws.tasks = tasks
                return [weakref.ref(ws) for ws in clients]

            found = loop.run_until_complete(main())
            if sys.argv[2] == "closed":
                loop.close()
            return found

        before = descriptors()
        for _ in range(5):
            references = begin()
            gc.collect()
            print(sum(one() is not None for one in references))
        gc.collect()
        print(descriptors() - before)
        """,
        loop,
        ending,
    )
    # uvloop keeps one descriptor of its own for each process that had a loop.
    assert found[:-1] == ["0"] * 5
    assert int(found[-1]) <= (2 if loop == "uvloop" else 0)


@LOOP
def test_a_process_that_just_ends_says_nothing(loop: str) -> None:
    script(
        """
        async def main():
            server = await serve()
            ws = await connect(server)
            await ws.send("x")
            globals().update(server=server, ws=ws, waiting=None)

        loop = new_loop()
        loop.set_exception_handler(lambda loop, context: None)
        loop.run_until_complete(main())
        """,
        loop,
    )


# --- forks -----------------------------------------------------------------------


@LOOP
@pytest.mark.parametrize("ending", ["exit", "_exit", "close", "new loop"])
def test_a_forked_child_leaves_the_parents_connections_alone(
    loop: str, ending: str
) -> None:
    found = script(
        """
        warnings.simplefilter("ignore")

        async def main():
            server = await serve()
            ours = [await connect(server) for _ in range(3)]
            for ws in ours:
                await ws.send("before")
                assert await ws.recv() == "before"
            child = os.fork()
            if child == 0:
                return "child", ours
            await asyncio.to_thread(os.waitpid, child, 0)
            for ws in ours:
                await ws.send("after")
                assert await asyncio.wait_for(ws.recv(), 10) == "after"
            another = await connect(server)
            await another.send("new")
            assert await asyncio.wait_for(another.recv(), 10) == "new"
            for ws in [*ours, another]:
                await ws.close()
                assert ws.close_code == 1000
            server.close()
            await server.wait_closed()
            print("fine")
            return "parent", None

        async def alone():
            server = await serve()
            ws = await connect(server)
            await ws.send("child")
            assert await ws.recv() == "child"
            await ws.close()
            server.close()

        loop = new_loop()
        loop.set_exception_handler(lambda loop, context: None)
        who, ours = loop.run_until_complete(main())
        if who == "child":
            asyncio.events._set_running_loop(None)
            how = sys.argv[2]
            if how == "_exit":
                os._exit(0)
            if how == "close":
                for ws in ours:
                    ws.transport.abort()
                gc.collect()
                os._exit(0)
            if how == "new loop":
                asyncio.Runner(loop_factory=new_loop).run(alone())
                os._exit(0)
            sys.stdout.flush()
            sys.exit(0)
        loop.close()
        """,
        loop,
        ending,
    )
    assert found == ["fine"]


@pytest.mark.skipif(POLLER == "kqueue", reason="asyncio's own kqueue is not inherited")
def test_a_daemon_goes_on_with_the_loop_it_was_forked_with() -> None:
    # The parent binds, forks and leaves; uvloop says itself that it cannot do that.
    (port,) = script(
        """
        loop = new_loop()
        server = loop.run_until_complete(serve())
        print(port_of(server), flush=True)
        if os.fork():
            os._exit(0)
        os.close(1), os.close(2)
        loop.call_later(20, os._exit, 1)
        async def main():
            for wanted in (True, False):
                while bool(server.connections) is not wanted:
                    await asyncio.sleep(0.01)
            os._exit(0)
        loop.run_until_complete(main())
        """,
        "asyncio",
    )
    found = script(
        """
        async def main():
            uri = f"ws://127.0.0.1:{sys.argv[2]}"
            async with longwire.connect(uri, proxy=None) as ws:
                await ws.send("hello, daemon")
                print(await asyncio.wait_for(ws.recv(), 10))
        run(main)
        """,
        "asyncio",
        port,
    )
    assert found == ["hello, daemon"]


# --- out of descriptors ----------------------------------------------------------


@LOOP
def test_without_descriptors_accepting_waits_and_goes_on(loop: str) -> None:
    found = script(
        """
        import longwire.asyncio.sockets

        lines = []
        class Lines(logging.Handler):
            def emit(self, record):
                lines.append(record.getMessage())
        logging.getLogger("longwire").addHandler(Lines(logging.WARNING))

        async def main():
            server = await serve()
            port = port_of(server)
            first = await connect(server)
            out = [socket.socket() for _ in range(5)]
            taken = []
            # To the limit, with as many as the clients need kept back.
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors() + 20, 4096))
            with contextlib.suppress(OSError):
                while True:
                    taken.append(os.open("/dev/null", os.O_RDONLY))
            for sock in out:
                sock.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    sock.connect(("127.0.0.1", port))
            cpu = time.process_time()
            await asyncio.sleep(2.5)
            cpu = time.process_time() - cpu
            print("idle" if cpu < 0.5 else f"busy: {cpu}")
            await first.send("still served")
            print(await asyncio.wait_for(first.recv(), 5))
            print(lines[1:])
            print(lines[0])
            for fd in taken:
                os.close(fd)
            for sock in out:
                sock.close()
            async with asyncio.timeout(10):
                second = await connect(server)
            await second.send("served again")
            print(await asyncio.wait_for(second.recv(), 5))
            print(lines[1:])
            await first.close()
            await second.close()
            server.close()
            await server.wait_closed()

        run(main)
        """,
        loop,
    )
    assert found[0] == "idle"
    assert found[1:3] == ["still served", "[]"]
    assert found[3].startswith("server cannot accept connections for a while: ")
    assert "Too many open files" in found[3]
    assert found[4:] == ["served again", "[]"]


@LOOP
def test_a_listening_socket_taken_away_is_said_once(loop: str) -> None:
    found = script(
        """
        async def main():
            complaints = []
            asyncio.get_running_loop().set_exception_handler(
                lambda loop, context: complaints.append(context["exception"])
            )
            server = await serve()
            ws = await connect(server)
            copy = socket.socket(fileno=os.dup(server.sockets[0].fileno()))
            copy.shutdown(socket.SHUT_RDWR)
            copy.close()
            await asyncio.sleep(0.2)
            print(complaints)
            await ws.send("still served")
            print(await ws.recv())
            await ws.close()
            server.close()
            await server.wait_closed()
        run(main)
        """,
        loop,
    )
    assert found == ["[OSError(22, 'Invalid argument')]", "still served"]


# --- timers under a flood --------------------------------------------------------


@LOOP
def test_a_flood_on_a_hundred_connections_leaves_timers_their_time(loop: str) -> None:
    # The flood comes from a process of its own. What the machine itself takes away is
    # not the reactor's fault: each turn is measured in CPU time of the loop's thread,
    # from the timer's due time to its call, where the thread was at work throughout.
    (line,) = script(
        """
        from longwire.asyncio.reactor import BATCH

        COUNT = 100

        def flood(port):
            key = b"dGhlIHNhbXBsZSBub25jZQ=="
            ask = (b"GET / HTTP/1.1\\r\\nHost: x\\r\\nUpgrade: websocket\\r\\n"
                   b"Connection: Upgrade\\r\\nSec-WebSocket-Version: 13\\r\\n"
                   b"Sec-WebSocket-Key: " + key + b"\\r\\n\\r\\n")
            socks = []
            for _ in range(COUNT):
                sock = socket.create_connection(("127.0.0.1", port))
                sock.sendall(ask)
                sock.recv(4096)
                sock.setblocking(False)
                socks.append(sock)
            block = (b"\\x82\\xa0" + bytes(4) + b"x" * 32) * 500
            at = [0] * COUNT
            while True:
                idle = True
                for number, sock in enumerate(socks):
                    with contextlib.suppress(BlockingIOError):
                        at[number] += sock.send(block[at[number] % len(block):])
                        idle = False
                    with contextlib.suppress(BlockingIOError):
                        sock.recv(1 << 20)
                if idle:
                    time.sleep(0.001)

        def received(server):
            return sum(ws._live.protocol.messages_received for ws in server.connections)

        async def main():
            server = await serve(compression=None)
            port = port_of(server)
            child = os.fork()
            if child == 0:
                try:
                    flood(port)
                finally:
                    os._exit(0)
            while len(server.connections) < COUNT:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.2)
            late = []
            counted = received(server)
            begin = time.perf_counter()
            for _ in range(150):
                cpu = time.thread_time()
                await asyncio.sleep(0.01)
                # What the thread worked, beyond the 10 ms that it had anyway.
                late.append(max(0.0, time.thread_time() - cpu - 0.01))
            wall = time.perf_counter() - begin
            counted = received(server) - counted
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            late.sort()
            print(counted / wall, late[len(late) // 2], late[-8], late[-1], BATCH)
            server.close()
            for ws in list(server._runs):
                ws.wire.abort()
            await server.wait_closed()

        run(main)
        """,
        loop,
        seconds=90,
    )
    rate, middle, high, worst, batch = map(float, line.split())
    assert rate > 10_000, line  # else it was no flood
    # A batch, and one read of 64 KiB with what its messages' handlers do at once.
    assert middle < batch + 0.003, line
    assert high < batch + 0.005, line
    assert worst < batch + 0.02, line
