/* The load generator: one process around one epoll, many connections to one server.
 *
 *     load mode=echo port=8765 connections=64 flight=1 size=32 seconds=0.5 pid=1234
 *
 * Opens the connections, has one message answered on each, and measures `repeat` times.
 * Each measurement is a line of JSON on standard output:
 *
 *     messages     answered (echo, sink), received (broadcast, firehose), or
 *                  connections opened and closed (handshake)
 *     seconds      that took
 *     server_cpu   seconds of CPU of process `pid` meanwhile, kernel included
 *     load_cpu     the same of this process: as a client, the floor
 *     received     bytes of payload on the wire, per message
 *     p50, p99     seconds from sending to the answer, where flight=1
 *
 * Whatever comes from the server is checked: each header, each length and each byte of
 * every payload. What differs ends the program with status 1 and a line that says how,
 * and so do `patience` seconds (20) without a word from the server.
 *
 * Modes:
 *     echo         `active` of the connections (default all) have `flight` messages
 *                  under way, sent together once all answers to the last ones came;
 *                  fragment=N cuts messages into frames of N bytes;
 *                  deflate=1 sends JSON as text, compressed
 *     sink         sends for a while; the server says how many it has read
 *     broadcast    the first connection sends, all receive; then the next
 *     firehose     the server is asked for as many as it can send
 *     handshake    opens and closes, `connections` at a time
 *     idle         opens (deflate=1: offering compression), prints {"open": N}; after a
 *                  line on standard input has one message echoed on every connection
 *                  and prints {"used": N}; answers pings until standard input ends
 */
#include "client.h"

/* --- the messages --- */

static void fill(byte *data, size_t count, unsigned seed) {
    /* Text, so that a server may not find fault with it; no two alike in a burst. */
    for (size_t i = 0; i < count; i++)
        data[i] = (byte)('a' + (i * 7 + seed * 11 + i / 26) % 26);
}

/* JSON of about `room` bytes as programs exchange it; return its size. */
static size_t fill_json(byte *data, size_t room, unsigned seed) {
    static const char *names[] = {"EURUSD", "GBPUSD", "USDJPY", "AUDNZD", "CHFSEK"};
    uint32_t random = seed * 2654435761u + 1;
    size_t at = (size_t)sprintf((char *)data, "{\"type\":\"quotes\",\"sequence\":%u,"
                                              "\"quotes\":[", 1000 + seed);
    while (at + 120 < room) {
        random = random * 1664525 + 1013904223;
        unsigned price = random >> 12 & 0xffff;
        at += (size_t)sprintf((char *)data + at,
                              "{\"symbol\":\"%s\",\"bid\":1.%05u,\"ask\":1.%05u,"
                              "\"volume\":%u,\"venue\":\"ECN-%u\",\"firm\":%s},",
                              names[random % 5], price, price + 3 + (random >> 28),
                              random >> 9 & 0xffff, random >> 5 & 7,
                              random & 64 ? "true" : "false");
    }
    data[at - 1] = ']';
    data[at++] = '}';
    return at;
}

static size_t put_message(byte *out, byte opcode, const byte *data, size_t count) {
    size_t step = fragment ? (size_t)fragment : count, at = 0, written = 0;
    do {
        size_t part = count - at < step ? count - at : step;
        byte first = (byte)((at ? CONT : opcode) | (at + part == count ? FIN : 0));
        written += put_frame(out + written, first, data + at, part);
        at += part;
    } while (at < count);
    return written;
}

static void make_burst(long messages) {
    size_t frames = fragment ? (size_t)(size / fragment) + 1 : 1;
    burst = must(malloc((size_t)messages * ((size_t)size + frames * MOST_HEADER)));
    answers = must(calloc((size_t)messages, sizeof *answers));
    for (long i = 0; i < messages; i++) {
        byte *data = must(malloc((size_t)size + 256));
        fill(data, (size_t)size, (unsigned)i);
        burst_size += put_message(burst + burst_size, BINARY, data, (size_t)size);
        answers[i] = (struct message){data, (size_t)size, BINARY};
    }
    burst_messages = messages;
}

static void make_json(void) {
    answers = must(calloc(VARIANTS, sizeof *answers));
    for (unsigned i = 0; i < VARIANTS; i++) {
        byte *data = must(malloc((size_t)size + 256));
        answers[i] = (struct message){data, fill_json(data, (size_t)size, i), TEXT};
    }
}

/* --- measuring --- */

static double cpu_of(pid_t process) {
    clockid_t clock = CLOCK_PROCESS_CPUTIME_ID;
    struct timespec time;
    if (process && clock_getcpuclockid(process, &clock))
        die("no CPU time of process %d", (int)process);
    clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* --- what each mode does --- */

static bool measuring;
static uint64_t bursts; /* how many a run of sink or firehose is about */
static uint64_t blocks_left;

static bool is_active(const struct connection *c) {
    /* Spread evenly, so that they are not the newest or the oldest. */
    long step = connections / active;
    return c->index % step == 0 && c->index / step < active;
}

static void on_opened(struct connection *c) {
    if (mode == HANDSHAKE)
        leave(c);
    else if (mode == IDLE)
        return;
    else {
        expect(c, mode == SINK ? &zero : &greeting, 1);
        send_bytes(c, greeting_frame, greeting_size);
    }
}

static void on_closed(struct connection *c) {
    done++;
    if (mode == HANDSHAKE && now_ns() < deadline)
        start(c);
}

static void sample(const struct connection *c, uint64_t now) {
    if (sample_count < SAMPLES)
        samples[sample_count++] = (uint32_t)(now - c->sent_at);
}

/* A broadcast ends when all have it; then the first connection sends the next. */
static void send_broadcast(void) {
    for (long i = 0; i < connections; i++)
        expect(&all[i], answers, 1);
    send_bytes(&all[0], burst, burst_size);
}

static void on_answered(struct connection *c) {
    if (!measuring)
        return;
    if (mode == ECHO_BACK) {
        uint64_t now = now_ns();
        done += may_deflate ? 1 : (uint64_t)burst_messages;
        if (flight == 1)
            sample(c, now);
        if (now < deadline)
            send_burst(c);
    } else if (mode == BROADCAST) {
        done++;
        if (!outstanding && now_ns() < deadline)
            send_broadcast();
    } else if (mode == FIREHOSE && blocks_left) {
        blocks_left--;
        expect(c, answers, (size_t)burst_messages);
    }
}

/* Send `bursts` bursts on each connection and ask for their number. */
static void run_sink(void) {
    uint64_t messages = bursts * (uint64_t)burst_messages;
    for (long i = 0; i < connections; i++) {
        struct connection *c = &all[i];
        c->sent_in_all += messages;
        snprintf(c->count_text, sizeof c->count_text, "%llu",
                 (unsigned long long)c->sent_in_all);
        c->count_message = (struct message){(byte *)c->count_text,
                                            strlen(c->count_text), TEXT};
        c->bursts_left = bursts;
        c->asked = false;
        expect(c, &c->count_message, 1);
        send_more(c);
    }
    /* Whoever has sent all asks; the others go on as there is room. */
    for (long asked = 0; asked < connections;) {
        for (long i = 0; i < connections; i++)
            if (!all[i].asked && !all[i].out_left && !all[i].bursts_left) {
                all[i].asked = true;
                ask(&all[i], "count?");
                asked++;
            }
        if (asked < connections)
            turn();
    }
    while (outstanding)
        turn();
    done += messages * (uint64_t)connections;
}

static void run_handshakes(void) {
    for (long i = 0; i < connections; i++)
        start(&all[i]);
    while (opening || open_count)
        turn();
}

/* Ask one connection for `bursts` bursts of messages, and receive them. */
static void run_firehose(void) {
    char question[24];
    uint64_t messages = bursts * (uint64_t)burst_messages;
    snprintf(question, sizeof question, "%llu", (unsigned long long)messages);
    blocks_left = bursts - 1;
    expect(&all[0], answers, (size_t)burst_messages);
    ask(&all[0], question);
    while (outstanding)
        turn();
    done += messages;
}

static void run_echo(void) {
    for (long i = 0; i < connections; i++)
        if (is_active(&all[i]))
            send_burst(&all[i]);
    while (outstanding)
        turn();
}

static void run_once(void) {
    if (mode == SINK)
        run_sink();
    else if (mode == FIREHOSE)
        run_firehose();
    else if (mode == HANDSHAKE)
        run_handshakes();
    else if (mode == BROADCAST) {
        send_broadcast();
        while (outstanding)
            turn();
    } else
        run_echo();
}

static int by_value(const void *a, const void *b) {
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

/* The kernel counts a process's CPU when it stops running: let it come to rest. */
static double settled_cpu(void) {
    struct timespec moment = {.tv_nsec = 5000000};
    if (!pid)
        return 0;
    nanosleep(&moment, NULL);
    return cpu_of((pid_t)pid);
}

/* Measure once for `length` ns and print the figures; return how long it took. */
static uint64_t measure(uint64_t length, bool print) {
    done = received_bytes = 0;
    sample_count = 0;
    measuring = true;
    double server_cpu = settled_cpu(), load_cpu = cpu_of(0);
    uint64_t began = now_ns();
    deadline = began + length;
    run_once();
    uint64_t took = now_ns() - began;
    load_cpu = cpu_of(0) - load_cpu;
    server_cpu = settled_cpu() - server_cpu;
    measuring = false;
    if (!print)
        return took;
    printf("{\"messages\": %llu, \"seconds\": %.6f, \"server_cpu\": %.9f, "
           "\"load_cpu\": %.9f, \"received\": %.1f",
           (unsigned long long)done, (double)took / 1e9, server_cpu, load_cpu,
           done ? (double)received_bytes / (double)done : 0.0);
    if (sample_count) {
        qsort(samples, sample_count, sizeof *samples, by_value);
        printf(", \"p50\": %.9f, \"p99\": %.9f", samples[sample_count / 2] / 1e9,
               samples[sample_count * 99 / 100] / 1e9);
    }
    printf("}\n");
    fflush(stdout);
    return took;
}

/* Where a run is of a number of messages, find the number that takes long enough. */
static void find_length(void) {
    bursts = 1;
    for (;;) {
        uint64_t took = measure(0, false);
        if (took > duration / 4) {
            bursts = bursts * duration / took + 1;
            return;
        }
        bursts *= 2;
    }
}

static void open_all(void) {
    long started = 0;
    /* A server may have a short queue of what it has not accepted yet. */
    while (open_count < connections) {
        while (started < connections && opening < AT_ONCE)
            start(&all[started++]);
        turn();
    }
    while (outstanding)
        turn();
}

/* Answer pings, and exchange a message on each connection once a line comes. */
static void stay(void) {
    bool used = false;
    struct epoll_event events[512], input = {.events = EPOLLIN};
    epoll_ctl(poller, EPOLL_CTL_ADD, STDIN_FILENO, &input);
    printf("{\"open\": %d}\n", open_count);
    fflush(stdout);
    for (;;) {
        int count = epoll_wait(poller, events, 512, -1);
        for (int i = 0; i < count; i++) {
            char line[64];
            if (events[i].data.ptr) {
                on_readable(events[i].data.ptr);
                continue;
            }
            if (read(STDIN_FILENO, line, sizeof line) <= 0)
                exit(0);
            if (used)
                die("the connections were used already");
            used = true;
            epoll_ctl(poller, EPOLL_CTL_DEL, STDIN_FILENO, &input);
            for (long j = 0; j < connections; j++)
                send_burst(&all[j]);
            while (outstanding)
                turn();
            epoll_ctl(poller, EPOLL_CTL_ADD, STDIN_FILENO, &input);
            printf("{\"used\": %d}\n", open_count);
            fflush(stdout);
        }
    }
}

static void read_options(int count, char **given) {
    static const char *names[] = {"echo", "sink", "broadcast", "firehose", "handshake",
                                  "idle"};
    read_arguments(count, given,
                   (struct argument[]){{"mode", NULL, &mode_name},
                                       {"port", &port, NULL},
                                       {"path", NULL, &target},
                                       {"connections", &connections, NULL},
                                       {"flight", &flight, NULL},
                                       {"size", &size, NULL},
                                       {"fragment", &fragment, NULL},
                                       {"active", &active, NULL},
                                       {"seconds", NULL, &seconds_text},
                                       {"repeat", &repeat, NULL},
                                       {"patience", &patience, NULL},
                                       {"warmup", &warmup, NULL},
                                       {"pid", &pid, NULL},
                                       {"tls", &use_tls, NULL},
                                       {"deflate", &may_deflate, NULL},
                                       {NULL, NULL, NULL}});
    int chosen = 0;
    while (chosen < 6 && strcmp(names[chosen], mode_name))
        chosen++;
    if (chosen == 6 || port <= 0 || connections < 1 || flight < 1 || size < 1)
        die("wrong arguments; see the head of the source");
    mode = chosen;
    active = active ? active : connections;
    duration = (uint64_t)(atof(seconds_text) * 1e9);
#ifndef WITH_TLS
    if (use_tls)
        die("tls: built without OpenSSL");
#endif
#ifndef WITH_ZLIB
    if (may_deflate)
        die("deflate: built without zlib");
#endif
}

/* The server of mode firehose sends 64 times an 'x'. */
static void expect_firehose(void) {
    enum { BURST = 1024 };
    byte *data = must(malloc(64));
    memset(data, 'x', 64);
    answers = must(calloc(BURST, sizeof *answers));
    for (int i = 0; i < BURST; i++)
        answers[i] = (struct message){data, 64, BINARY};
    burst_messages = BURST;
}

int main(int count, char **given) {
    read_options(count, given);
    signal(SIGPIPE, SIG_IGN);
    raise_file_limit();
    poller = epoll_create1(0);
    shared_in = must(malloc(READ_SIZE));
    samples = must(malloc(SAMPLES * sizeof *samples));
    all = must(calloc((size_t)connections, sizeof *all));
    for (long i = 0; i < connections; i++)
        all[i].index = (int)i;
#ifdef WITH_TLS
    if (use_tls)
        context = must(SSL_CTX_new(TLS_client_method()));
#endif
    greeting_size = put_frame(greeting_frame, FIN | TEXT, greeting.data, greeting.size);
    if (mode == FIREHOSE)
        expect_firehose();
    else if (may_deflate)
        make_json();
    else
        make_burst(mode == SINK ? 512 : flight);
    if (mode != HANDSHAKE)
        open_all();
    if (mode == IDLE)
        stay();
    if (mode == SINK || mode == FIREHOSE)
        find_length();
    else if (warmup)
        measure(duration / 5, false);
    for (long i = 0; i < repeat; i++)
        measure(duration, true);
    return 0;
}
