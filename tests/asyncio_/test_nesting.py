"""Handlers that run the loop that runs them, as nest_asyncio and debuggers allow it.

All of it in processes of its own, for what is patched stays patched.
"""

from __future__ import annotations

import os
import textwrap

import pytest
from tests.support.scripts import run_script

from longwire import build

pytestmark = pytest.mark.stock_loop  # uvloop cannot be nested, and refuses to be

COMMON = """
import asyncio, contextlib, os, threading
import longwire
from tests.support.rawpeer import TEXT, knock

watchdog = threading.Timer(40, lambda: print("HANGS", flush=True) or os._exit(3))
watchdog.daemon = True
watchdog.start()


def say(peer, text):
    peer.send(TEXT, text.encode())


def hear(peer):
    return peer.read().payload.decode()


async def serving(handler, talk):
    # talk(port) uses blocking sockets, in a thread of its own.
    async with longwire.serve(handler, "127.0.0.1", 0, close_timeout=1) as server:
        port = server.sockets[0].getsockname()[1]
        return await asyncio.get_running_loop().run_in_executor(None, talk, port)
"""

# When the loop is patched: before there is one; or while it runs, in a handler that a
# message has resumed. The turn of asyncio's own that is under way cannot be nested.
WHEN = {
    "at first": ("import nest_asyncio; nest_asyncio.apply()", "pass"),
    "while it runs": (
        "import nest_asyncio",
        "nest_asyncio.apply(); await asyncio.sleep(0)",
    ),
}

# What the handler does inside of its call; a message "x" is there to be answered.
WORK = {
    "sleeps": "loop.run_until_complete(asyncio.sleep(0.05))",
    "runs": "asyncio.run(asyncio.sleep(0.05))",
    "sends": "loop.run_until_complete(ws.send('progress'))",
    "asks its own client": """
        async def ask():
            await ws.send('more?')
            return await ws.recv()
        assert loop.run_until_complete(ask()) == 'more!'
    """,
    "asks another server": """
        async def ask():
            uri = f'ws://127.0.0.1:{elsewhere}/'
            async with longwire.connect(uri, proxy=None) as other:
                await other.send('hello')
                return await other.recv()
        assert loop.run_until_complete(ask()) == 'hello'
    """,
    "nests twice": """
        async def inner():
            await asyncio.sleep(0.01)
            return loop.run_until_complete(outer())
        async def outer():
            await ws.send('progress')
            await asyncio.sleep(0.01)
            return 1
        assert loop.run_until_complete(inner()) == 1
    """,
    "sends often": """
        async def much():
            for number in range(600):
                await ws.send('progress')
        loop.run_until_complete(much())
    """,
}
ENGINES = ["native", "transport"] if build.BUILD == "compiled" else ["transport"]


def indented(text: str, columns: int) -> str:
    """Return ``text`` as a block that begins in a column."""
    return textwrap.indent(textwrap.dedent(text).strip(), " " * columns).lstrip()


PROGRAM = """
{common}
{early}

async def echo(ws):
    async for message in ws:
        await ws.send(message)

async def handler(ws):
    loop = asyncio.get_running_loop()
    async for message in ws:
        if message == "x":
            {late}
            {work}
        await ws.send(message)

def talk(port):
    peers = [knock(port).ask() for _ in range(3)]
    with contextlib.ExitStack() as stack:
        nests, other, third = (stack.enter_context(peer) for peer in peers)
        for peer in peers:
            say(peer, "hello")
            assert hear(peer) == "hello"
        for turn in range(3):
            say(nests, "x")
            for _ in range(5):
                say(other, "y")
                assert hear(other) == "y"
            say(third, "x")
            for peer in (third, nests):  # what is nested in the other ends first
                heard = hear(peer)
                while heard != "x":
                    assert heard in ("progress", "more?"), heard
                    if heard == "more?":
                        say(peer, "more!")
                    heard = hear(peer)
        say(nests, "bye")
        assert hear(nests) == "bye"
        return "done"

async def main():
    global elsewhere
    async with longwire.serve(echo, "127.0.0.1", 0) as server:
        elsewhere = server.sockets[0].getsockname()[1]
        print(await serving(handler, talk))

asyncio.run(main())
"""


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("when", list(WHEN))
@pytest.mark.parametrize("work", list(WORK))
def test_a_handler_may_run_its_own_loop(work: str, when: str, engine: str) -> None:
    early, late = WHEN[when]

    said = run_script(
        PROGRAM.format(
            common=COMMON, early=early, late=late, work=indented(WORK[work], 12)
        ),
        LONGWIRE_ENGINE=engine,
        PYTHONPATH=os.getcwd(),
    )

    assert said == "done\n"


# --- other ways ------------------------------------------------------------------

OWN_LOOP = """
import asyncio, heapq, os

class Nesting(asyncio.SelectorEventLoop):
    # A loop that runs within its callbacks without any patch, as those of GUIs do.

    def run_nested(self, work):
        task = asyncio.current_task(self)
        asyncio.tasks._leave_task(self, task)
        try:
            inner = self.create_task(work)
            while not inner.done():
                self._turn()
            return inner.result()
        finally:
            asyncio.tasks._enter_task(self, task)

    def run_until_complete(self, work):
        asyncio.events._set_running_loop(self)
        main = self.create_task(work)
        while not main.done():
            self._turn()
        asyncio.events._set_running_loop(None)
        return main.result()

    def _turn(self):
        self._process_events(self._selector.select(0 if self._ready else 0.01))
        while self._scheduled and self._scheduled[0]._when <= self.time():
            handle = heapq.heappop(self._scheduled)
            handle._scheduled = False
            self._ready.append(handle)
        for _ in range(len(self._ready)):
            if self._ready:
                handle = self._ready.popleft()
                if not handle._cancelled:
                    handle._run()
"""


@pytest.mark.parametrize("engine", ENGINES)
def test_a_loop_may_be_one_that_nests_by_itself(engine: str) -> None:
    program = PROGRAM.format(
        common=COMMON,
        early=OWN_LOOP,
        late="pass",
        work=indented(
            """
            async def ask():
                await asyncio.sleep(0.05)
                await ws.send('more?')
                return await ws.recv()
            assert loop.run_nested(ask()) == 'more!'
            """,
            12,
        ),
    )

    said = run_script(
        program.replace("asyncio.run(main())", "Nesting().run_until_complete(main())"),
        LONGWIRE_ENGINE=engine,
        PYTHONPATH=os.getcwd(),
        PYTHONWARNINGS="ignore::ResourceWarning",
    )

    assert said == "done\n"


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "call",
    [
        "loop.run_until_complete(work)",
        "loop.run_forever()",
        "asyncio.run(work)",
        "asyncio.Runner().run(work)",
        "with contextlib.closing(asyncio.new_event_loop()) as new: "
        "new.run_until_complete(work)",
    ],
)
def test_what_cannot_be_nested_says_so_and_disturbs_nobody(
    call: str, engine: str
) -> None:
    said = run_script(
        """
        {common}
        async def handler(ws):
            loop = asyncio.get_running_loop()
            async for message in ws:
                work = asyncio.sleep(0)
                try:
                    {call}
                except RuntimeError as exc:
                    await ws.send("refused")
                work.close()

        def talk(port):
            with knock(port).ask() as peer, knock(port).ask() as other:
                for turn in range(3):
                    for each in (peer, other):
                        say(each, "x")
                    for each in (peer, other):
                        assert hear(each) == "refused"
            return "done"

        print(asyncio.run(serving(handler, talk)))
        """.replace("{common}", indented(COMMON, 8)).replace("{call}", call),
        LONGWIRE_ENGINE=engine,
        PYTHONPATH=os.getcwd(),
        PYTHONWARNINGS="ignore::ResourceWarning",
    )

    assert said == "done\n"
