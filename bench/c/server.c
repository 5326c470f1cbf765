/* The floor: a WebSocket server of one process around one epoll, with nothing else.
 *
 *     server mode=echo [tls=CERTIFICATE_AND_KEY.pem] [deflate=1] [keepalive=SECONDS]
 *
 * Prints its port, then serves until it is ended. What a mode answers:
 *
 *     echo       each message with itself
 *     sink       a text message with the number of binary ones before it
 *     broadcast  a binary message by sending it to all; a text message with itself
 *     firehose   a text message "N" with N binary ones of 64 bytes; others with themselves
 *
 * Not checked, because nothing here depends on it: UTF-8 of text, most of HTTP.
 * Messages end at 64 MiB, the connection with them.
 */
#include "websocket.h"

enum { READ_SIZE = 1 << 18, MOST_MESSAGE = 1 << 26, FIREHOSE = 64 };
enum { SMALL = 4096, LARGE = 16384 };

/* The compression that most servers in Python choose, so that it can be compared. */
enum { WINDOW_BITS = 12, MEMORY_LEVEL = 5 };

/* A growing block of bytes: `at` were used up, `have` are there. */
struct block {
    byte *data;
    size_t at, have, room;
};

struct connection {
    struct stream stream;
    struct block in;      /* an incomplete frame */
    struct block message; /* the fragments so far */
    struct block out;     /* what the kernel did not take yet */
    byte opcode;          /* first byte of the message under way, 0 outside of one */
    bool open, ended, closing, watching_out, deflates;
    uint64_t counted, firehose_left, ping_at;
    struct connection *next, *previous; /* in the order of ping_at */
#ifdef WITH_ZLIB
    z_stream *deflater, *inflater;
#endif
};

static enum { ECHO_BACK, SINK, BROADCAST, FIREHOSES } mode;
static long may_deflate, keepalive;
static int poller;
static byte *shared_in;                    /* read by whichever connection is readable */
static byte pending[READ_SIZE + 2 * SMALL]; /* replies to be written together */
static size_t pending_size;
static struct connection all = {.next = &all, .previous = &all};
#ifdef WITH_TLS
static SSL_CTX *context;
#endif

static void append(struct block *block, const byte *data, size_t size) {
    if (block->at == block->have)
        block->at = block->have = 0;
    if (block->have + size > block->room) {
        block->room = block->have + size > 2 * block->room ? block->have + size
                                                           : 2 * block->room;
        block->data = must(realloc(block->data, block->room));
    }
    memcpy(block->data + block->have, data, size);
    block->have += size;
}

static void release(struct block *block) {
    free(block->data);
    *block = (struct block){0};
}

static void unlink_connection(struct connection *c) {
    c->previous->next = c->next;
    c->next->previous = c->previous;
}

static void link_last(struct connection *c) {
    c->previous = all.previous;
    c->next = &all;
    all.previous->next = c;
    all.previous = c;
}

static void drop(struct connection *c) {
    if (c->open)
        unlink_connection(c);
    stream_close(&c->stream);
    release(&c->in);
    release(&c->message);
    release(&c->out);
#ifdef WITH_ZLIB
    if (c->deflater)
        deflateEnd(c->deflater);
    if (c->inflater)
        inflateEnd(c->inflater);
    free(c->deflater);
    free(c->inflater);
#endif
    free(c);
}

/* --- writing --- */

static void watch(struct connection *c, bool out) {
    if (out == c->watching_out)
        return;
    c->watching_out = out;
    /* Who does not read is not read from either, so that nothing grows. */
    struct epoll_event event = {.events = out ? EPOLLOUT : EPOLLIN, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_MOD, c->stream.fd, &event);
}

static void write_bytes(struct connection *c, const byte *data, size_t size) {
    while (size && c->out.at == c->out.have && !c->ended) {
        ssize_t sent = stream_write(&c->stream, data, size);
        if (sent == ENDED)
            c->ended = true;
        if (sent <= 0)
            break;
        data += sent;
        size -= (size_t)sent;
    }
    if (size && !c->ended) {
        append(&c->out, data, size);
        watch(c, true);
    }
}

static void flush_pending(struct connection *c) {
    if (pending_size)
        write_bytes(c, pending, pending_size);
    pending_size = 0;
}

/* Send one frame: small ones with others, a large one from where it lies. */
static void send_frame(struct connection *c, byte first, const byte *data, size_t size) {
    if (pending_size + MOST_HEADER + (size < SMALL ? size : 0) > sizeof pending)
        flush_pending(c);
    pending_size += write_header(pending + pending_size, first, size, NULL);
    if (size < SMALL || uses_tls(&c->stream)) {
        /* A TLS record of the header alone would cost more than the copy. */
        size_t fits = sizeof pending - pending_size;
        fits = size < fits ? size : fits;
        memcpy(pending + pending_size, data, fits);
        pending_size += fits;
        if (fits < size) {
            flush_pending(c);
            write_bytes(c, data + fits, size - fits);
        }
        return;
    }
    if (c->out.at == c->out.have && !c->ended) {
        struct iovec parts[2] = {{pending, pending_size}, {(void *)data, size}};
        struct msghdr together = {.msg_iov = parts, .msg_iovlen = 2};
        ssize_t sent = sendmsg(c->stream.fd, &together, MSG_NOSIGNAL);
        size_t done = sent > 0 ? (size_t)sent : 0;
        size_t of_pending = done < pending_size ? done : pending_size;
        memmove(pending, pending + of_pending, pending_size -= of_pending);
        data += done - of_pending;
        size -= done - of_pending;
    }
    flush_pending(c);
    write_bytes(c, data, size);
}

static void send_firehose(struct connection *c) {
    static byte frames[512 * (2 + FIREHOSE)];
    if (!frames[0])
        for (int i = 0; i < 512; i++) {
            byte *frame = frames + i * (2 + FIREHOSE);
            write_header(frame, FIN | BINARY, FIREHOSE, NULL);
            memset(frame + 2, 'x', FIREHOSE);
        }
    while (c->firehose_left && c->out.at == c->out.have && !c->ended) {
        uint64_t count = c->firehose_left < 512 ? c->firehose_left : 512;
        c->firehose_left -= count;
        write_bytes(c, frames, (size_t)count * (2 + FIREHOSE));
    }
}

static void on_writable(struct connection *c) {
    ssize_t sent =
        stream_write(&c->stream, c->out.data + c->out.at, c->out.have - c->out.at);
    if (sent == ENDED)
        c->ended = true;
    c->out.at += sent > 0 ? (size_t)sent : 0;
    if (c->out.at < c->out.have)
        return;
    release(&c->out);
    watch(c, false);
    send_firehose(c);
    c->ended = c->ended || c->closing;
}

/* --- compression: RFC 7692 --- */

#ifdef WITH_ZLIB
static byte inflated[MOST_MESSAGE], deflated[MOST_MESSAGE];

/* Inflate the message in place of its payload; false for what is not deflate. */
static bool inflate_message(struct connection *c, const byte **data, size_t *size) {
    static byte tail[4] = {0, 0, 0xff, 0xff};
    z_stream *z = c->inflater;
    if (!z) {
        z = c->inflater = must(calloc(1, sizeof *z));
        inflateInit2(z, -WINDOW_BITS);
    }
    z->next_out = inflated;
    z->avail_out = sizeof inflated;
    const byte *parts[2] = {*data, tail};
    size_t sizes[2] = {*size, sizeof tail};
    for (int i = 0; i < 2; i++) {
        z->next_in = (byte *)parts[i];
        z->avail_in = (uInt)sizes[i];
        int result = inflate(z, Z_SYNC_FLUSH);
        if ((result != Z_OK && result != Z_BUF_ERROR) || z->avail_in)
            return false;
    }
    *data = inflated;
    *size = sizeof inflated - z->avail_out;
    return true;
}

static void deflate_message(struct connection *c, const byte **data, size_t *size) {
    if (!*size) {
        /* zlib flushes nothing twice: an empty block by hand (section 7.2.3.6). */
        *data = (const byte *)"";
        *size = 1;
        return;
    }
    z_stream *z = c->deflater;
    if (!z) {
        z = c->deflater = must(calloc(1, sizeof *z));
        deflateInit2(z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -WINDOW_BITS, MEMORY_LEVEL,
                     Z_DEFAULT_STRATEGY);
    }
    z->next_in = (byte *)*data;
    z->avail_in = (uInt)*size;
    z->next_out = deflated;
    z->avail_out = sizeof deflated;
    deflate(z, Z_SYNC_FLUSH);
    *data = deflated;
    *size = sizeof deflated - z->avail_out - 4;
}
#endif

/* --- what a message is answered with --- */

static void send_message(struct connection *c, byte opcode, const byte *data, size_t size) {
    byte first = FIN | opcode;
#ifdef WITH_ZLIB
    if (c->deflates && opcode < CLOSE) {
        deflate_message(c, &data, &size);
        first |= RSV1;
    }
#endif
    send_frame(c, first, data, size);
}

static void broadcast(struct connection *sender, const byte *data, size_t size) {
    static byte frame[MOST_HEADER + SMALL];
    if (size > SMALL)
        die("a broadcast of %zu bytes is more than %d", size, SMALL);
    flush_pending(sender);
    size_t header = write_header(frame, FIN | BINARY, size, NULL);
    memcpy(frame + header, data, size);
    for (struct connection *c = all.next; c != &all; c = c->next)
        write_bytes(c, frame, header + size);
}

/* Answer a whole message; false when the connection has to end for it. */
static bool on_message(struct connection *c, byte first, const byte *data, size_t size) {
    byte opcode = first & 0x0f;
#ifdef WITH_ZLIB
    if ((first & RSV1) && !inflate_message(c, &data, &size))
        return false;
#endif
    if (mode == SINK && opcode == BINARY) {
        c->counted++;
    } else if (mode == SINK) {
        char text[24];
        int length = snprintf(text, sizeof text, "%llu", (unsigned long long)c->counted);
        send_message(c, TEXT, (byte *)text, (size_t)length);
    } else if (mode == BROADCAST && opcode == BINARY) {
        broadcast(c, data, size);
    } else if (mode == FIREHOSES && opcode == TEXT && size && data[0] != '?') {
        char text[24] = {0};
        memcpy(text, data, size < 23 ? size : 23);
        c->firehose_left += strtoull(text, NULL, 10);
        flush_pending(c);
        send_firehose(c);
    } else {
        send_message(c, opcode, data, size);
    }
    return true;
}

static bool on_control(struct connection *c, byte opcode, const byte *data, size_t size) {
    if (opcode == PING)
        send_frame(c, FIN | PONG, data, size);
    if (opcode == CLOSE) {
        send_frame(c, FIN | CLOSE, data, size);
        c->closing = true;
    }
    return size != 1 || opcode != CLOSE;
}

static bool on_frame(struct connection *c, const struct frame *frame, byte *data) {
    byte opcode = frame->first & 0x0f;
    size_t size = (size_t)frame->size;
    mask_bytes(data, data, size, frame->key);
    if (opcode >= CLOSE)
        return on_control(c, opcode, data, size);
    if ((opcode == CONT) != (c->opcode != 0))
        return false;
    if (opcode != CONT && (frame->first & FIN))
        return on_message(c, frame->first, data, size);
    if (opcode != CONT)
        c->opcode = frame->first;
    if (c->message.have + size > MOST_MESSAGE)
        return false;
    append(&c->message, data, size);
    if (!(frame->first & FIN))
        return true;
    bool fine = on_message(c, c->opcode, c->message.data, c->message.have);
    c->opcode = 0;
    release(&c->message);
    return fine;
}

/* --- reading --- */

/* Take the frames of `data`; return how much was used, or -1 for a fault. */
static ssize_t take_frames(struct connection *c, byte *data, size_t have) {
    size_t at = 0;
    struct frame frame;
    while (!c->closing && !c->ended) {
        int header = read_header(data + at, have - at, &frame);
        if (header < 0 || (header && (!frame.masked || frame.size > MOST_MESSAGE)))
            return -1;
        if (!header || have - at - (size_t)header < frame.size)
            break;
        if ((frame.first & RSV1) && !c->deflates)
            return -1;
        if (!on_frame(c, &frame, data + at + header))
            return -1;
        at += (size_t)header + (size_t)frame.size;
    }
    return (ssize_t)at;
}

/* Answer the opening handshake in `data`; return its size, 0 if incomplete, -1. */
static ssize_t take_handshake(struct connection *c, byte *data, size_t have) {
    char head[MOST_HEAD + 1], token[29], answer[512];
    size_t size = have < MOST_HEAD ? have : MOST_HEAD;
    memcpy(head, data, size);
    head[size] = 0;
    char *end = strstr(head, "\r\n\r\n");
    if (!end)
        return have < MOST_HEAD ? 0 : -1;
    end[4] = 0;
    const char *key = find_header(head, "Sec-WebSocket-Key");
    if (strncmp(head, "GET ", 4) || !key || strcspn(key, " \r") != 24)
        return -1;
    accept_token(key, token);
    const char *offer = find_header(head, "Sec-WebSocket-Extensions");
    c->deflates = may_deflate && offer && strstr(offer, "client_max_window_bits");
    int length = snprintf(
        answer, sizeof answer,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n%s\r\n",
        token,
        c->deflates ? "Sec-WebSocket-Extensions: permessage-deflate; "
                      "server_max_window_bits=12; client_max_window_bits=12\r\n"
                    : "");
    c->open = true;
    c->ping_at = now_ns() + (uint64_t)keepalive * 1000000000u;
    link_last(c);
    write_bytes(c, (byte *)answer, (size_t)length);
    return end + 4 - head;
}

/* Use what can be used of `data`; return what that was, or -1 to end. */
static ssize_t take(struct connection *c, byte *data, size_t have) {
    ssize_t used = 0;
    if (!c->open && (used = take_handshake(c, data, have)) <= 0)
        return used;
    ssize_t more = take_frames(c, data + used, have - (size_t)used);
    return more < 0 ? -1 : used + more;
}

/* The bytes that the incomplete frame of a connection will have, 0 if not known yet. */
static size_t frame_to_come(struct connection *c) {
    struct frame frame;
    int header = c->open ? read_header(c->in.data, c->in.have, &frame) : 0;
    return header > 0 ? (size_t)header + (size_t)frame.size : 0;
}

/* Read the rest of a large frame to where it will be used, and nothing behind it. */
static bool read_large(struct connection *c, size_t whole, bool *again) {
    if (whole > c->in.room) {
        c->in.data = must(realloc(c->in.data, whole));
        c->in.room = whole;
    }
    size_t wanted = whole - c->in.have;
    ssize_t got = stream_read(&c->stream, c->in.data + c->in.have, wanted);
    *again = got == (ssize_t)wanted || (got > 0 && uses_tls(&c->stream));
    if (got <= 0)
        return got != ENDED;
    c->in.have += (size_t)got;
    if ((size_t)got < wanted)
        return true;
    bool fine = take(c, c->in.data, c->in.have) >= 0;
    release(&c->in);
    return fine;
}

static bool read_some(struct connection *c, bool *again) {
    size_t before = c->in.have, whole = before ? frame_to_come(c) : 0;
    if (whole >= LARGE)
        return read_large(c, whole, again);
    ssize_t got = stream_read(&c->stream, shared_in + before, READ_SIZE);
    *again = got == READ_SIZE || (got > 0 && uses_tls(&c->stream));
    if (got <= 0)
        return got != ENDED;
    if (before)
        memcpy(shared_in, c->in.data, before);
    c->in.have = 0;
    size_t have = before + (size_t)got;
    ssize_t used = take(c, shared_in, have);
    if (used >= 0 && (size_t)used < have)
        append(&c->in, shared_in + used, have - (size_t)used);
    else
        release(&c->in);
    return used >= 0;
}

static void on_readable(struct connection *c) {
    bool fine = true, again = true;
    while (fine && again && !c->closing && !c->ended && !c->watching_out)
        fine = read_some(c, &again);
    flush_pending(c);
    if (!fine || (c->closing && c->out.at == c->out.have))
        c->ended = true;
}

/* --- connections come, are pinged, go --- */

static void accept_all(int listener) {
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct connection *c = must(calloc(1, sizeof *c));
        c->stream.fd = fd;
        no_delay(fd);
#ifdef WITH_TLS
        if (context)
            tls_attach(&c->stream, context, false);
#endif
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
    }
}

/* Ping whoever is due; return the milliseconds until the next is, -1 for never. */
static int ping_due(void) {
    if (!keepalive || all.next == &all)
        return -1;
    uint64_t now = now_ns();
    while (all.next->ping_at <= now) {
        struct connection *c = all.next;
        unlink_connection(c);
        c->ping_at = now + (uint64_t)keepalive * 1000000000u;
        link_last(c);
        write_bytes(c, (byte *)"\x89\x04ping", 6);
    }
    return (int)((all.next->ping_at - now) / 1000000) + 1;
}

static int listen_somewhere(void) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, size) || listen(fd, 4096))
        die("cannot listen: %s", strerror(errno));
    getsockname(fd, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static void serve(int listener) {
    struct epoll_event events[256], event = {.events = EPOLLIN};
    poller = epoll_create1(0);
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(poller, events, 256, ping_due());
        for (int i = 0; i < count; i++) {
            struct connection *c = events[i].data.ptr;
            if (!c) {
                accept_all(listener);
                continue;
            }
            if (events[i].events & EPOLLOUT)
                on_writable(c);
            /* OpenSSL may hold bytes that epoll knows nothing of. */
            if (!(events[i].events & EPOLLOUT) ||
                (uses_tls(&c->stream) && !c->watching_out))
                on_readable(c);
            if (c->ended)
                drop(c);
        }
    }
}

int main(int count, char **given) {
    static const char *name = "echo", *tls;
    static const char *names[] = {"echo", "sink", "broadcast", "firehose"};
    read_arguments(count, given,
                   (struct argument[]){{"mode", NULL, &name},
                                       {"tls", NULL, &tls},
                                       {"deflate", &may_deflate, NULL},
                                       {"keepalive", &keepalive, NULL},
                                       {NULL, NULL, NULL}});
    int chosen = 0;
    while (chosen < 4 && strcmp(names[chosen], name))
        chosen++;
    if (chosen == 4)
        die("no such mode: %s", name);
    mode = chosen;
#ifndef WITH_ZLIB
    if (may_deflate)
        die("deflate: built without zlib");
#endif
#ifdef WITH_TLS
    if (tls) {
        context = must(SSL_CTX_new(TLS_server_method()));
        if (SSL_CTX_use_certificate_chain_file(context, tls) != 1 ||
            SSL_CTX_use_PrivateKey_file(context, tls, SSL_FILETYPE_PEM) != 1)
            die("no certificate and key in %s", tls);
    }
#else
    if (tls)
        die("tls: built without OpenSSL");
#endif
    signal(SIGPIPE, SIG_IGN);
    raise_file_limit();
    shared_in = must(malloc(READ_SIZE + LARGE));
    serve(listen_somewhere());
}
