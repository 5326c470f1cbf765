"""The compiled path of a message has no Python object where C numbers do.

A name that no .pxd declares is looked up, and a number without a C type is made into an
object, compared as one and thrown away: nothing fails, it is only slower. What Cython
has generated says so.
"""

from __future__ import annotations

import re

import pytest

from tests.support.needs import ROOT

pytestmark = pytest.mark.once

GENERATED = ROOT / "build" / "cython" / "src" / "longwire"
HIDDEN = re.compile(
    r"\b(?:PyNumber_\w+|PyObject_RichCompare\w*|__Pyx_Py(?:Int|Long)_\w+ObjC\w*)\b"
)
LOOKED_UP = re.compile(r"__Pyx_GetModuleGlobalName\(\w+, \w*?_n_[su]_+(\w+)\)")

# Functions that every message goes through, and the names each may look up: those
# of errors, and of what is not usual.
HOT: dict[str, dict[str, set[str]]] = {
    "asyncio/reactor": {
        "Reactor__work": set(),
        "Reactor__take_next": set(),
        "Reactor__tend": set(),
        "Reactor__guess": set(),
        "Reactor_cork": set(),
    },
    "asyncio/sockets": {
        "Socket_ready": set(),
        "Socket__read": set(),
        "Socket_write": set(),
    },
    "asyncio/messaging": {
        "Messaging_is_here": set(),
        "Messaging_time": set(),
        "Messaging_take_bytes": set(),
        "Messaging__wake_reader": set(),
        "Messaging_react": set(),
        "Messaging_write_due": set(),
        "Messaging_flush": set(),
        "Messaging_put": set(),
        "Messaging_send_now": set(),
        "Messaging_cast": set(),
        "Receiving_step": {"InvalidState", "busy"},
        "Receiving_take": {"as_wanted"},
        "Sending_step": {"InvalidState", "BytesLike"},
    },
    "asyncio/waiting": {
        "Waiter_wake": set(),
        "Waiter_call_back": set(),
        "Waiter_run": set(),
    },
    "session/session": {
        "Session_receive": set(),
        "Session__pump": {"LimitExceeded", "ProtocolError"},
        "Session_take": set(),
        "Session_wait": set(),
        "Session_stop_waiting": set(),
        "Session_send": set(),
        "Session_send_encoded": set(),
        "Session_take_output": set(),
        "Session_take_due_output": set(),
        "Session_next_deadline": set(),
    },
    "session/intake": {
        "Intake_begin_turn": set(),
        "Intake_advance": set(),
        "Intake_must_wait": set(),
        "Intake__is_heavy": set(),
        "Intake__add": set(),
    },
    "core/protocol": {
        "Protocol_receive": set(),
        "Protocol_next_event": set(),
        "Protocol_partial": set(),
        "Protocol__read_event": set(),
        "Protocol__end_frame": set(),
        "Protocol_send_message": set(),
        "Protocol_take_output": set(),
        "Protocol__put": set(),
    },
    "core/assembler": {"Assembler_memory": set()},
    "core/inbox": {"Inbox_add": set(), "Inbox_take": set(), "Inbox__remove": set()},
    "core/frames": {
        "FrameReader_read_header": set(),
        "FrameReader__parse": set(),
        "FrameReader_is_whole": set(),
        "FrameReader_take": set(),
    },
}


def bodies(module: str) -> dict[str, str]:
    """The C of each function of a compiled module, by its name there."""
    source = (GENERATED / f"{module}.c").read_text()
    parts = ("longwire", *module.split("/"))
    name = "_".join(f"{len(part)}{part}" for part in parts)
    pattern = re.compile(
        rf"^static [^;\n]*?\b__pyx_f_{name}_(\w+)\([^;\n]*\) {{\n(.*?)^}}",
        re.MULTILINE | re.DOTALL,
    )
    found = {}
    for match in pattern.finditer(source):
        cython_name = re.sub(r"^\d+", "", match[1])
        found[cython_name] = match[2]
    return found


@pytest.mark.parametrize("module", HOT)
def test_no_number_of_the_hot_path_is_an_object(module: str) -> None:
    if not (GENERATED / f"{module}.c").is_file():
        pytest.skip("the package was compiled elsewhere")
    found = bodies(module)
    for function, allowed in HOT[module].items():
        assert function in found, f"{function} is not compiled any more: {set(found)}"
        hidden = HIDDEN.findall(found[function])
        assert not hidden, f"{function}: {hidden}"
        names = set(LOOKED_UP.findall(found[function]))
        assert names <= allowed, f"{function} looks up {names - allowed}"
