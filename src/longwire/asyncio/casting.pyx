"""Casting, compiled: see ``casting.py`` for what it does."""

from cpython.method cimport PyMethod_Check, PyMethod_GET_FUNCTION
from cpython.object cimport PyObject

from longwire.asyncio.messaging cimport Messaging
from longwire.session.session cimport Session
from longwire.session.shared_frames cimport Forms

__all__ = ["cast_here"]

cdef object _offer = vars(Messaging)["offer"]


cdef bint is_plain(each) except -1:
    """Return whether ``offer()`` of a connection is ours: neither a test's nor a mock's."""
    cdef object offer
    if not isinstance(each, Messaging):
        return False
    offer = each.offer
    return PyMethod_Check(offer) and (
        PyMethod_GET_FUNCTION(offer) == <PyObject*>_offer
    )


def cast_here(list connections, casting, loop):
    """Send the message of ``casting`` to those that are open and of ``loop``.

    What became of it is in ``casting.result``. Returns the open ones of other loops.
    """
    cdef Forms forms = casting.forms
    cdef object slow = casting.slow
    cdef object key = casting.key
    cdef Py_ssize_t sent = 0
    cdef Py_ssize_t skipped = 0
    cdef dict others = {}
    cdef Messaging connection
    cdef Session session
    cdef int done
    try:
        for each in connections:
            if not is_plain(each):
                cast_one(each, casting, loop, others)
                continue
            connection = <Messaging>each
            session = connection._session
            if session is None or not session.can_send:
                skipped += 1
            elif connection._loop is not loop:
                others.setdefault(connection._loop, []).append(connection)
            else:
                try:
                    done = connection.cast(session, forms, slow, key)
                except Exception as exc:
                    casting.fail(connection, exc)
                    continue
                if done == 0:
                    sent += 1
                else:
                    casting.note(done)
    finally:
        casting.result.sent += sent
        casting.result.skipped += skipped
    return others


def cast_one(connection, casting, loop, others):
    """Do the same with a connection that has an ``offer()`` of its own."""
    session = connection._session
    if session is None or not session.can_send:
        casting.result.skipped += 1
    elif connection._loop is not loop:
        others.setdefault(connection._loop, []).append(connection)
    elif casting.send(connection) == 0:
        casting.result.sent += 1
