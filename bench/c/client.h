/* The client's side of connections to one server, for the load generator: opens and
 * closes them, sends what it is told to and compares whatever comes with what was
 * expected: each header, each length, each byte of every payload. What differs ends
 * the program.
 */
#ifndef CLIENT_H
#define CLIENT_H

#include "websocket.h"

enum { READ_SIZE = 1 << 18, AT_ONCE = 64, SAMPLES = 1 << 20, VARIANTS = 64 };
enum { OFFERED_BITS = 15 };

enum state { CONNECTING, ANSWER, OPEN, LEAVING, CLOSED };

/* Bytes to send, then what is expected back: messages with their kind and payload. */
struct message {
    const byte *data;
    size_t size;
    byte opcode;
};

struct connection {
    struct stream stream;
    int index;
    enum state state;
    bool watching_out, got_close, asked;
    char token[29];
    /* going out: `left` bytes at `out`, then `rounds` times the burst from its start */
    const byte *out;
    size_t out_left;
    uint64_t bursts_left;
    byte *own; /* frames made for this connection alone */
    size_t own_room;
    /* coming in */
    byte head[MOST_HEAD + 1]; /* of the answer to the handshake, or of a frame */
    size_t head_have;
    bool in_frame;
    struct frame frame;
    uint64_t frame_left;
    byte opcode; /* first byte of the message under way, 0 outside of one */
    size_t message_at;
    byte control[MOST_CONTROL];
    byte *packed; /* a compressed message so far */
    size_t packed_have, packed_room;
    /* what is expected */
    const struct message *expected;
    size_t expected_left;
    char count_text[24]; /* for an answer that is a number */
    struct message count_message;
    uint64_t sent_at, sent_in_all, variant;
#ifdef WITH_ZLIB
    z_stream *deflater, *inflater;
    int window_bits;
    bool keeps_context;
#endif
    bool deflates; /* was agreed */
};

static long port, connections = 1, flight = 1, size = 32, fragment, active, pid;
static long may_deflate, use_tls, repeat = 1, warmup = 1, patience = 20;
static const char *seconds_text = "0.5", *mode_name = "echo", *target = "/";
static uint64_t duration;

static struct connection *all;
static int poller;
static byte *shared_in;
static int open_count, closed_count, opening;
static uint64_t deadline; /* nothing new is sent after it */

static byte *burst;              /* frames of `flight` messages, masked */
static size_t burst_size;
static struct message *answers;  /* what they are answered with */
static long burst_messages;

static uint64_t done, received_bytes, outstanding;
static uint32_t *samples;
static size_t sample_count;

static const byte KEY[4] = {0x37, 0xfa, 0x21, 0x3d};
static byte greeting_frame[MOST_HEADER + 1];
static size_t greeting_size;
static const struct message greeting = {(byte *)"?", 1, TEXT};
static const struct message zero = {(byte *)"0", 1, TEXT};

static enum { ECHO_BACK, SINK, BROADCAST, FIREHOSE, HANDSHAKE, IDLE } mode;

/* What happens when all expected answers of a connection came. */
static void on_answered(struct connection *c);
static void on_opened(struct connection *c);
static void on_closed(struct connection *c);

/* --- sending --- */

static size_t put_frame(byte *out, byte first, const byte *data, size_t count) {
    size_t header = write_header(out, first, count, KEY);
    mask_bytes(out + header, data, count, KEY);
    return header + count;
}

static void watch(struct connection *c, bool out) {
    if (out == c->watching_out)
        return;
    c->watching_out = out;
    struct epoll_event event = {.events = EPOLLIN | (out ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_MOD, c->stream.fd, &event);
}

static void send_more(struct connection *c) {
    while (c->out_left || c->bursts_left) {
        if (!c->out_left) {
            c->bursts_left--;
            c->out = burst;
            c->out_left = burst_size;
        }
        ssize_t sent = stream_write(&c->stream, c->out, c->out_left);
        if (sent == ENDED)
            die("connection %d: the server has gone while we sent", c->index);
        if (sent == WOULD_BLOCK) {
            watch(c, true);
            return;
        }
        c->out += sent;
        c->out_left -= (size_t)sent;
    }
    watch(c, false);
}

static void send_bytes(struct connection *c, const byte *data, size_t count) {
    c->out = data;
    c->out_left = count;
    send_more(c);
}

static void expect(struct connection *c, const struct message *messages, size_t count) {
    c->expected = messages;
    c->expected_left = count;
    outstanding += count;
}

static byte *own_room(struct connection *c, size_t room) {
    if (room > c->own_room) {
        c->own = must(realloc(c->own, room));
        c->own_room = room;
    }
    return c->own;
}

#ifdef WITH_ZLIB
/* Thousands of contexts would fill the memory of this machine: idle connections share
 * one, which is right for the first message of each.
 */
static z_stream *shared_deflater, *shared_inflater;

static z_stream *deflater_of(struct connection *c) {
    z_stream **z = mode == IDLE ? &shared_deflater : &c->deflater;
    if (!*z) {
        *z = must(calloc(1, sizeof **z));
        deflateInit2(*z, Z_DEFAULT_COMPRESSION, Z_DEFLATED,
                     mode == IDLE ? -9 : -c->window_bits, 8, Z_DEFAULT_STRATEGY);
    } else if (mode == IDLE || !c->keeps_context) {
        deflateReset(*z);
    }
    return *z;
}

static z_stream *inflater_of(struct connection *c) {
    z_stream **z = mode == IDLE ? &shared_inflater : &c->inflater;
    if (!*z) {
        *z = must(calloc(1, sizeof **z));
        inflateInit2(*z, -OFFERED_BITS);
    } else if (mode == IDLE) {
        inflateReset(*z);
    }
    return *z;
}

/* Compress the next of the variants; contexts are kept where that was agreed. */
static void send_compressed(struct connection *c) {
    const struct message *message = &answers[c->variant++ % VARIANTS];
    z_stream *z = deflater_of(c);
    byte *out = own_room(c, 2 * message->size + 256), *payload = out + MOST_HEADER;
    z->next_in = (byte *)message->data;
    z->avail_in = (uInt)message->size;
    z->next_out = payload;
    z->avail_out = (uInt)(2 * message->size);
    deflate(z, Z_SYNC_FLUSH);
    size_t packed = (size_t)(z->next_out - payload) - 4;
    byte header[MOST_HEADER];
    size_t header_size = write_header(header, FIN | RSV1 | TEXT, packed, KEY);
    mask_bytes(payload, payload, packed, KEY);
    memcpy(payload - header_size, header, header_size);
    expect(c, message, 1);
    send_bytes(c, payload - header_size, header_size + packed);
}
#endif

/* The same message where the server has no compression. */
static void send_plain(struct connection *c) {
    const struct message *message = &answers[c->variant++ % VARIANTS];
    byte *out = own_room(c, MOST_HEADER + message->size);
    expect(c, message, 1);
    send_bytes(c, out, put_frame(out, FIN | TEXT, message->data, message->size));
}

static void send_burst(struct connection *c) {
    c->sent_at = now_ns();
#ifdef WITH_ZLIB
    if (c->deflates) {
        send_compressed(c);
        return;
    }
#endif
    if (may_deflate) {
        send_plain(c);
        return;
    }
    expect(c, answers, (size_t)burst_messages);
    send_bytes(c, burst, burst_size);
}

/* Ask by a text message; the answer is text too, `answer`, or not known beforehand. */
static void ask(struct connection *c, const char *question) {
    byte *out = own_room(c, 64);
    send_bytes(c, out, put_frame(out, FIN | TEXT, (byte *)question, strlen(question)));
}

/* --- receiving: every byte is compared with what was expected --- */

static const struct message *awaited(struct connection *c) {
    if (!c->expected_left)
        die("connection %d: a message that nothing asked for", c->index);
    return c->expected;
}

static void check_payload(struct connection *c, const byte *data, size_t count) {
    const struct message *message = awaited(c);
    if (c->message_at + count > message->size)
        die("connection %d: a message of %zu bytes or more, expected %zu", c->index,
              c->message_at + count, message->size);
    if (memcmp(message->data + c->message_at, data, count))
        die("connection %d: another payload than expected in bytes %zu to %zu",
              c->index, c->message_at, c->message_at + count);
    c->message_at += count;
}

#ifdef WITH_ZLIB
static void unpack(struct connection *c, const byte *data, size_t count, bool last) {
    if (c->packed_have + count + 4 > c->packed_room) {
        c->packed_room = 2 * (c->packed_have + count + 4);
        c->packed = must(realloc(c->packed, c->packed_room));
    }
    memcpy(c->packed + c->packed_have, data, count);
    c->packed_have += count;
    if (!last)
        return;
    memcpy(c->packed + c->packed_have, "\0\0\xff\xff", 4);
    z_stream *z = inflater_of(c);
    z->next_in = c->packed;
    z->avail_in = (uInt)c->packed_have + 4;
    do {
        static byte part[1 << 16];
        z->next_out = part;
        z->avail_out = sizeof part;
        int result = inflate(z, Z_SYNC_FLUSH);
        if (result != Z_OK && result != Z_BUF_ERROR)
            die("connection %d: not deflate: %s", c->index, z->msg ? z->msg : "?");
        check_payload(c, part, sizeof part - z->avail_out);
    } while (!z->avail_out);
    c->packed_have = 0;
}
#endif

static void on_message(struct connection *c) {
    const struct message *message = awaited(c);
    if (c->message_at != message->size)
        die("connection %d: a message of %zu bytes, expected %zu", c->index,
              c->message_at, message->size);
    if ((c->opcode & 0x0f) != message->opcode)
        die("connection %d: a message of kind %d, expected %d", c->index,
              c->opcode & 0x0f, message->opcode);
    c->opcode = 0;
    c->message_at = 0;
    c->expected++;
    outstanding--;
    if (--c->expected_left == 0)
        on_answered(c);
}

static void on_control(struct connection *c, byte opcode) {
    size_t count = (size_t)c->frame.size;
    if (opcode == PING && c->state == OPEN) {
        /* Between frames only: what is half sent has to be ended first. */
        if (c->out_left)
            return;
        byte out[MOST_HEADER + MOST_CONTROL];
        size_t whole = put_frame(out, FIN | PONG, c->control, count);
        if (stream_write(&c->stream, out, whole) != (ssize_t)whole)
            die("connection %d: no room for a pong", c->index);
    } else if (opcode == CLOSE) {
        unsigned code = count < 2 ? 1005 : (unsigned)c->control[0] << 8 | c->control[1];
        if (c->state != LEAVING || code != 1000)
            die("connection %d: the server closes with code %u", c->index, code);
        c->got_close = true;
    }
}

static void on_frame_end(struct connection *c) {
    byte opcode = c->frame.first & 0x0f;
    c->in_frame = false;
    if (opcode >= CLOSE)
        on_control(c, opcode);
    else if (c->frame.first & FIN)
        on_message(c);
}

static void on_frame_start(struct connection *c) {
    byte opcode = c->frame.first & 0x0f;
    if (c->frame.masked)
        die("connection %d: a masked frame from a server", c->index);
    if (opcode < CLOSE && (opcode == CONT) != (c->opcode != 0))
        die("connection %d: fragments out of order", c->index);
    if ((c->frame.first & RSV1) && !c->deflates)
        die("connection %d: RSV1 without compression", c->index);
    if (opcode < CLOSE && opcode != CONT)
        c->opcode = c->frame.first;
    c->in_frame = true;
    c->frame_left = c->frame.size;
}

static void take_payload(struct connection *c, const byte *data, size_t count) {
    byte opcode = c->frame.first & 0x0f;
    if (opcode >= CLOSE) {
        memcpy(c->control + (c->frame.size - c->frame_left), data, count);
    } else {
        received_bytes += count;
#ifdef WITH_ZLIB
        if (c->opcode & RSV1)
            unpack(c, data, count, count == c->frame_left && (c->frame.first & FIN));
        else
#endif
            check_payload(c, data, count);
    }
    c->frame_left -= count;
}

static void take_frames(struct connection *c, const byte *data, size_t have) {
    while (have || (c->in_frame && !c->frame_left)) {
        if (!c->in_frame && !c->head_have) {
            /* The usual case: the whole header is there. */
            int header = read_header(data, have, &c->frame);
            if (header > 0) {
                data += header;
                have -= (size_t)header;
                on_frame_start(c);
                continue;
            }
        }
        if (!c->in_frame) {
            c->head[c->head_have++] = *data++;
            have--;
            int header = read_header(c->head, c->head_have, &c->frame);
            if (header < 0)
                die("connection %d: a wrong frame header", c->index);
            if (header > 0) {
                c->head_have = 0;
                on_frame_start(c);
            }
            continue;
        }
        size_t part = have < c->frame_left ? have : (size_t)c->frame_left;
        take_payload(c, data, part);
        data += part;
        have -= part;
        if (!c->frame_left)
            on_frame_end(c);
    }
}

/* --- opening and closing --- */

#ifdef WITH_TLS
static SSL_CTX *context;
#endif

static void start(struct connection *c) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0)
        die("connection %d: %s", c->index, strerror(errno));
    c->stream.fd = fd;
    no_delay(fd);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS)
        die("connection %d: %s", c->index, strerror(errno));
    c->state = CONNECTING;
    c->watching_out = true;
    c->got_close = false;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
    opening++;
#ifdef WITH_TLS
    if (context)
        tls_attach(&c->stream, context, true);
#endif
}

static void send_request(struct connection *c) {
    static uint64_t random = 88172645463325252u;
    byte key[16];
    char text[25];
    for (int i = 0; i < 16; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        key[i] = (byte)random;
    }
    base64(key, 16, text);
    accept_token(text, c->token);
    byte *out = own_room(c, 512);
    int length = snprintf(
        (char *)out, 512,
        "GET %s HTTP/1.1\r\nHost: localhost:%ld\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: %s\r\n"
        "Sec-WebSocket-Version: 13\r\n%s\r\n",
        target, port, text,
        may_deflate ? "Sec-WebSocket-Extensions: permessage-deflate; "
                      "client_max_window_bits\r\n"
                    : "");
    c->state = ANSWER;
    c->head_have = 0;
    send_bytes(c, out, (size_t)length);
}

/* TCP is connected; with TLS, carry its handshake on. */
static void on_connected(struct connection *c) {
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(c->stream.fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error)
        die("connection %d: %s", c->index, strerror(error));
#ifdef WITH_TLS
    if (c->stream.tls) {
        watch(c, false);
        ssize_t result = tls_result(c->stream.tls, SSL_do_handshake(c->stream.tls));
        if (result == ENDED)
            die("connection %d: the TLS handshake failed", c->index);
        if (result == WOULD_BLOCK)
            return;
    }
#endif
    send_request(c);
}

/* What was agreed about compression. */
static void read_extensions(struct connection *c, const char *head) {
    const char *value = find_header(head, "Sec-WebSocket-Extensions");
    if (!value && may_deflate && mode != IDLE)
        die("the server does not agree to permessage-deflate");
    c->deflates = value && strstr(value, "permessage-deflate");
#ifdef WITH_ZLIB
    char line[256] = {0};
    if (value)
        memcpy(line, value, strcspn(value, "\r") < 255 ? strcspn(value, "\r") : 255);
    const char *bits = strstr(line, "client_max_window_bits=");
    c->window_bits = bits ? atoi(bits + strlen("client_max_window_bits=")) : 15;
    c->window_bits = c->window_bits < 9 ? 9 : c->window_bits;
    c->keeps_context = !strstr(line, "client_no_context_takeover");
#endif
}

static size_t take_answer(struct connection *c, const byte *data, size_t have) {
    size_t before = c->head_have;
    size_t part = have < MOST_HEAD - before ? have : MOST_HEAD - before;
    memcpy(c->head + before, data, part);
    c->head[before + part] = 0;
    c->head_have += part;
    char *head = (char *)c->head, *end = strstr(head, "\r\n\r\n");
    if (!end && c->head_have == MOST_HEAD)
        die("connection %d: no end of the head in %d bytes", c->index, MOST_HEAD);
    if (!end)
        return part;
    end[4] = 0;
    const char *token = find_header(head, "Sec-WebSocket-Accept");
    if (strncmp(head, "HTTP/1.1 101", 12) || !token || strncmp(token, c->token, 28))
        die("connection %d: refused: %.*s", c->index, (int)strcspn(head, "\r"), head);
    read_extensions(c, head);
    c->head_have = 0;
    c->state = OPEN;
    opening--;
    open_count++;
    on_opened(c);
    return (size_t)(end + 4 - head) - before;
}

static void leave(struct connection *c) {
    byte *out = own_room(c, 64), code[2] = {1000 >> 8, 1000 & 0xff};
    c->state = LEAVING;
    send_bytes(c, out, put_frame(out, FIN | CLOSE, code, 2));
}

static void on_end(struct connection *c) {
    if (c->state != LEAVING || !c->got_close)
        die("connection %d: ended by the server", c->index);
    stream_close(&c->stream);
    c->state = CLOSED;
    open_count--;
    closed_count++;
    on_closed(c);
}

/* --- the loop --- */

static void on_readable(struct connection *c) {
    ssize_t got;
    do {
        got = stream_read(&c->stream, shared_in, READ_SIZE);
        if (got == ENDED) {
            on_end(c);
            return;
        }
        const byte *data = shared_in;
        size_t have = got > 0 ? (size_t)got : 0;
        if (c->state == ANSWER && have) {
            size_t used = take_answer(c, data, have);
            data += used;
            have -= used;
        }
        if (c->state >= OPEN)
            take_frames(c, data, have);
    } while (got == READ_SIZE || (got > 0 && uses_tls(&c->stream)));
}

static void turn(void) {
    struct epoll_event events[512];
    int count = epoll_wait(poller, events, 512, (int)patience * 1000);
    if (count == 0)
        die("nothing from the server in %ld s, %llu answers missing", patience,
              (unsigned long long)outstanding);
    for (int i = 0; i < count; i++) {
        struct connection *c = events[i].data.ptr;
        if (c->state == CONNECTING) {
            on_connected(c);
            continue;
        }
        if (events[i].events & EPOLLOUT)
            send_more(c);
        if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
            on_readable(c);
    }
}

#endif
