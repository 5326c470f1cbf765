/* What the reference server and the load generator share: RFC 6455 framing, the
 * accept token of its handshake, one byte stream over TCP or TLS, and time.
 *
 * Linux only (epoll). WITH_TLS and WITH_ZLIB are defined where the headers of OpenSSL
 * and of zlib are there; without them the programs refuse what needs them.
 */
#ifndef WEBSOCKET_H
#define WEBSOCKET_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#ifdef WITH_TLS
#include <openssl/err.h>
#include <openssl/ssl.h>
#endif
#ifdef WITH_ZLIB
#include <zlib.h>
#endif

typedef uint8_t byte;

enum { CONT = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };
enum { FIN = 0x80, RSV1 = 0x40, MASKED = 0x80 };
enum { MOST_HEADER = 14, MOST_CONTROL = 125, MOST_HEAD = 4096 };

#define PROGRAM_FORMAT __attribute__((format(printf, 1, 2), noreturn))

/* End the program; the reason is its last line on standard error. */
static PROGRAM_FORMAT void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static void *must(void *pointer) {
    if (!pointer)
        die("out of memory");
    return pointer;
}

static uint64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* --- arguments: name=value, with the names and defaults of a table --- */

struct argument {
    const char *name;
    long *number;      /* either this */
    const char **text; /* or this is set */
};

static void read_arguments(int count, char **given, const struct argument *table) {
    for (int i = 1; i < count; i++) {
        char *equals = strchr(given[i], '=');
        const struct argument *found = table;
        while (equals && found->name &&
               (strncmp(found->name, given[i], (size_t)(equals - given[i])) ||
                found->name[equals - given[i]]))
            found++;
        if (!equals || !found->name)
            die("no such argument: %s (NAME=VALUE; see the head of the source)", given[i]);
        if (found->number)
            *found->number = atol(equals + 1);
        else
            *found->text = equals + 1;
    }
}

/* --- frames: RFC 6455 section 5.2 --- */

struct frame {
    byte first;      /* FIN, RSV and opcode */
    bool masked;
    byte key[4];
    uint64_t size;   /* of the payload */
};

/* Return the size of the header at `data`, 0 while incomplete, -1 for a wrong one. */
static inline int read_header(const byte *data, size_t have, struct frame *frame) {
    if (have < 2)
        return 0;
    unsigned size = data[1] & 0x7f, at = 2;
    unsigned more = size == 126 ? 2 : size == 127 ? 8 : 0;
    frame->masked = data[1] & MASKED;
    if (have < at + more + (frame->masked ? 4 : 0))
        return 0;
    frame->first = data[0];
    frame->size = more ? 0 : size;
    for (unsigned i = 0; i < more; i++)
        frame->size = frame->size << 8 | data[at++];
    if ((more == 2 && frame->size < 126) || (more == 8 && frame->size < 65536) ||
        frame->size >> 63)
        return -1;
    if ((data[0] & 0x08) && (size > MOST_CONTROL || !(data[0] & FIN)))
        return -1;
    if ((data[0] & 0x30) || (data[0] & 0x07) > 2)
        return -1;
    if (frame->masked) {
        memcpy(frame->key, data + at, 4);
        at += 4;
    }
    return (int)at;
}

/* Write a header to `out`; with a key it is a client's. Return its size. */
static inline size_t write_header(byte *out, byte first, uint64_t size, const byte *key) {
    size_t at = 2, more = size < 126 ? 0 : size < 65536 ? 2 : 8;
    out[0] = first;
    out[1] = (byte)(more == 0 ? size : more == 2 ? 126 : 127) | (key ? MASKED : 0);
    for (size_t i = more; i-- > 0;)
        out[at++] = (byte)(size >> (8 * i));
    if (key) {
        memcpy(out + at, key, 4);
        at += 4;
    }
    return at;
}

/* XOR `size` bytes with the key, from `in` to `out`, which may be the same place. */
static inline void mask_bytes(byte *out, const byte *in, size_t size, const byte *key) {
    uint32_t four;
    memcpy(&four, key, 4);
    uint64_t eight = (uint64_t)four << 32 | four;
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        uint64_t word;
        memcpy(&word, in + i, 8);
        word ^= eight;
        memcpy(out + i, &word, 8);
    }
    for (; i < size; i++)
        out[i] = in[i] ^ key[i & 3];
}

/* --- the opening handshake: RFC 6455 section 4.2.2 --- */

static uint32_t rotate(uint32_t value, int bits) {
    return value << bits | value >> (32 - bits);
}

/* SHA-1 (FIPS 180-4) of at most 119 bytes: two blocks. */
static void sha1(const byte *data, size_t size, byte digest[20]) {
    uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    byte blocks[128] = {0};
    size_t total = size < 56 ? 64 : 128;
    memcpy(blocks, data, size);
    blocks[size] = 0x80;
    blocks[total - 2] = (byte)(size * 8 >> 8);
    blocks[total - 1] = (byte)(size * 8);
    for (size_t at = 0; at < total; at += 64) {
        uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
        for (int i = 0; i < 80; i++) {
            const byte *p = blocks + at + 4 * i;
            w[i] = i < 16 ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
                                (uint32_t)p[2] << 8 | p[3]
                          : rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
            uint32_t mix = i < 20   ? ((b & c) | (~b & d)) + 0x5a827999
                           : i < 40 ? (b ^ c ^ d) + 0x6ed9eba1
                           : i < 60 ? ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc
                                    : (b ^ c ^ d) + 0xca62c1d6;
            uint32_t next = rotate(a, 5) + mix + e + w[i];
            e = d, d = c, c = rotate(b, 30), b = a, a = next;
        }
        h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
    }
    for (int i = 0; i < 20; i++)
        digest[i] = (byte)(h[i / 4] >> (24 - 8 * (i % 4)));
}

/* Write the base64 form of `data` and a final NUL. */
static void base64(const byte *data, size_t size, char *out) {
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        uint32_t three = (uint32_t)data[i] << 16;
        three |= i + 1 < size ? (uint32_t)data[i + 1] << 8 : 0;
        three |= i + 2 < size ? data[i + 2] : 0;
        *out++ = alphabet[three >> 18];
        *out++ = alphabet[three >> 12 & 63];
        *out++ = i + 1 < size ? alphabet[three >> 6 & 63] : '=';
        *out++ = i + 2 < size ? alphabet[three & 63] : '=';
    }
    *out = 0;
}

/* The Sec-WebSocket-Accept (28 characters and NUL) for a key of 24 characters. */
static void accept_token(const char *key, char token[29]) {
    byte text[60], digest[20];
    memcpy(text, key, 24);
    memcpy(text + 24, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36);
    sha1(text, 60, digest);
    base64(digest, 20, token);
}

/* The value of a header in a NUL-terminated head, up to its end of line, or NULL. */
static const char *find_header(const char *head, const char *name) {
    size_t size = strlen(name);
    for (const char *line = head; (line = strstr(line, "\r\n")); ) {
        line += 2;
        if (!strncasecmp(line, name, size) && line[size] == ':') {
            line += size + 1;
            return line + strspn(line, " \t");
        }
    }
    return NULL;
}

/* --- a stream: TCP, or TLS over it --- */

struct stream {
    int fd;
#ifdef WITH_TLS
    SSL *tls;
#endif
};

enum { WOULD_BLOCK = 0, ENDED = -1 };

#ifdef WITH_TLS
/* What a call of OpenSSL came to, in our words. */
static ssize_t tls_result(SSL *tls, int result) {
    if (result > 0)
        return result;
    int error = SSL_get_error(tls, result);
    ERR_clear_error();
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? WOULD_BLOCK
                                                                         : ENDED;
}

static void tls_attach(struct stream *stream, SSL_CTX *context, bool client) {
    stream->tls = must(SSL_new(context));
    SSL_set_fd(stream->tls, stream->fd);
    SSL_set_mode(stream->tls, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    client ? SSL_set_connect_state(stream->tls) : SSL_set_accept_state(stream->tls);
}
#endif

static bool uses_tls(const struct stream *stream) {
#ifdef WITH_TLS
    return stream->tls != NULL;
#else
    (void)stream;
    return false;
#endif
}

/* Return the number of bytes read, WOULD_BLOCK or ENDED. */
static inline ssize_t stream_read(struct stream *stream, byte *data, size_t size) {
#ifdef WITH_TLS
    if (stream->tls)
        return tls_result(stream->tls, SSL_read(stream->tls, data, (int)size));
#endif
    ssize_t got = recv(stream->fd, data, size, 0);
    if (got > 0)
        return got;
    return got < 0 && (errno == EAGAIN || errno == EINTR) ? WOULD_BLOCK : ENDED;
}

/* Return the number of bytes written, WOULD_BLOCK or ENDED. */
static inline ssize_t stream_write(struct stream *stream, const byte *data, size_t size) {
#ifdef WITH_TLS
    if (stream->tls)
        return tls_result(stream->tls, SSL_write(stream->tls, data, (int)size));
#endif
    ssize_t sent = send(stream->fd, data, size, MSG_NOSIGNAL);
    if (sent >= 0)
        return sent;
    return errno == EAGAIN || errno == EINTR ? WOULD_BLOCK : ENDED;
}

static void stream_close(struct stream *stream) {
#ifdef WITH_TLS
    if (stream->tls) {
        SSL_shutdown(stream->tls);
        ERR_clear_error();
        SSL_free(stream->tls);
        stream->tls = NULL;
    }
#endif
    close(stream->fd);
    stream->fd = -1;
}

static void no_delay(int fd) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* As many open files as this user may have. */
static void raise_file_limit(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

#endif
