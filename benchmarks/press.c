/* A light HTTP client: as many purchases one by one as the server answers.
 *
 * One thread, epoll, N kept-alive connections, one request in flight on each.
 * Every request has its own Idempotency-Key and a random account; all requests of
 * a run have the same length, whatever the path, so that two endpoints are asked
 * exactly alike.  (Only repayments, in a path of that name, have no merchant.)  Every answer is read whole and checked: status 200 and a body
 * that begins with {"status":"approved".  The amounts approved are summed, so
 * that the server's books can be held against what was seen here.
 *
 * With a rate it is an open loop: requests are due by a schedule, whatever became
 * of those before, and every latency counts from the moment a request was due, also
 * when no connection was free then.  Who finds none free for a tenth of the time-out
 * gives up, as clients with a pool of connections do.  That wait is the client's own,
 * and longest when its pool is at its end: so what was refused is told from the moment
 * it was sent, too.  What happened is told by the tenth of a second in which requests
 * were due as well.
 *
 * At the end of the time no new request is sent, and what is in flight is
 * waited for: nothing is left unknown.  Only answers that came in time count
 * towards the rate.
 *
 * It must never send a request twice, and never count an answer it did not read.
 *
 * press PORT PATH CONNECTIONS SECONDS ACCOUNTS PREFIX SEED [RATE TIMEOUT_MS MORE]
 * A RATE of 0 is a closed loop.  MORE is more of the body, such as ,"capture":true
 * The API key is read from the environment (PRESS_KEY), so that no process
 * list shows it.  Prints one JSON object.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 4096
#define REQUEST_BYTES_MAX 2048
#define ANSWER_BYTES_MAX 16384
#define LATENCY_US_MAX 10000000 /* What takes longer counts as this long. */
#define DRAIN_NS 15000000000ULL /* The server gives up after 10 s. */
#define AMOUNT_LEAST 100        /* Three digits, always. */
#define AMOUNT_SPAN 900
#define BIN_NS 100000000ULL
#define BINS_MAX 36000 /* An hour. */

typedef struct {
    int fd;
    int in_flight;
    uint32_t amount;
    uint64_t due_ns; /* In a closed loop when it was sent. */
    uint64_t sent_ns;
    size_t held; /* Bytes of an answer that is not complete yet. */
    char answer[ANSWER_BYTES_MAX];
} connection;

typedef struct {
    char request[REQUEST_BYTES_MAX];
    size_t length, key_at, account_at, amount_at;
    uint64_t sent, random;
    uint32_t accounts;
} wish;

typedef struct { /* An open loop; all zero for a closed one. */
    double rate;
    uint64_t begin_ns, end_ns, due, due_max, timeout_ns;
} schedule;

typedef struct {
    uint64_t answered, in_time, approved, declined, refused, strange;
    uint64_t approved_minor;
    uint64_t unknown, given_up, approved_late;
    uint64_t latency_max_us, refused_max_us;
    int first_bad_status;
    /* How many answers took so many microseconds: all, the approved, the refused. */
    uint32_t *latencies, *approved_latencies, *refused_latencies, *refusals;
    uint64_t begin_ns, timeout_ns;
    uint32_t due_in[BINS_MAX], approved_in[BINS_MAX], refused_in[BINS_MAX];
} tally;

static const char APPROVED[] = "{\"status\":\"approved\"";
static const char DECLINED[] = "{\"status\":\"declined\"";

static void fail(const char *what) {
    fprintf(stderr, "press: %s: %s\n", what, strerror(errno));
    exit(2);
}

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

static uint64_t next_random(wish *w) { /* xorshift64* */
    w->random ^= w->random >> 12;
    w->random ^= w->random << 25;
    w->random ^= w->random >> 27;
    return w->random * 0x2545F4914F6CDD1DULL;
}

/* The request with places for key, account and amount; their widths are fixed. */
static void prepare(wish *w, const char *path, const char *key, const char *prefix,
                    int timeout_ms, const char *more) {
    char body[512], timeout[64] = "";
    const char *merchant =
        strstr(path, "/repayments") ? "" : "\"merchant_id\":\"bench-shop\",";
    if (timeout_ms)
        snprintf(timeout, sizeof timeout, "Request-Timeout-Ms: %d\r\n", timeout_ms);
    int length = snprintf(body, sizeof body,
        "{\"account_id\":\"bench-00000000\",%s"
        "\"amount_minor\":100,\"currency\":\"EUR\"%s}", merchant, more);
    int head = snprintf(w->request, sizeof w->request,
        "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n"
        "Content-Type: application/json\r\nContent-Length: %d\r\n%s"
        "Idempotency-Key: %s-000000000000\r\n\r\n",
        path, key, length, timeout, prefix);
    if (head < 0 || (size_t)(head + length) >= sizeof w->request) {
        errno = EMSGSIZE;
        fail("the request");
    }
    memcpy(w->request + head, body, (size_t)length);
    w->length = (size_t)(head + length);
    w->key_at = (size_t)head - 4 - 12;
    w->account_at = (size_t)(strstr(w->request + head, "bench-") - w->request) + 6;
    w->amount_at = (size_t)(strstr(w->request + head, ":100,") - w->request) + 1;
}

static void digits(char *at, int width, uint64_t value) {
    while (width--) {
        at[width] = (char)('0' + value % 10);
        value /= 10;
    }
}

static void send_one(connection *c, wish *w, uint64_t due_ns) {
    uint64_t random = next_random(w);
    c->amount = AMOUNT_LEAST + (uint32_t)(random % AMOUNT_SPAN);
    digits(w->request + w->key_at, 12, ++w->sent);
    digits(w->request + w->account_at, 8, (random >> 32) % w->accounts);
    digits(w->request + w->amount_at, 3, c->amount);
    c->held = 0;
    c->in_flight = 1;
    c->due_ns = due_ns;
    c->sent_ns = now_ns();
    /* Less than a page into an empty socket buffer: all of it or none. */
    if (write(c->fd, w->request, w->length) != (ssize_t)w->length) fail("write");
}

/* The whole length of the answer in the buffer; 0 if it is not complete. */
static size_t complete(connection *c, char **body, size_t *body_length) {
    c->answer[c->held] = 0;
    char *end = memmem(c->answer, c->held, "\r\n\r\n", 4);
    if (!end) return 0;
    char *length = strcasestr(c->answer, "\r\ncontent-length:");
    if (!length || length > end) {
        errno = EPROTO;
        fail("an answer without Content-Length");
    }
    *body = end + 4;
    *body_length = strtoul(length + 17, NULL, 10);
    size_t whole = (size_t)(*body - c->answer) + *body_length;
    return c->held >= whole ? whole : 0;
}

static void judge(connection *c, tally *t, const char *body, size_t length,
                  uint64_t deadline_ns) {
    uint64_t now = now_ns(), took_us = (now - c->due_ns) / 1000;
    uint64_t us = took_us < LATENCY_US_MAX ? took_us : LATENCY_US_MAX;
    uint64_t bin = (c->due_ns - t->begin_ns) / BIN_NS;
    if (bin >= BINS_MAX) bin = BINS_MAX - 1;
    t->answered++;
    if (now <= deadline_ns) t->in_time++;
    if (took_us > t->latency_max_us) t->latency_max_us = took_us;
    t->latencies[us]++;
    int status = atoi(c->answer + 9);
    if (status == 504) {
        t->unknown++;
    } else if (status != 200) {
        t->refused++;
        t->refused_in[bin]++;
        t->refused_latencies[us]++;
        uint64_t since_sent_us = (now - c->sent_ns) / 1000;
        t->refusals[since_sent_us < us ? since_sent_us : us]++;
        if (took_us > t->refused_max_us) t->refused_max_us = took_us;
        if (!t->first_bad_status) t->first_bad_status = status;
    } else if (length > sizeof APPROVED
               && !memcmp(body, APPROVED, sizeof APPROVED - 1)) {
        t->approved++;
        t->approved_minor += c->amount;
        t->approved_latencies[us]++;
        if (t->timeout_ns && took_us * 1000 > t->timeout_ns) t->approved_late++;
        else t->approved_in[bin]++;
    } else if (length > sizeof DECLINED
               && !memcmp(body, DECLINED, sizeof DECLINED - 1)) {
        t->declined++;
    } else {
        t->strange++;
    }
}

/* Read what is there; 1 once the answer is complete and judged. */
static int receive(connection *c, tally *t, uint64_t deadline_ns) {
    ssize_t got = read(c->fd, c->answer + c->held, sizeof c->answer - 1 - c->held);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    if (got < 0) fail("read");
    if (got == 0) {
        errno = ECONNRESET;
        fail("the server hung up");
    }
    c->held += (size_t)got;
    char *body = NULL;
    size_t body_length = 0, whole = complete(c, &body, &body_length);
    if (!whole) {
        if (c->held < sizeof c->answer - 1) return 0;
        errno = EMSGSIZE;
        fail("an answer that is too long");
    }
    if (whole != c->held) {
        errno = EPROTO;
        fail("more than one answer to a request");
    }
    judge(c, t, body, body_length, deadline_ns);
    c->in_flight = 0;
    return 1;
}

static void open_connection(connection *c, int port, int poll) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0) fail("socket");
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address)) fail("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (fcntl(c->fd, F_SETFL, O_NONBLOCK)) fail("fcntl");
    struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(poll, EPOLL_CTL_ADD, c->fd, &wanted)) fail("epoll_ctl");
}

/* Send and receive until the deadline, then receive what is still to come.
 * Returns how many answers never came. */
static int press(connection *all, int count, int poll, wish *w, tally *t,
                 uint64_t deadline_ns) {
    struct epoll_event events[CONNECTIONS_MAX];
    int in_flight = 0;
    for (; in_flight < count; in_flight++) send_one(&all[in_flight], w, now_ns());
    while (in_flight && now_ns() < deadline_ns + DRAIN_NS) {
        int ready = epoll_wait(poll, events, count, 100);
        if (ready < 0 && errno != EINTR) fail("epoll_wait");
        for (int i = 0; i < ready; i++) {
            connection *c = events[i].data.ptr;
            if (!receive(c, t, deadline_ns)) continue;
            if (now_ns() < deadline_ns) send_one(c, w, now_ns());
            else in_flight--;
        }
    }
    return in_flight;
}

/* Connections without a request, the one that was used longest ago first: who never
 * uses a connection is hung up on. */
typedef struct {
    connection *waiting[CONNECTIONS_MAX];
    unsigned first, free;
} queue;

static void put(queue *q, connection *c) {
    q->waiting[(q->first + q->free++) % CONNECTIONS_MAX] = c;
}

static connection *take(queue *q) {
    q->free--;
    return q->waiting[q->first++ % CONNECTIONS_MAX];
}

/* Send what is due on connections that are free. */
static void send_due(queue *idle, wish *w, tally *t, schedule *s) {
    uint64_t now = now_ns();
    for (; s->due < s->due_max; s->due++) {
        uint64_t due_ns = s->begin_ns + (uint64_t)((double)s->due * 1e9 / s->rate);
        if (due_ns > now) break;
        int is_late = s->timeout_ns && now - due_ns > s->timeout_ns / 10;
        if (!is_late && !idle->free) break;
        uint64_t bin = (due_ns - s->begin_ns) / BIN_NS;
        t->due_in[bin < BINS_MAX ? bin : BINS_MAX - 1]++;
        if (is_late) t->given_up++;
        else send_one(take(idle), w, due_ns);
    }
}

/* The open loop, as `press`. */
static int flood(connection *all, int count, int poll, wish *w, tally *t, schedule *s) {
    static queue idle;
    static struct epoll_event events[CONNECTIONS_MAX];
    unsigned every = (unsigned)count;
    for (int i = 0; i < count; i++) put(&idle, &all[i]);
    while ((s->due < s->due_max || idle.free < every)
           && now_ns() < s->end_ns + DRAIN_NS) {
        send_due(&idle, w, t, s);
        int ready = epoll_wait(poll, events, count, 1);
        if (ready < 0 && errno != EINTR) fail("epoll_wait");
        for (int i = 0; i < ready; i++) {
            connection *c = events[i].data.ptr;
            if (receive(c, t, s->end_ns)) put(&idle, c);
        }
    }
    return (int)(every - idle.free);
}

static double latency_ms(const uint32_t *latencies, double part) {
    uint64_t count = 0, seen = 0;
    for (uint32_t us = 0; us <= LATENCY_US_MAX; us++) count += latencies[us];
    uint64_t wanted = (uint64_t)((double)count * part);
    for (uint32_t us = 0; us <= LATENCY_US_MAX; us++) {
        seen += latencies[us];
        if (seen > wanted) return us / 1000.0;
    }
    return 0;
}

static void print_bins(const char *name, const uint32_t *bins, uint64_t count) {
    printf(",\"%s\":[", name);
    for (uint64_t i = 0; i < count; i++) printf("%s%u", i ? "," : "", bins[i]);
    printf("]");
}

static void print_open(const tally *t, const schedule *s) {
    uint64_t bins = (s->end_ns - s->begin_ns + BIN_NS - 1) / BIN_NS;
    printf(",\"due\":%" PRIu64 ",\"given_up\":%" PRIu64 ",\"unknown\":%" PRIu64
           ",\"approved_late\":%" PRIu64 ",\"approved_p50_ms\":%.3f"
           ",\"approved_p99_ms\":%.3f,\"refused_p50_ms\":%.3f"
           ",\"refused_p99_ms\":%.3f,\"refused_max_ms\":%.3f"
           ",\"refusal_took_p50_ms\":%.3f,\"refusal_took_p99_ms\":%.3f",
           s->due, t->given_up, t->unknown, t->approved_late,
           latency_ms(t->approved_latencies, 0.5),
           latency_ms(t->approved_latencies, 0.99),
           latency_ms(t->refused_latencies, 0.5),
           latency_ms(t->refused_latencies, 0.99), (double)t->refused_max_us / 1000.0,
           latency_ms(t->refusals, 0.5), latency_ms(t->refusals, 0.99));
    bins = bins < BINS_MAX ? bins : BINS_MAX;
    print_bins("due_in", t->due_in, bins);
    print_bins("approved_in", t->approved_in, bins);
    print_bins("refused_in", t->refused_in, bins);
}

static void print(const tally *t, const wish *w, const schedule *s, double seconds,
                  int unanswered) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec)
        + (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    printf("{\"seconds\":%.6f,\"sent\":%" PRIu64 ",\"answered\":%" PRIu64
           ",\"answered_in_time\":%" PRIu64 ",\"approved\":%" PRIu64
           ",\"declined\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"strange\":%" PRIu64
           ",\"unanswered\":%d,\"first_bad_status\":%d,\"approved_minor\":%" PRIu64,
           seconds, w->sent, t->answered, t->in_time, t->approved, t->declined,
           t->refused, t->strange, unanswered, t->first_bad_status,
           t->approved_minor);
    printf(",\"median_ms\":%.3f,\"p99_ms\":%.3f,\"p999_ms\":%.3f,\"max_ms\":%.3f"
           ",\"client_cpu_seconds\":%.3f,\"request_bytes\":%zu",
           latency_ms(t->latencies, 0.5), latency_ms(t->latencies, 0.99),
           latency_ms(t->latencies, 0.999), (double)t->latency_max_us / 1000.0, cpu,
           w->length);
    if (s->rate > 0) print_open(t, s);
    printf("}\n");
}

static uint32_t *histogram(void) {
    uint32_t *counts = calloc(LATENCY_US_MAX + 1, sizeof *counts);
    if (!counts) fail("calloc");
    return counts;
}

int main(int argc, char **argv) {
    const char *key = getenv("PRESS_KEY");
    if ((argc != 8 && argc != 11) || !key) {
        fprintf(stderr, "press PORT PATH CONNECTIONS SECONDS ACCOUNTS PREFIX SEED"
                        " [RATE TIMEOUT_MS MORE] (and PRESS_KEY in the environment)\n");
        return 2;
    }
    int count = atoi(argv[3]);
    double seconds = atof(argv[4]);
    static wish w;
    static tally t;
    schedule s = {.rate = argc > 8 ? atof(argv[8]) : 0};
    int timeout_ms = argc > 8 ? atoi(argv[9]) : 0;
    w.accounts = (uint32_t)atoi(argv[5]);
    w.random = strtoull(argv[7], NULL, 10) * 0x9E3779B97F4A7C15ULL + 1;
    if (count < 1 || count > CONNECTIONS_MAX || !w.accounts || seconds <= 0) {
        errno = EINVAL;
        fail("arguments");
    }
    prepare(&w, argv[2], key, argv[6], timeout_ms, argc > 8 ? argv[10] : "");
    t.latencies = histogram();
    t.approved_latencies = histogram();
    t.refused_latencies = histogram();
    t.refusals = histogram();
    connection *all = calloc((size_t)count, sizeof *all);
    int poll = epoll_create1(EPOLL_CLOEXEC);
    if (!all || poll < 0) fail("start");
    for (int i = 0; i < count; i++) open_connection(&all[i], atoi(argv[1]), poll);
    s.begin_ns = t.begin_ns = now_ns();
    s.end_ns = s.begin_ns + (uint64_t)(seconds * 1e9);
    s.timeout_ns = t.timeout_ns = (uint64_t)timeout_ms * 1000000ULL;
    s.due_max = (uint64_t)(s.rate * seconds);
    int unanswered = s.rate > 0 ? flood(all, count, poll, &w, &t, &s)
                                : press(all, count, poll, &w, &t, s.end_ns);
    print(&t, &w, &s, seconds, unanswered);
    return 0;
}
