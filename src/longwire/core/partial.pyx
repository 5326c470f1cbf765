# cython: language_level=3, binding=False
"""The kernel of ``partial.py``: same class, same results, each byte written once.

Bytes and ASCII go straight to the object that will be the message. The first other
character turns a text into a list of texts, each decoded from one read, to be joined.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.object cimport PyObject
from cpython.ref cimport Py_XDECREF
from cpython.unicode cimport PyUnicode_DecodeUTF8Stateful
from libc.stdint cimport uint32_t
from libc.string cimport memcpy

from longwire.core.footprint cimport memory_of
from longwire.core.masking cimport xor_copy


cdef extern from "Python.h":
    PyObject* new_bytes "PyBytes_FromStringAndSize"(const char*, Py_ssize_t) except NULL
    int resize_bytes "_PyBytes_Resize"(PyObject**, Py_ssize_t) except -1
    char* bytes_at "PyBytes_AS_STRING"(PyObject*)
    PyObject* new_text "PyUnicode_New"(Py_ssize_t size, Py_UCS4 maxchar) except NULL
    int resize_text "PyUnicode_Resize"(PyObject**, Py_ssize_t) except -1
    void* text_at "PyUnicode_DATA"(PyObject*)
    void Py_DECREF(PyObject*)


# A text is taken for ASCII until a block of this many bytes shows otherwise.
cdef Py_ssize_t BLOCK = 1024
# Most that is decoded at a time: larger pieces leave the processor's cache, and cost
# three times as much from 256 KiB on, where each has to be asked of the system.
cdef Py_ssize_t PIECE = 32768
# Room is made for what is announced, but only so many times what has come: a peer
# that announces much and sends little makes us hold little.
cdef Py_ssize_t AHEAD = 4
cdef Py_ssize_t LEAST = 4096
# Texts shorter than this are joined as they come, so that a peer that sends its bytes
# one by one does not make us hold an object for each.
cdef Py_ssize_t SHORT = 4096


cdef class Held:
    """A payload that grows; ``size`` is how many bytes it has."""

    def __cinit__(self, bint text, bytes tail=b""):
        self.size = len(tail)
        self.tail = tail
        self._text = text
        self._whole = NULL
        self._parts = [] if text and tail else None

    def __dealloc__(self):
        Py_XDECREF(self._whole)

    cpdef add(
        self,
        bytes data,
        Py_ssize_t start,
        Py_ssize_t size,
        bytes key,
        Py_ssize_t offset,
        long long more,
    ):
        """Append data[start:start+size], unmasked; no ``key``, no mask."""
        cdef const unsigned char* source
        cdef uint32_t mask = 0
        cdef unsigned char turned[4]
        cdef bytes piece
        cdef Py_ssize_t i, done
        if start < 0 or size < 0 or size > len(data) - start:
            raise IndexError(f"{start}+{size} is not within {len(data)} bytes")
        if key:
            if len(key) != 4:
                raise ValueError("a masking key has 4 bytes")
            for i in range(4):
                turned[i] = (<const unsigned char*>PyBytes_AS_STRING(key))[
                    (offset + i) & 3
                ]
            memcpy(&mask, turned, 4)
        if size == 0:
            return
        self.size += size
        source = <const unsigned char*>PyBytes_AS_STRING(data) + start
        if not self._text:
            self._make_room(size, more)
            xor_copy(
                <unsigned char*>bytes_at(self._whole) + self._used, source, size, mask
            )
            self._used += size
            return
        done = 0
        if self._parts is None:
            # A whole number of blocks, so that the key need not be turned again.
            done = self._add_ascii(source, size, mask, more)
            if done == size:
                return
        while done < size:
            i = min(size - done, PIECE)
            piece = PyBytes_FromStringAndSize(NULL, i)
            xor_copy(
                <unsigned char*>PyBytes_AS_STRING(piece), source + done, i, mask
            )
            self._add_text(piece)
            done += i

    cpdef Py_ssize_t memory(self) except -1:
        """Return the bytes of memory that it takes now."""
        return self._room + self._parts_memory

    cpdef take(self):
        """Return it all, once; a text without the ``tail`` it leaves."""
        if not self._text:
            return b"" if self._whole is NULL else self._cut_whole()
        if self._parts is None:
            return "" if self._whole is NULL else self._cut_whole()
        whole = "".join(self._parts)
        self._parts = None
        self._parts_memory = 0
        return whole

    cdef int _make_room(self, Py_ssize_t size, long long more) except -1:
        """See to it that ``size`` bytes fit, and some of those that will follow."""
        cdef long long need = self._used + size
        cdef long long room
        if need <= self._room:
            return 0
        room = max(LEAST, (2 if more < 0 else AHEAD) * need)
        if 0 <= more < room - need:
            room = max(2, need + more)  # a text of one character cannot be resized
        self._room = 0
        if self._whole is NULL:
            self._whole = new_text(room, 127) if self._text else new_bytes(NULL, room)
        elif self._text:
            resize_text(&self._whole, room)
        else:
            resize_bytes(&self._whole, room)
        self._room = room
        return 0

    cdef Py_ssize_t _add_ascii(
        self, const unsigned char* data, Py_ssize_t size, uint32_t key, long long more
    ) except -1:
        """Append the blocks that are ASCII; return how many bytes these have."""
        cdef unsigned char* to
        cdef Py_ssize_t done = 0
        cdef Py_ssize_t step
        self._make_room(size, more)
        to = <unsigned char*>text_at(self._whole) + self._used
        while done < size:
            step = min(size - done, BLOCK)
            if xor_copy(to + done, data + done, step, key) & 0x8080808080808080U:
                self._used += done
                self._parts = []
                if self._used:
                    self._add_part(self._cut_whole())
                return done
            done += step
        self._used += done
        return done

    cdef int _add_text(self, bytes piece) except -1:
        cdef str text
        cdef list parts = self._parts
        if self.tail:
            piece = self.tail + piece
        text, self.tail = decode_part(piece)
        # Each is then longer than the next, so there are few; and each character is
        # moved seldom.
        while parts and len(<str>parts[len(parts) - 1]) <= min(len(text), SHORT):
            last = parts.pop()
            self._parts_memory -= memory_of(last)
            text = <str>last + text
        if text:
            self._add_part(text)
        return 0

    cdef int _add_part(self, text) except -1:
        self._parts.append(text)
        self._parts_memory += memory_of(text)
        return 0

    cdef object _cut_whole(self):
        """Return the object that was filled, at its true length."""
        cdef PyObject* whole = self._whole
        cdef Py_ssize_t used = self._used
        cdef Py_ssize_t room = self._room
        self._whole = NULL
        self._used = self._room = 0
        try:
            if self._text and used == 1:
                return chr((<unsigned char*>text_at(whole))[0])
            if used != room:
                if self._text:
                    resize_text(&whole, used)
                else:
                    resize_bytes(&whole, used)
            return <object>whole
        finally:
            Py_XDECREF(whole)


cpdef tuple decode_part(bytes data):
    """Return the text and, at its end, the bytes of an incomplete character."""
    cdef Py_ssize_t size = len(data)
    cdef Py_ssize_t done = 0
    cdef bytes tail
    text = PyUnicode_DecodeUTF8Stateful(PyBytes_AS_STRING(data), size, NULL, &done)
    if done == size:
        return text, b""
    tail = data[done:]
    # CPython waits for the third byte of a surrogate, which UTF-8 has none of.
    if len(tail) == 2 and tail[0] == 0xED and tail[1] > 0x9F:
        tail.decode()
    return text, tail
