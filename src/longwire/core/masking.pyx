# cython: language_level=3, boundscheck=False, wraparound=False
# cython: initializedcheck=False, binding=False
"""The kernel of ``masking.py``: same functions, same results, one pass each.

A key is four bytes in memory order, held in an integer and only ever moved by memcpy,
so that byte order and alignment do not matter.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy


cdef extern from "Python.h":
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 maxchar)
    void* PyUnicode_DATA(object text)
    bint PyUnicode_IS_COMPACT_ASCII(object text)


# A text is taken for ASCII until a block of this many bytes shows otherwise.

cdef Py_ssize_t BLOCK = 1024


cdef uint32_t load_key(const unsigned char* key) noexcept nogil:
    cdef uint32_t word
    memcpy(&word, key, 4)
    return word


cdef uint64_t xor_copy(
    unsigned char* to, const unsigned char* data, Py_ssize_t size, uint32_t key
) noexcept nogil:
    """Write the masked data; return all of its words ORed, to see high bits."""
    cdef uint64_t wide = (<uint64_t>key << 32) | key
    cdef uint64_t seen = 0
    cdef uint64_t word
    cdef Py_ssize_t i
    cdef Py_ssize_t words = size >> 3
    for i in range(words):
        memcpy(&word, data + 8 * i, 8)
        word ^= wide
        seen |= word
        memcpy(to + 8 * i, &word, 8)
    i = words << 3
    if i < size:
        word = 0
        memcpy(&word, data + i, size - i)
        word ^= wide
        memcpy(to + i, &word, size - i)
        # Bytes past the end hold the key: they are not part of the text.
        wide = 0
        memcpy(&wide, to + i, size - i)
        seen |= wide
    return seen


cpdef bytes apply_mask(bytes data, bytes mask, Py_ssize_t offset=0):
    """Return a copy of the data, each byte XORed with a byte of the mask."""
    cdef Py_ssize_t size = len(data)
    cdef bytes result = PyBytes_FromStringAndSize(NULL, size)
    cdef const unsigned char* key = <const unsigned char*>PyBytes_AS_STRING(mask)
    cdef unsigned char turned[4]
    cdef int i
    if len(mask) != 4:
        raise ValueError("a masking key has 4 bytes")
    for i in range(4):
        turned[i] = key[(offset + i) & 3]
    xor_copy(
        <unsigned char*>PyBytes_AS_STRING(result),
        <const unsigned char*>PyBytes_AS_STRING(data),
        size,
        load_key(turned),
    )
    return result


cpdef bytes unmask(bytes buf, Py_ssize_t start, Py_ssize_t size):
    """Return the payload at buf[start:start+size], unmasked."""
    cdef bytes result
    cdef const unsigned char* data = <const unsigned char*>PyBytes_AS_STRING(buf)
    check_bounds(buf, start, size, 4)
    result = PyBytes_FromStringAndSize(NULL, size)
    data += start
    xor_copy(
        <unsigned char*>PyBytes_AS_STRING(result), data, size, load_key(data - 4)
    )
    return result


cpdef str unmask_text(bytes buf, Py_ssize_t start, Py_ssize_t size):
    """Return the UTF-8 payload at buf[start:start+size], unmasked and decoded."""
    cdef const unsigned char* data = <const unsigned char*>PyBytes_AS_STRING(buf)
    cdef bytes encoded
    check_bounds(buf, start, size, 4)
    # One character has a shared str, which only the codec finds.
    if size > 1:
        text = ascii_or_none(data + start, size, load_key(data + start - 4))
        if text is not None:
            return text
    encoded = unmask(buf, start, size)
    return PyUnicode_DecodeUTF8(PyBytes_AS_STRING(encoded), size, NULL)


cdef ascii_or_none(const unsigned char* data, Py_ssize_t size, uint32_t key):
    """Return the text if it is ASCII, written straight into the new str."""
    cdef object text = PyUnicode_New(size, 127)
    cdef unsigned char* to = <unsigned char*>PyUnicode_DATA(text)
    cdef Py_ssize_t done = 0
    cdef Py_ssize_t step
    while done < size:
        step = size - done
        if step > BLOCK:
            step = BLOCK
        if xor_copy(to + done, data + done, step, key) & 0x8080808080808080U:
            return None
        done += step
    return text


cpdef read_ascii(bytes buf, Py_ssize_t start, Py_ssize_t size, bint masked):
    """Return the payload at buf[start:start+size] as text if it is ASCII, else None."""
    cdef const unsigned char* data = <const unsigned char*>PyBytes_AS_STRING(buf)
    check_bounds(buf, start, size, 4 if masked else 0)
    if size < 2:
        return None
    data += start
    return ascii_or_none(data, size, load_key(data - 4) if masked else 0)


cpdef str read_text(bytes buf, Py_ssize_t start, Py_ssize_t size):
    """Return the UTF-8 payload at buf[start:start+size], decoded; it is not masked."""
    check_bounds(buf, start, size, 0)
    return PyUnicode_DecodeUTF8(PyBytes_AS_STRING(buf) + start, size, NULL)


cdef int check_bounds(
    bytes buf, Py_ssize_t start, Py_ssize_t size, Py_ssize_t least
) except -1:
    """Refuse what would read outside of the buffer: a fault of ours, never a peer's."""
    if start < least or size < 0 or size > len(buf) - start:
        raise IndexError(f"payload {start}+{size} is not within {len(buf)} bytes")
    return 0


cdef Py_ssize_t write_header(
    unsigned char* to,
    int first,
    unsigned long long size,
    const unsigned char* key,
) noexcept nogil:
    """Write the header; return its length. A key of NULL is no mask."""
    cdef unsigned char flag = 0 if key is NULL else 0x80
    cdef Py_ssize_t width = 0
    cdef Py_ssize_t i
    to[0] = <unsigned char>first
    if size < 126:
        to[1] = flag | <unsigned char>size
    elif size < 65536:
        to[1] = flag | 126
        width = 2
    else:
        to[1] = flag | 127
        width = 8
    for i in range(width):
        to[2 + i] = <unsigned char>(size >> (8 * (width - 1 - i)))
    if key is NULL:
        return 2 + width
    memcpy(to + 2 + width, key, 4)
    return 6 + width


cdef const unsigned char* key_at(bytes keys, Py_ssize_t at) except? NULL:
    if at < 0:
        return NULL
    if at > len(keys) - 4:
        raise IndexError(f"no masking key at {at} in {len(keys)} bytes")
    return <const unsigned char*>PyBytes_AS_STRING(keys) + at


cpdef bytes build_frame(int first, object payload, bytes keys, Py_ssize_t at):
    """Return a whole frame: first byte, shortest length, mask, payload."""
    cdef unsigned char head[14]
    cdef const unsigned char* key = key_at(keys, at)
    cdef const unsigned char* data
    cdef unsigned char* to
    cdef bytes encoded, frame
    cdef Py_ssize_t size, width
    if isinstance(payload, str) and PyUnicode_IS_COMPACT_ASCII(payload):
        # ASCII is its own UTF-8: copied once, from the str into the frame.
        data = <const unsigned char*>PyUnicode_DATA(payload)
        size = len(<str>payload)
    else:
        encoded = payload.encode() if isinstance(payload, str) else payload
        data = <const unsigned char*>PyBytes_AS_STRING(encoded)
        size = len(encoded)
    width = write_header(head, first, size, key)
    frame = PyBytes_FromStringAndSize(NULL, width + size)
    to = <unsigned char*>PyBytes_AS_STRING(frame)
    memcpy(to, head, width)
    if key is NULL:
        memcpy(to + width, data, size)
    else:
        xor_copy(to + width, data, size, load_key(key))
    return frame


cpdef bytes build_header(int first, unsigned long long size, bytes keys, Py_ssize_t at):
    """Return what comes before the payload in a frame."""
    cdef unsigned char head[14]
    cdef Py_ssize_t width = write_header(head, first, size, key_at(keys, at))
    return PyBytes_FromStringAndSize(<char*>head, width)
