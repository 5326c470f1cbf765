"""Addresses of sockets, in the forms of the socket module, without a socket object.

A socket object asks the system for family, type and protocol of the descriptor it is
made of: three system calls for one address.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.string cimport memcpy

cdef extern from "addresses.h" nogil:
    int LW_ADDRESS_INET, LW_ADDRESS_INET6, LW_ADDRESS_UNIX, LW_ADDRESS_ABSTRACT
    int lw_address_parts(const lw_address* address, char* host, unsigned int* numbers)

cdef extern from "Python.h":
    object PyUnicode_DecodeFSDefault(const char* text)
    object PyUnicode_FromString(const char* text)

cdef enum:
    HOST = 256  # bytes: more than any path of a Unix socket has


cdef bytes kept(lw_address* address):
    """Return the bytes of an address, to be shown later if somebody asks."""
    return PyBytes_FromStringAndSize(<char*>address, sizeof(lw_address))


cdef object shown_of(bytes address):
    """Return what ``kept()`` kept as the socket module shows it."""
    cdef lw_address copy
    memcpy(&copy, PyBytes_AS_STRING(address), sizeof(lw_address))
    return shown(&copy)


cdef object shown(const lw_address* address):
    """Return an address as the socket module shows it; None for unusual families."""
    cdef char host[HOST]
    cdef unsigned int numbers[3]
    cdef int kind = lw_address_parts(address, host, numbers)
    if kind == LW_ADDRESS_INET:
        return PyUnicode_FromString(host), numbers[0]
    if kind == LW_ADDRESS_INET6:
        return PyUnicode_FromString(host), numbers[0], numbers[1], numbers[2]
    if kind == LW_ADDRESS_UNIX:
        return PyUnicode_DecodeFSDefault(host)
    if kind == LW_ADDRESS_ABSTRACT:
        return PyBytes_FromStringAndSize(host, numbers[0])
    return None
