"""`longwire connect` in a pipe: lines in, messages out, an exit status."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shlex
import signal
import ssl
import subprocess
import sys

import pytest

import longwire
from longwire.build import BUILD
from tests.support.commands import command, environment, run, running
from tests.support.ports import free_port


async def connect(server, *arguments, stdin=b"", scheme="ws"):
    """Run `longwire connect` to ``server``, which is in this process."""
    return await asyncio.to_thread(
        run, "connect", address(server, scheme), *arguments, stdin=stdin
    )


def address(server, scheme="ws"):
    return f"{scheme}://localhost:{server.sockets[0].getsockname()[1]}/"


def serve(handler, **options):
    return longwire.serve(handler, "localhost", 0, **options)


async def echo(ws):
    async for message in ws:
        await ws.send(message)


def assert_one_line_of_error(result):
    assert result.returncode == 1
    assert b"Traceback" not in result.stderr
    errors = [line for line in result.stderr.splitlines() if line.startswith(b"Error:")]
    assert len(errors) == 1


async def test_a_line_is_sent_and_its_echo_printed():
    async with serve(echo) as server:
        result = await connect(server, stdin=b"hello\n")

        assert result.stdout == b"hello\n"
        assert result.stderr.decode().splitlines() == [
            f"Connected to {address(server)}.",
            "Connection closed: 1000 (OK).",
        ]
        assert result.returncode == 0


async def test_every_line_is_one_message_also_empty_and_unfinished_ones():
    got = []

    async def collect(ws):
        async for message in ws:
            got.append(message)

    async with serve(collect) as server:
        await connect(server, "--wait", "0", stdin=b"one\r\n\ntwo w\xc3\xb6rds\nlast")

    assert got == ["one", "", "two wörds", "last"]


async def test_long_and_many_lines_come_back_in_order():
    lines = [b"%d " % number * 5000 for number in range(40)]
    async with serve(echo) as server:
        result = await connect(server, stdin=b"\n".join(lines))

    assert result.stdout.splitlines() == lines


async def test_control_characters_are_escaped():
    async def paint(ws):
        await ws.send("\x1b[2Jred\x07\nnext")

    async with serve(paint) as server:
        result = await connect(server, "--wait", "10")

    assert result.stdout == b"\\x1b[2Jred\\x07\\nnext\n"


async def test_binary_messages_are_shown_as_digits():
    async with serve(echo) as server:
        result = await connect(server, "--binary", stdin=b"\x00\xff\x1b")

    assert result.stdout == b"binary, 3 bytes: 00 ff 1b\n"


async def test_input_that_is_not_utf8_names_its_line():
    async with serve(echo) as server:
        result = await connect(server, stdin=b"fine\nnot \xff\n")

    assert_one_line_of_error(result)
    assert b"line 2 is not UTF-8 at byte 5; use --binary" in result.stderr


async def test_json_prints_one_object_for_each_event():
    async def speak(ws):
        await ws.send("téxt\x1b")
        await ws.send(b"\x00\xff")
        await ws.close(1000, "that is all")

    async with serve(speak, subprotocols=["chat"]) as server:
        uri = address(server)
        result = await connect(server, "--json", "--wait", "10", "-s", "chat")

    opened, text, binary, closed = map(json.loads, result.stdout.splitlines())
    assert opened["event"] == "open"
    assert opened["uri"] == uri
    assert opened["subprotocol"] == "chat"
    assert opened["status"] == 101
    assert ["Upgrade", "websocket"] in opened["headers"]
    assert text == {"event": "message", "text": "téxt\x1b"}
    assert binary["event"] == "message"
    assert base64.b64decode(binary["base64"]) == b"\x00\xff"
    assert closed["event"] == "close"
    assert (closed["code"], closed["reason"]) == (1000, "that is all")
    assert closed["normal"] is True
    assert closed["cause"] == "peer"
    assert closed["messages_received"] == 2
    assert b"\x1b" not in result.stdout
    assert result.stderr == b""


async def test_a_late_answer_is_waited_for():
    async def think(ws):
        question = await ws.recv()
        await asyncio.sleep(0.3)
        await ws.send(f"answer to {question}")

    async with serve(think) as server:
        result = await connect(server, "--wait", "20", stdin=b"question")

    assert result.stdout == b"answer to question\n"


async def test_messages_before_the_close_frame_are_printed():
    async def count(ws):
        for number in range(100):
            await ws.send(str(number))

    async with serve(count) as server:
        result = await connect(server, "--wait", "10")

    assert result.stdout.split() == [b"%d" % number for number in range(100)]


async def test_the_peer_closing_ends_it_while_the_input_is_still_open():
    async def leave(ws):
        await ws.close()

    async with serve(leave) as server:
        process = await asyncio.create_subprocess_exec(
            *command("connect", address(server)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
        )

        status = await asyncio.wait_for(process.wait(), 20)

        process.stdin.close()
        assert status == 0
        assert (await process.stderr.read()).endswith(
            b"Connection closed: 1000 (OK).\n"
        )


@pytest.mark.parametrize(
    ("code", "reason", "status", "line"),
    [
        (1000, "", 0, "Connection closed: 1000 (OK)."),
        (1001, "bye", 0, "Connection closed: 1001 (going away) bye."),
        (4000, "", 1, "Connection closed: 4000 (private use)."),
        (
            1011,
            "authentication failed",
            1,
            "Connection closed: 1011 (internal error) authentication failed.",
        ),
        (4000, "\x1b[1m", 1, r"Connection closed: 4000 (private use) \x1b[1m."),
    ],
)
async def test_the_exit_status_says_whether_it_ended_well(code, reason, status, line):
    async def end(ws):
        await ws.close(code, reason)

    async with serve(end) as server:
        result = await connect(server, "--wait", "10")

    assert result.stderr.decode().splitlines()[-1] == line
    assert result.returncode == status


async def test_a_connection_cut_off_is_a_failure():
    async def cut(ws):
        ws.transport.abort()

    async with serve(cut) as server:
        result = await connect(server, "--wait", "10")

    assert result.returncode == 1
    assert b"Connection closed: 1006 (abnormal closure" in result.stderr
    assert b"Traceback" not in result.stderr


def test_a_refused_connection_is_one_line():
    result = run("connect", f"ws://localhost:{free_port()}/")

    assert_one_line_of_error(result)
    assert result.stderr.startswith(b"Error: cannot connect to ws://localhost:")


@pytest.mark.parametrize("uri", ["http://localhost/", "ws://", "nonsense", "ws://[/"])
def test_an_address_that_is_none_is_one_line(uri):
    result = run("connect", uri)

    assert_one_line_of_error(result)
    assert uri.encode() in result.stderr


async def test_a_refusing_server_is_one_line_with_its_status():
    def refuse(connection, request):
        return connection.respond(403, "not you\n")

    async with serve(echo, process_request=refuse) as server:
        result = await connect(server)

    assert_one_line_of_error(result)
    assert b"HTTP 403" in result.stderr


async def test_headers_subprotocols_and_origin_arrive():
    async def tell(ws):
        names = ("X-One", "X-Two", "Origin", "Sec-WebSocket-Protocol")
        await ws.send("|".join(ws.request.headers[name] for name in names))

    async with serve(tell, subprotocols=["b"]) as server:
        result = await connect(
            server,
            *("-H", "X-One:1", "--header", "X-Two: a:b ", "--origin", "http://there"),
            *("-s", "a", "--subprotocol", "b", "--wait", "10"),
        )

    assert result.stdout == b"1|a:b|http://there|a, b\n"


@pytest.mark.parametrize(
    ("arguments", "offered"),
    [
        ((), True),
        (("--compression", "none"), False),
        (("--compression", "ratio"), True),
    ],
)
async def test_compression_is_offered_unless_told_not_to(arguments, offered):
    async def tell(ws):
        await ws.send(str("Sec-WebSocket-Extensions" in ws.request.headers))

    async with serve(tell) as server:
        result = await connect(server, *arguments, "--wait", "10")

    assert result.stdout == b"%s\n" % str(offered).encode()


async def test_an_unknown_certificate_is_refused_unless_insecure(certificates):
    async with serve(echo, ssl=certificates.server) as server:
        refused = await connect(server, stdin=b"secret", scheme="wss")
        trusted = await connect(server, "--insecure", stdin=b"secret", scheme="wss")

    assert_one_line_of_error(refused)
    assert b"certificate" in refused.stderr.lower()
    assert trusted.stdout == b"secret\n"
    assert trusted.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_closes_the_connection_properly(number):
    codes = asyncio.Queue()

    async def wait(ws):
        await ws.send("ready")
        await ws.wait_closed()
        codes.put_nowait(ws.close_code)

    async with serve(wait) as server:
        with running("connect", address(server), "--wait", "inf") as client:
            await asyncio.to_thread(client.line_with, "ready")
            client.process.send_signal(number)
            code = await codes.get()
            status = await asyncio.to_thread(client.wait)

    assert code == 1000
    assert status == 0
    assert "Traceback" not in client.output


async def test_a_reader_that_leaves_the_pipe_is_no_traceback():
    async def pour(ws):
        while True:
            await ws.send("x" * 1000)
            await asyncio.sleep(0.001)

    read_end, write_end = os.pipe()
    async with serve(pour) as server:
        process = await asyncio.create_subprocess_exec(
            *command("connect", address(server), "--wait", "inf"),
            stdin=subprocess.DEVNULL,
            stdout=write_end,
            stderr=subprocess.PIPE,
            env=environment(),
        )
        os.close(write_end)
        await asyncio.to_thread(os.read, read_end, 1000)
        os.close(read_end)

        _, stderr = await asyncio.wait_for(process.communicate(), 20)

    assert b"Traceback" not in stderr
    assert b"Exception ignored" not in stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
async def test_a_missing_stream_is_no_traceback(closed):
    async with serve(echo) as server:
        process = await asyncio.create_subprocess_shell(
            f"{shlex.join(command('connect', address(server)))} --wait 0.1 {closed}",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
        )
        _, stderr = await asyncio.wait_for(process.communicate(), 20)

    assert process.returncode == 0
    assert b"Traceback" not in stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("connect",),
        ("connect", "ws://localhost/", "--header", "no colon"),
        ("connect", "ws://localhost/", "--wait", "soon"),
        ("connect", "ws://localhost/", "--wait", "-1"),
        ("connect", "ws://localhost/", "--compression", "zip"),
        ("nonsense",),
    ],
)
def test_a_command_that_is_not_understood_is_status_2(arguments):
    result = run(*arguments)

    assert result.returncode == 2
    assert b"Traceback" not in result.stderr


def test_the_version_is_the_library_s_and_names_the_build():
    result = run("--version")

    found = result.stdout.decode().strip()
    assert found.startswith(f"longwire, version {longwire.__version__} ({BUILD} build")
    assert (BUILD == "pure") == (": " in found)  # says why


@pytest.mark.parametrize("missing", ["click", "rich", "prompt_toolkit"])
def test_a_missing_library_names_the_extra_to_install(missing):
    program = (
        f"import sys; sys.modules[{missing!r}] = None;"
        "from longwire.cli import main; sys.exit(main())"
    )

    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, env=environment()
    )

    assert result.returncode == 1
    assert result.stderr.decode().splitlines() == [
        f"longwire: the command line needs {missing}, which is not installed; "
        "in a checkout of longwire: pip install '.[cli]'"
    ]


def test_the_version_needs_no_extra():
    program = (
        "import sys; sys.modules['click'] = None; sys.argv[1:] = ['--version'];"
        "from longwire.cli import main; sys.exit(main())"
    )

    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, env=environment()
    )

    assert result.returncode == 0
    assert result.stdout == run("--version").stdout


def test_the_library_does_not_need_the_command_line_s_libraries():
    program = (
        "import sys, longwire; longwire.serve, longwire.connect;"
        "print({'click', 'rich', 'prompt_toolkit', 'longwire.cli'} & {*sys.modules})"
    )

    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, env=environment()
    )

    assert result.stdout == b"set()\n"


# --- beside websocat and wscat ---------------------------------------------------


async def test_messages_may_be_arguments_and_a_port_is_address_enough():
    async with serve(echo) as server:
        port = server.sockets[0].getsockname()[1]
        result = await asyncio.to_thread(
            run,
            "connect",
            f"localhost:{port}",
            "-x",
            "one",
            "-x",
            "two",
            "--wait",
            "0.5",
        )

    assert result.stdout == b"one\ntwo\n"
    assert result.returncode == 0


async def test_messages_are_sent_before_listening():
    async def answer_later(ws):
        message = await ws.recv()
        await asyncio.sleep(0.5)
        await ws.send(f"later {message}")

    async with serve(answer_later) as server:
        result = await connect(server, "--listen", "-x", "one", "--wait", "0")

    assert result.stdout == b"later one\n"
    assert result.returncode == 0


async def test_listening_goes_on_after_the_end_of_the_input():
    async def say(ws):
        await asyncio.sleep(0.5)
        await ws.send("later")

    async with serve(say) as server:
        result = await connect(server, "--listen", "--wait", "0", stdin=b"not sent\n")

    assert result.stdout == b"later\n"
    assert result.returncode == 0


async def test_lines_with_a_slash_are_commands_where_that_is_asked_for():
    async with serve(echo) as server:
        result = await connect(
            server, "--slash", stdin=b"/foo\n//x\n/ping a\n/close 4000 bye\n"
        )

    assert result.stdout == b"/x\n"
    assert b"/foo is none of /ping, /pong, /close" in result.stderr
    assert b"4000 (private use) bye" in result.stderr


async def test_verbose_shows_the_opening_handshake_and_timestamps_the_time():
    async with serve(echo) as server:
        result = await connect(server, "-v", "-t", "-x", "a", "--wait", "0.5")

    lines = result.stderr.decode().splitlines()
    assert lines[0] == "> GET / HTTP/1.1"
    assert "< HTTP/1.1 101 Switching Protocols" in lines
    time, _, text = result.stdout.decode().strip().partition(" ")
    assert text == "a"
    assert len(time.split(":")) == 3


async def test_a_certificate_may_be_trusted_and_shown(certificates):
    context = ssl.create_default_context(
        ssl.Purpose.CLIENT_AUTH, cafile=certificates.ca_file
    )
    context.load_cert_chain(certificates.cert_file, certificates.key_file)
    context.verify_mode = ssl.CERT_REQUIRED
    ours = ("--cert", str(certificates.cert_file), "--key", str(certificates.key_file))
    async with serve(echo, ssl=context) as server:
        given = ("--ca", str(certificates.ca_file), *ours, "-x", "a", "--wait", "0.5")
        result = await connect(server, *given, scheme="wss")

    assert result.stdout == b"a\n", result.stderr


async def test_a_proxy_that_does_not_answer_is_named():
    async with serve(echo) as server:
        proxy = f"http://localhost:{free_port()}"
        result = await connect(server, "--proxy", proxy, "-x", "a")

    assert_one_line_of_error(result)


@pytest.mark.parametrize(
    ("scheme", "options"),
    [
        ("ws", ["--ca", __file__]),
        ("ws", ["--key", __file__]),
        ("wss", ["--key", __file__]),
        ("wss", ["--insecure", "--ca", __file__]),
    ],
)
def test_options_of_tls_that_would_do_nothing_are_refused(scheme, options):
    result = run("connect", f"{scheme}://localhost:1/", *options)

    assert result.returncode == 2


@pytest.mark.parametrize(
    ("option", "said"),
    [("--ca", "a PEM file with certificates"), ("--cert", "or --key FILE for the key")],
)
def test_a_file_that_has_no_certificate_is_named(option, said):
    result = run("connect", "wss://localhost:1/", option, __file__)

    assert result.returncode == 2
    text = " ".join(result.stderr.decode().replace("│", " ").split())
    assert f"{option} {__file__}: a PEM file" in text
    assert said in text


async def test_the_client_of_the_documented_names_needs_no_extras():
    script = (
        "import sys; sys.modules['rich'] = sys.modules['prompt_toolkit'] = None; "
        "from longwire.websockets.cli import main; main(sys.argv[1:])"
    )
    async with serve(echo) as server:
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", script, address(server)],
            input=b"hello\n",
            capture_output=True,
            env=environment(),
        )
        where = address(server)

    assert done.stdout.decode().splitlines() == [
        f"Connected to {where}.",
        "< hello",
        "Connection closed: 1000 (OK).",
    ]
