# cython: language_level=3, binding=False
"""The kernel of ``footprint.py``: same results, without a call of Python's."""

cdef extern from "Python.h":
    ctypedef struct PyASCIIObject:
        pass
    ctypedef struct PyCompactUnicodeObject:
        pass
    bint PyUnicode_IS_ASCII(object text)
    int PyUnicode_KIND(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    Py_ssize_t PyBytes_GET_SIZE(object data)

# What is there before the first byte, and the NUL after the last.
cdef Py_ssize_t _EMPTY = bytes.__basicsize__


cpdef Py_ssize_t memory_of(payload) except -1:
    """Return the bytes of memory that ``payload`` takes, the object's own included."""
    if type(payload) is bytes:
        return PyBytes_GET_SIZE(payload) + _EMPTY
    if type(payload) is not str:
        return payload.__sizeof__()
    if PyUnicode_IS_ASCII(payload):
        return PyUnicode_GET_LENGTH(payload) + 1 + sizeof(PyASCIIObject)
    return (
        (PyUnicode_GET_LENGTH(payload) + 1) * PyUnicode_KIND(payload)
        + sizeof(PyCompactUnicodeObject)
    )
