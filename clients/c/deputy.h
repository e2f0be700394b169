/* Ask deputy for declared actions, from C. One header to copy: C99, POSIX, libc alone.
 *
 *     struct deputy d = { .address = "/run/deputy/deputy.sock" };
 *     struct deputy_param params[] = { { "unit", "nginx.service", 0 }, { 0 } };
 *     struct deputy_request q = { .module = "service", .action = "restart", .params = params };
 *     struct deputy_result r;
 *     if (deputy_run(&d, &q, &r) == 0) printf("%d %d %s", r.ok, r.code, r.out);
 *     else fprintf(stderr, "%s (%d): %s\n", r.error, r.status, r.detail);
 *     deputy_free(&r);
 *
 * Every function gives 0 for an answer and -1 for a refusal; its result holds
 * memory until deputy_free. Include this before other headers, or compile with
 * -D_POSIX_C_SOURCE=200809L. No function keeps state: threads may use them freely.
 */
#ifndef DEPUTY_H
#define DEPUTY_H
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* Where a daemon is, and as whom to ask. */
struct deputy {
    /* A Unix socket's path, where the kernel says who asks; or, signed,
     * "http://host:port". With "line:" before a path, or "line://host:port", the
     * 'Key: Value' door, which knows deputy_call alone. NULL: DEPUTY_SOCKET, else
     * /run/deputy/deputy.sock. */
    const char *address;
    const char *key, *secret; /* the signing key's name and text; NULL: do not sign */
    const char *audience;     /* the server's name */
    int timeout;              /* seconds that an answer may take beyond what is to be waited for; 0: 30 */
    int patience;             /* seconds for which a lost connection is made again; 0: 30 */
};

/* A value: text, or JSON of any type, such as "[1, 2]". The last one has no name. */
struct deputy_param { const char *name, *text, *json; };

struct deputy_request {
    const char *module, *action;
    const struct deputy_param *params; /* NULL: none */
    const char *key;                   /* Idempotency-Key; NULL: a fresh one */
    const char *end_user;              /* NULL: none */
    int wait;                          /* run: seconds at most; 0: 300 */
    long output;                       /* run: last bytes of what it wrote; 0: 1 MiB */
};

/* What became of it. Of several tasks, the first that did not succeed decides. */
struct deputy_result {
    int ok;              /* all tasks have succeeded */
    int code;            /* exit code; -1: none, a signal ended it, it lives, … */
    char state[32];      /* "succeeded", … */
    int ended;           /* 0: it still lives */
    char *out, *err;     /* what it wrote, and a 0 behind it */
    size_t out_len, err_len;
    int truncated;       /* there was more output */
    int killed, empty;   /* stop: how many had to be killed; nothing lives */
    size_t tasks;
    char (*ids)[40];     /* so many of them */

    int status;          /* of HTTP, or the err_code of a 'Key: Value' answer; 0: no answer */
    char error[32];      /* stable: "busy", "not_allowed", …; without an answer
                          * "unreachable" (nothing was sent) or "outcome_unknown" */
    char *detail, *task; /* of a refusal; task: who holds the lock */
    char *answer;        /* JSON, whole: of each task all its members */
};

enum { DEPUTY_HOLD = 30 }; /* seconds that the daemon is asked to hold one answer, at most */

/* ---- memory: a text that grows; once there is no memory it stays broken ---- */

struct dp_text { char *p; size_t n, room; int broken; };

static inline void dp_add(struct dp_text *t, const char *p, size_t n) {
    if (t->n + n >= t->room && !t->broken) {
        size_t room = (t->n + n + 64) * 2;
        char *more = (char *)realloc(t->p, room);
        if (more) { t->p = more; t->room = room; }
        else t->broken = 1;
    }
    if (t->broken) return;
    if (n) memcpy(t->p + t->n, p, n);
    t->p[t->n += n] = 0;
}

static inline void dp_puts(struct dp_text *t, const char *s) { dp_add(t, s, strlen(s)); }

/* Only for short texts. */
static inline void dp_printf(struct dp_text *t, const char *format, ...) {
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    dp_puts(t, line);
}

/* ---- SHA-256 (FIPS 180-4) and HMAC (RFC 2104) ---- */

struct dp_sha256 { uint32_t h[8]; uint64_t bytes; unsigned char block[64]; };

static inline void dp_sha256_block(struct dp_sha256 *s) {
    static const uint32_t k[64] = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
        0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
        0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
        0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
        0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
        0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
        0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2 };
#define DP_ROR(x, n) ((x) >> (n) | (x) << (32 - (n)))
    uint32_t w[64], v[8];
    int i;
    for (i = 0; i < 16; i++)
        w[i] = (uint32_t)s->block[4 * i] << 24 | (uint32_t)s->block[4 * i + 1] << 16
             | (uint32_t)s->block[4 * i + 2] << 8 | (uint32_t)s->block[4 * i + 3];
    for (; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + w[i - 7] + (DP_ROR(a, 7) ^ DP_ROR(a, 18) ^ a >> 3) + (DP_ROR(b, 17) ^ DP_ROR(b, 19) ^ b >> 10);
    }
    memcpy(v, s->h, sizeof v);
    for (i = 0; i < 64; i++) {
        uint32_t a = v[0], e = v[4];
        uint32_t t1 = v[7] + (DP_ROR(e, 6) ^ DP_ROR(e, 11) ^ DP_ROR(e, 25)) + ((e & v[5]) ^ (~e & v[6])) + k[i] + w[i];
        uint32_t t2 = (DP_ROR(a, 2) ^ DP_ROR(a, 13) ^ DP_ROR(a, 22)) + ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));
        memmove(v + 1, v, 7 * sizeof v[0]);
        v[0] = t1 + t2;
        v[4] += t1;
    }
    for (i = 0; i < 8; i++) s->h[i] += v[i];
#undef DP_ROR
}

static inline void dp_sha256_begin(struct dp_sha256 *s) {
    static const uint32_t first[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                       0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
    memcpy(s->h, first, sizeof first);
    s->bytes = 0;
}

static inline void dp_sha256_add(struct dp_sha256 *s, const void *data, size_t n) {
    const unsigned char *p = (const unsigned char *)data;
    while (n--) {
        s->block[s->bytes++ % 64] = *p++;
        if (s->bytes % 64 == 0) dp_sha256_block(s);
    }
}

static inline void dp_sha256_end(struct dp_sha256 *s, unsigned char sum[32]) {
    uint64_t bits = s->bytes * 8;
    unsigned char length[8];
    int i;
    for (i = 0; i < 8; i++) length[i] = (unsigned char)(bits >> (56 - 8 * i));
    dp_sha256_add(s, "\x80", 1);
    while (s->bytes % 64 != 56) dp_sha256_add(s, "", 1);
    dp_sha256_add(s, length, 8);
    for (i = 0; i < 32; i++) sum[i] = (unsigned char)(s->h[i / 4] >> (24 - 8 * (i % 4)));
}

static inline void dp_hmac_sha256(const void *key, size_t key_len, const void *data, size_t n, unsigned char mac[32]) {
    struct dp_sha256 s;
    unsigned char block[64] = { 0 };
    int i;
    if (key_len > 64) {
        dp_sha256_begin(&s);
        dp_sha256_add(&s, key, key_len);
        dp_sha256_end(&s, block);
    } else memcpy(block, key, key_len);
    for (i = 0; i < 64; i++) block[i] ^= 0x36;
    dp_sha256_begin(&s);
    dp_sha256_add(&s, block, 64);
    dp_sha256_add(&s, data, n);
    dp_sha256_end(&s, mac);
    for (i = 0; i < 64; i++) block[i] ^= 0x36 ^ 0x5c;
    dp_sha256_begin(&s);
    dp_sha256_add(&s, block, 64);
    dp_sha256_add(&s, mac, 32);
    dp_sha256_end(&s, mac);
}

static inline char *dp_hex(const unsigned char *p, size_t n, char *text) {
    size_t i;
    for (i = 0; i < n; i++) sprintf(text + 2 * i, "%02x", p[i]);
    return text;
}

/* 32 hex digits that nobody can guess; -1: there is no /dev/urandom. */
static inline int dp_fresh(char text[33]) {
    unsigned char raw[16];
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, raw, sizeof raw);
    if (fd >= 0) close(fd);
    if (n != (ssize_t)sizeof raw) return -1;
    dp_hex(raw, sizeof raw, text);
    return 0;
}

/* ---- JSON: as much as an answer needs. A value is where it begins, NULL is none ---- */

static inline const char *dp_space(const char *p) { return p + strspn(p, " \t\r\n"); }

/* What comes after the value at p; NULL: there is none. */
static inline const char *dp_skip(const char *p) {
    int depth = 0;
    do {
        p += strspn(p, depth ? " \t\r\n,:" : " \t\r\n");
        if (*p == '"') {
            for (p++; *p && *p != '"'; p++)
                if (*p == '\\' && !*++p) return NULL;
            if (!*p++) return NULL;
        } else if (*p == '{' || *p == '[') { depth++; p++; }
        else if (*p == '}' || *p == ']') { if (!depth--) return NULL; p++; }
        else {
            size_t n = strspn(p, "+-.0123456789abcdefghijklmnopqrstuvwxyzE");
            if (!n) return NULL;
            p += n;
        }
    } while (depth);
    return p;
}

/* The value of a member of the object at p, or with name NULL the first item of
 * the list at p. Names are compared as they are written. */
static inline const char *dp_member(const char *p, const char *name) {
    if (!p) return NULL;
    p = dp_space(p);
    if (*p++ != (name ? '{' : '[')) return NULL;
    p = dp_space(p);
    if (!name) return *p == ']' ? NULL : p;
    while (*p == '"') {
        const char *key = p + 1, *end = dp_skip(p);
        size_t n = end ? (size_t)(end - key - 1) : 0;
        if (!end || *(p = dp_space(end)) != ':') return NULL;
        p = dp_space(p + 1);
        if (n == strlen(name) && !memcmp(key, name, n)) return p;
        if (!(p = dp_skip(p))) return NULL;
        p = dp_space(p);
        if (*p == ',') p = dp_space(p + 1);
    }
    return NULL;
}

/* The item after the one at p. */
static inline const char *dp_next(const char *p) {
    p = dp_skip(p);
    p = p ? dp_space(p) : "";
    return *p == ',' ? dp_space(p + 1) : NULL;
}

static inline long dp_long(const char *p, long otherwise) {
    return p && strchr("-0123456789", *p) && *p ? strtol(p, NULL, 10) : otherwise;
}

static inline int dp_true(const char *p) { return p && !strncmp(p, "true", 4); }
static inline int dp_set(const char *p) { return p && strncmp(p, "null", 4); }

static inline unsigned dp_u16(const char *p) {
    char digits[5] = { 0 };
    memcpy(digits, p, strnlen(p, 4));
    return (unsigned)strtoul(digits, NULL, 16);
}

/* The text of the string at p, as UTF-8; the caller frees it. */
static inline char *dp_string(const char *p, size_t *n) {
    struct dp_text t = { 0 };
    dp_add(&t, "", 0);
    if (p && *p == '"') {
        for (p++; *p && *p != '"'; p++) {
            static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
            const char *at;
            uint32_t c;
            char utf8[4];
            if (*p != '\\') { dp_add(&t, p, strcspn(p, "\"\\")); p += strcspn(p, "\"\\") - 1; continue; }
            if (!*++p) break;
            if (*p != 'u') { dp_add(&t, (at = strchr(from, *p)) ? &to[at - from] : p, 1); continue; }
            c = dp_u16(p + 1);
            p += strnlen(p, 5) - 1;
            if (c >> 10 == 0xd800 >> 10 && p[1] == '\\' && p[2] == 'u') { /* a surrogate pair */
                c = 0x10000 + ((c & 0x3ff) << 10) + (dp_u16(p + 3) & 0x3ff);
                p += strnlen(p, 7) - 1;
            }
            if (c < 0x80) { utf8[0] = (char)c; dp_add(&t, utf8, 1); }
            else {
                static const unsigned char lead[] = { 0, 0xc0, 0xe0, 0xf0 };
                int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3, i;
                for (i = more; i > 0; i--, c >>= 6) utf8[i] = (char)(0x80 | (c & 0x3f));
                utf8[0] = (char)(lead[more] | c);
                dp_add(&t, utf8, (size_t)more + 1);
            }
        }
    }
    if (n) *n = t.n;
    return t.p;
}

static inline void dp_copy(const char *p, char *to, size_t room) {
    char *s = dp_string(p, NULL);
    snprintf(to, room, "%s", s ? s : "");
    free(s);
}

static inline void dp_quote(struct dp_text *t, const char *s) {
    dp_puts(t, "\"");
    for (; *s; s++) {
        if ((unsigned char)*s < 0x20) dp_printf(t, "\\u%04x", (unsigned)*s);
        else if (*s == '"' || *s == '\\') dp_printf(t, "\\%c", *s);
        else dp_add(t, s, 1);
    }
    dp_puts(t, "\"");
}

/* ---- asking ---- */

/* A connection's answer, read to its end: what it says, and where in text. */
struct dp_answer { struct dp_text text; int status; char *head, *body; size_t body_len; };

static inline int dp_fail(struct deputy_result *r, int status, const char *error, const char *detail, const char *more) {
    struct dp_text t = { 0 };
    r->status = status;
    snprintf(r->error, sizeof r->error, "%s", error);
    dp_puts(&t, detail);
    dp_puts(&t, more ? more : "");
    free(r->detail);
    r->detail = t.p;
    return -1;
}

static inline long long dp_now(void) { /* ms */
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Gives the next system call on fd the time that is left; -1: there is none. */
static inline int dp_limit(int fd, long long end) {
    long long left = end - dp_now();
    struct timeval t = { left / 1000, left % 1000 * 1000 };
    if (left <= 0) { errno = ETIMEDOUT; return -1; }
    return setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t) | setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
}

/* The address without its scheme: a path, or host:port behind two slashes. */
static inline const char *dp_place(const struct deputy *d, int *line) {
    const char *set = getenv("DEPUTY_SOCKET");
    const char *a = d->address ? d->address : set && *set ? set : "/run/deputy/deputy.sock";
    *line = !strncmp(a, "line:", 5);
    return a + (*line || !strncmp(a, "http:", 5) ? 5 : 0);
}

static inline int dp_connect_to(int family, const void *to, socklen_t n, long long end) {
    int fd = socket(family, SOCK_STREAM, 0), error;
    if (fd < 0) return -1;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (dp_limit(fd, end) == 0 && connect(fd, (const struct sockaddr *)to, n) == 0) return fd;
    error = errno;
    close(fd);
    errno = error;
    return -1;
}

static inline int dp_connect(const char *place, long long end, const char **why) {
    struct addrinfo hints, *list, *a;
    char host[256];
    char *port;
    int fd = -1, error;
    *why = "the address must be a path, http://host:port, line:/path or line://host:port";
    if (*place != '/') return -1;
    if (strncmp(place, "//", 2)) {
        struct sockaddr_un un;
        memset(&un, 0, sizeof un);
        un.sun_family = AF_UNIX;
        *why = "the path is too long";
        if (strlen(place) >= sizeof un.sun_path) return -1;
        strcpy(un.sun_path, place);
        fd = dp_connect_to(AF_UNIX, &un, sizeof un, end);
        *why = strerror(errno);
        return fd;
    }
    snprintf(host, sizeof host, "%s", place + 2);
    port = strrchr(host, ':');
    *why = "the address has no port";
    if (!port) return -1;
    *port++ = 0;
    memset(&hints, 0, sizeof hints);
    hints.ai_socktype = SOCK_STREAM;
    if (*host == '[' && port[-2] == ']') port[-2] = 0; /* [::1]:7667 */
    error = getaddrinfo(host + (*host == '['), port, &hints, &list);
    *why = gai_strerror(error);
    if (error) return -1;
    for (a = list; a && fd < 0; a = a->ai_next) fd = dp_connect_to(a->ai_family, a->ai_addr, a->ai_addrlen, end);
    *why = strerror(errno);
    freeaddrinfo(list);
    return fd;
}

/* Sends a request, on a connection of its own, and reads until the daemon closes it. */
static inline int dp_exchange(const struct deputy *d, const char *place, const struct dp_text *request, int wait,
                              struct dp_text *answer, struct deputy_result *r) {
    long long timeout = d->timeout ? d->timeout : 30, end = dp_now() + (wait + timeout) * 1000;
    char part[16384];
    const char *why;
    size_t sent = 0;
    ssize_t n;
    int fd = dp_connect(place, dp_now() + (timeout < 10 ? timeout : 10) * 1000, &why);
    if (fd < 0) return dp_fail(r, 0, "unreachable", "cannot reach deputy: ", why);
    while (sent < request->n && dp_limit(fd, end) == 0) {
        n = send(fd, request->p + sent, request->n - sent, MSG_NOSIGNAL);
        if (n > 0) sent += (size_t)n;
        else if (errno != EINTR) break; /* an answer may have come before all was read */
    }
    answer->n = 0;
    while (dp_limit(fd, end) == 0 && ((n = recv(fd, part, sizeof part, 0)) > 0 || (n < 0 && errno == EINTR)))
        if (n > 0) dp_add(answer, part, (size_t)n);
    n = dp_now() < end;
    close(fd);
    if (answer->broken) return dp_fail(r, 0, "outcome_unknown", "cannot read the answer: no memory", NULL);
    if (!n || !answer->n)
        return dp_fail(r, 0, "outcome_unknown", "the connection to deputy was lost: no answer", n ? NULL : " in time");
    return 0;
}

/* A header's value without the spaces around it; "": there is none. */
static inline void dp_header(const char *head, const char *name, char *value, size_t room) {
    size_t n = strlen(name);
    *value = 0;
    while ((head = strstr(head, "\r\n")) != NULL) {
        head += 2;
        if (strncasecmp(head, name, n) || head[n] != ':') continue;
        head += n + 1;
        head += strspn(head, " \t");
        snprintf(value, room, "%.*s", (int)strcspn(head, "\r"), head);
        for (n = strlen(value); n && strchr(" \t", value[n - 1]); n--) value[n - 1] = 0;
        return;
    }
}

/* Takes the chunks out of a body, in place (RFC 9112, section 7.1); -1: it is not whole. */
static inline int dp_unchunk(struct dp_answer *a) {
    char *p = a->body, *to = a->body, *end = a->body + a->body_len, *digits;
    for (;;) {
        unsigned long size = strtoul(digits = p, &p, 16);
        if (p == digits || p - digits > 8 || strchr("+-x ", *digits) || !(p = strstr(p, "\r\n"))) return -1;
        p += 2;
        if (size == 0) break;
        if (end - p < 2 || size > (size_t)(end - p) - 2 || memcmp(p + size, "\r\n", 2)) return -1;
        memmove(to, p, size);
        to += size;
        p += size + 2;
    }
    a->body_len = (size_t)(to - a->body);
    return 0;
}

/* Reads an HTTP/1.1 answer (RFC 9112), which must be whole; -1: it is not. */
static inline int dp_http(struct dp_answer *a) {
    char length[24], coding[24];
    char *p = a->text.p, *end;
    do { /* an interim answer (1xx) goes before the real one */
        if (strncmp(p, "HTTP/1.", 7) || strlen(p) < 13 || !(end = strstr(p, "\r\n\r\n"))) return -1;
        a->status = (int)strtol(p + 9, NULL, 10);
        a->head = p;
        a->body = p = end + 4;
        end[2] = 0; /* behind the last header's line end */
    } while (a->status < 200);
    a->body_len = a->text.n - (size_t)(a->body - a->text.p);
    dp_header(a->head, "Transfer-Encoding", coding, sizeof coding);
    dp_header(a->head, "Content-Length", length, sizeof length);
    if (*coding) {
        if (strcmp(coding, "chunked") || *length || dp_unchunk(a)) return -1;
    } else if (*length) {
        size_t n = strtoul(length, &end, 10);
        if (*end || strchr("+- ", *length) || n > a->body_len) return -1;
        a->body_len = n;
    }
    a->body[a->body_len] = 0;
    return 0;
}

/* The Authorization line of one request: Deputy1 is good once. */
static inline int dp_sign(const struct deputy *d, struct dp_text *t, const char *method, const char *target,
                          const char *key, const char *user, const char *body, size_t n) {
    struct dp_text s = { 0 };
    struct dp_sha256 sum;
    unsigned char raw[32];
    char nonce[33], hex[65];
    long long now = (long long)time(NULL);
    const char *secret = d->secret ? d->secret : "";
    const char *lines[] = { method, d->audience ? d->audience : "", target, key, user, hex };
    size_t i;
    if (!d->key) return 0;
    if (dp_fresh(nonce)) return -1;
    dp_sha256_begin(&sum);
    dp_sha256_add(&sum, body, n);
    dp_sha256_end(&sum, raw);
    dp_hex(raw, sizeof raw, hex);
    dp_printf(&s, "DEPUTY1\n%.64s\n%lld\n%s\n", d->key, now, nonce);
    for (i = 0; i < sizeof lines / sizeof *lines; i++) { dp_puts(&s, lines[i]); dp_puts(&s, "\n"); }
    dp_hmac_sha256(secret, strcspn(secret, "\r\n"), s.p, s.n, raw);
    dp_printf(t, "Authorization: Deputy1 id=%.64s,ts=%lld,nonce=%s,sig=%s", d->key, now, nonce, dp_hex(raw, sizeof raw, hex));
    i = (size_t)s.broken;
    free(s.p);
    return i ? -1 : 0;
}

/* A value of a header: one line, without a blank at an edge, which HTTP drops. */
static inline int dp_is_line(const char *s) {
    size_t n = strlen(s);
    if (*s == ' ' || (n && s[n - 1] == ' ')) return 0;
    for (; *s; s++) if ((unsigned char)*s < 0x20 || *s == 0x7f) return 0;
    return 1;
}

/* A request's target (RFC 9112, section 3.2.1): what may stand in it as it is. */
static inline int dp_is_target(const char *s) {
    const char *query = strchr(s, '?');
    const char *end = query ? query : s + strlen(s);
    if (*s != '/') return 0;
    for (; s < end; s++)
        if (!strchr("-._~!$&'()*+,;=:@/%", *s) && !(*s >= '0' && *s <= '9') && !((*s | 32) >= 'a' && (*s | 32) <= 'z')) return 0;
    for (; *s; s++) if (*s <= ' ' || *s > '~' || *s == '#') return 0;
    return 1;
}

static inline int dp_is_id(const char *s) {
    size_t n = s ? strspn(s, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-") : 0;
    return n > 0 && n <= 64 && !s[n];
}

static inline int dp_no_task(struct deputy_result *r) {
    return dp_fail(r, 0, "unknown_task", "cannot ask: such an id no task has", NULL);
}

/* The head of a request; -1: something in it could end a line or begin another request. */
static inline int dp_head(const struct deputy *d, struct dp_text *t, const char *method, const char *target, const char *host,
                          const char *key, const char *user, const struct dp_text *body) {
    const char *fields[] = { "\r\nIdempotency-Key: ", key, "\r\nDeputy-End-User: ", user };
    size_t i;
    if (!dp_is_target(target) || !dp_is_line(host) || !dp_is_line(key) || !dp_is_line(user) || (d->key && (!dp_is_line(d->key) || strlen(d->key) > 64)))
        return -1;
    dp_puts(t, method);
    dp_puts(t, " ");
    dp_puts(t, target);
    dp_puts(t, " HTTP/1.1\r\nHost: ");
    dp_puts(t, host);
    dp_puts(t, "\r\nConnection: close");
    if (body) dp_printf(t, "\r\nContent-Type: application/json\r\nContent-Length: %zu", body->n);
    for (i = 0; i < 4; i += 2)
        if (*fields[i + 1]) { dp_puts(t, fields[i]); dp_puts(t, fields[i + 1]); }
    dp_puts(t, "\r\n");
    return 0;
}

/* One attempt over HTTP. */
static inline int dp_send(const struct deputy *d, const char *method, const char *target, const char *key, const char *user,
                          const struct dp_text *body, int wait, struct dp_answer *a, struct deputy_result *r) {
    struct dp_text t = { 0 };
    int line, failed;
    const char *place = dp_place(d, &line);
    key = key ? key : "";
    user = user ? user : "";
    a->head = a->body = NULL;
    if (line) return dp_fail(r, 0, "bad_request", "cannot ask: the 'Key: Value' door knows deputy_call alone", NULL);
    if (dp_head(d, &t, method, target, strncmp(place, "//", 2) ? "deputy" : place + 2, key, user, body)) {
        free(t.p);
        return dp_fail(r, 0, "bad_request", "cannot ask: a name has a blank at its beginning or its end, or a character that may not stand there", NULL);
    }
    failed = dp_sign(d, &t, method, target, key, user, body ? body->p : "", body ? body->n : 0);
    dp_puts(&t, d->key ? "\r\n\r\n" : "\r\n");
    if (body) dp_add(&t, body->p, body->n);
    if (failed || t.broken || (body && body->broken)) failed = dp_fail(r, 0, "unreachable", "cannot ask: no memory, or no random numbers", NULL);
    else failed = dp_exchange(d, place, &t, wait, &a->text, r);
    free(t.p);
    if (!failed && dp_http(a)) failed = dp_fail(r, 0, "outcome_unknown", "the connection to deputy was lost: its answer broke off", NULL);
    return failed;
}

/* Reads a refusal, and gives the seconds after which it may be another answer; -1: never. */
static inline long dp_refusal(struct dp_answer *a, struct deputy_result *r) {
    const char *code = dp_member(a->body, "code"), *detail = dp_member(a->body, "detail"), *task = dp_member(a->body, "task");
    dp_fail(r, a->status, a->status >= 500 ? "outcome_unknown" : "bad_request", detail ? "" : a->body, NULL);
    if (code) dp_copy(code, r->error, sizeof r->error);
    if (detail) { free(r->detail); r->detail = dp_string(detail, NULL); }
    free(r->task);
    r->task = task ? dp_string(task, NULL) : NULL;
    return a->status == 503 || a->status == 500 ? dp_long(dp_member(a->body, "retry_after"), -1) : -1; /* deputy restarts, for one */
}

/* Waits so many ms before the next attempt; 0: patience would be over by then. */
static inline int dp_patient(const struct deputy *d, long long since, long ms) {
    struct timespec pause = { ms / 1000, ms % 1000 * 1000000 };
    if (dp_now() - since + ms >= 1000 * (d->patience ? d->patience : 30)) return 0;
    nanosleep(&pause, NULL);
    return 1;
}

/* Asks until there is an answer, or the daemon is away for too long. met: one was there
 * before. What is asked here may be asked twice: a call has its key. */
static inline int dp_ask(const struct deputy *d, const char *method, const char *target, const char *key, const char *user,
                         const struct dp_text *body, int wait, int *met, struct dp_answer *a, struct deputy_result *r) {
    long long since = 0;
    for (;;) {
        long pause = 200;
        int failed = dp_send(d, method, target, key, user, body, wait, a, r);
        if (!failed || !strcmp(r->error, "outcome_unknown")) *met = 1;
        if (!failed && a->status < 300) break;
        since = since ? since : dp_now();
        if (!failed && (pause = 1000 * dp_refusal(a, r)) < 0) return -1;
        if (failed && (!*met || !strcmp(r->error, "bad_request"))) return -1;
        if (!dp_patient(d, since, pause)) return -1;
    }
    r->status = a->status;
    *r->error = 0;
    return 0;
}

/* Puts a task, as the HTTP API shows it, into a result. */
static inline void dp_task(struct deputy_result *r, const char *task) {
    const char *stop = dp_member(task, "stop");
    free(r->out);
    free(r->err);
    dp_copy(dp_member(task, "state"), r->state, sizeof r->state);
    r->ended = dp_set(dp_member(task, "ended"));
    r->ok = !strcmp(r->state, "succeeded");
    r->code = (int)dp_long(dp_member(dp_member(task, "exit"), "code"), -1);
    r->out = dp_string(dp_member(task, "stdout"), &r->out_len);
    r->err = dp_string(dp_member(task, "stderr"), &r->err_len);
    r->truncated = dp_true(dp_member(task, "truncated"));
    r->empty = dp_true(dp_member(stop, "empty"));
    r->killed = (int)dp_long(dp_member(stop, "killed"), 0);
}

/* Puts the ids of a list of tasks, or of ids, into a result, and the deciding task. */
static inline void dp_tasks(struct deputy_result *r, const char *list) {
    const char *p, *decides = NULL;
    free(r->ids);
    for (r->tasks = 0, p = dp_member(list, NULL); p; p = dp_next(p)) r->tasks++;
    r->ids = (char (*)[40])calloc(r->tasks + 1, sizeof *r->ids);
    r->ok = 1;
    for (r->tasks = 0, p = dp_member(list, NULL); p && r->ids; p = dp_next(p)) {
        dp_copy(*p == '{' ? dp_member(p, "id") : p, r->ids[r->tasks++], sizeof *r->ids);
        if (*p == '{' && r->ok && (dp_task(r, p), !r->ok || !decides)) decides = p;
    }
    if (decides && r->ok) dp_task(r, decides); /* all succeeded: the first */
}

/* How many bytes at the beginning of s are UTF-8 (RFC 3629). */
static inline size_t dp_utf8(const char *s) {
    const unsigned char *p = (const unsigned char *)s;
    for (;;) {
        int more = *p < 0x80 ? 0 : *p < 0xc2 ? -1 : *p < 0xe0 ? 1 : *p < 0xf0 ? 2 : *p < 0xf5 ? 3 : -1, i;
        if (!*p || more < 0) break;
        for (i = 1; i <= more && (p[i] & 0xc0) == 0x80; i++) continue;
        if (i <= more || (*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f) || (*p == 0xf0 && p[1] < 0x90) || (*p == 0xf4 && p[1] > 0x8f)) break;
        p += more + 1;
    }
    return (size_t)(p - (const unsigned char *)s);
}

/* The object of params; -1: one is not a value, as r says. */
static inline int dp_params(struct dp_text *t, const struct deputy_param *p, struct deputy_result *r) {
    const char *comma = "", *end;
    for (dp_puts(t, "{"); p && p->name; p++, comma = ",") {
        const char *value = p->json ? p->json : p->text ? p->text : "";
        size_t good = dp_utf8(value);
        if (value[good] || p->name[dp_utf8(p->name)]) {
            char why[64];
            snprintf(why, sizeof why, ": it is not UTF-8 from byte %zu on", good);
            dp_fail(r, 0, "bad_param", "cannot send ", p->name[dp_utf8(p->name)] ? "a param: its name is not UTF-8" : p->name);
            if (value[good]) {
                struct dp_text whole = { 0 };
                dp_puts(&whole, r->detail ? r->detail : "");
                dp_puts(&whole, why);
                free(r->detail);
                r->detail = whole.p;
            }
            return -1;
        }
        dp_puts(t, comma);
        dp_quote(t, p->name);
        dp_puts(t, ":");
        if (p->json && (!(end = dp_skip(p->json)) || *dp_space(end)))
            return dp_fail(r, 0, "bad_param", "cannot write the params: this one is not JSON: ", p->name);
        if (p->json) dp_puts(t, p->json);
        else dp_quote(t, p->text ? p->text : "");
    }
    dp_puts(t, "}");
    return 0;
}

static inline void dp_segment(struct dp_text *t, const char *s) {
    dp_puts(t, "/");
    for (; *s; s++) {
        if (strchr("-._~", *s) || (*s >= '0' && *s <= '9') || ((*s | 32) >= 'a' && (*s | 32) <= 'z')) dp_add(t, s, 1);
        else dp_printf(t, "%%%02X", (unsigned char)*s);
    }
}

/* One attempt by a 'Key: Value' message. */
static inline int dp_line_send(const struct deputy *d, const struct dp_text *body, struct dp_text *answer, struct deputy_result *r) {
    struct dp_text t = { 0 };
    int line, failed = dp_sign(d, &t, "TCP", "/", "", "", body->p, body->n);
    const char *place = dp_place(d, &line);
    if (d->key) dp_puts(&t, "\n");
    dp_add(&t, body->p, body->n);
    if (failed || t.broken || body->broken) failed = dp_fail(r, 0, "unreachable", "cannot ask: no memory, or no random numbers", NULL);
    else failed = dp_exchange(d, place, &t, 0, answer, r);
    free(t.p);
    return failed;
}

/* 'Key: Value': an answer is one JSON object. Values go as one line of JSON, so that
 * each is what it is, whatever characters it has. */
static inline int dp_line(const struct deputy *d, const struct deputy_request *q, const char *params, const char *key, struct deputy_result *r) {
    const char *user = q->end_user && *q->end_user ? q->end_user : NULL;
    const char *fields[] = { "module: ", q->module, "\naction: ", q->action, "\nIdempotency-Key: ", key,
                             user ? "\nEnd-User: " : "", user ? user : "", "\nparams: ", params, "\n\n", d->key ? d->key : "" };
    struct dp_text body = { 0 }, answer = { 0 };
    long long since = 0;
    int failed = 0, met = 0;
    size_t i;
    for (i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (i % 2 && !dp_is_line(fields[i])) failed = -1;
        if (i + 1 < sizeof fields / sizeof *fields) dp_puts(&body, fields[i]);
    }
    if (failed) {
        free(body.p);
        return dp_fail(r, 0, "bad_request", "cannot ask: a name has a blank at its beginning or its end, or a control character", NULL);
    }
    for (;;) {
        const char *msg;
        long pause = 1;
        failed = dp_line_send(d, &body, &answer, r);
        met |= !failed || !strcmp(r->error, "outcome_unknown");
        if (!failed && dp_true(dp_member(answer.p, "success"))) break;
        if (failed) { if (!met) break; }
        else {
            failed = -1;
            msg = dp_member(answer.p, "msg");
            dp_fail(r, (int)dp_long(dp_member(msg, "err_code"), 0), "outcome_unknown", "", NULL);
            if (dp_member(msg, "code")) dp_copy(dp_member(msg, "code"), r->error, sizeof r->error);
            free(r->detail);
            r->detail = dp_string(dp_member(msg, "detail"), NULL);
            if ((pause = dp_long(dp_member(msg, "retry_after"), -1)) < 0) break;
        }
        since = since ? since : dp_now();
        if (!dp_patient(d, since, 1000 * pause)) break;
    }
    free(body.p);
    r->answer = answer.p;
    if (!failed) { *r->error = 0; r->status = 0; dp_tasks(r, dp_member(answer.p, "tasks")); }
    return failed;
}

static inline int dp_call(const struct deputy *d, const struct deputy_request *q, struct deputy_result *r, long long wait) {
    struct dp_text target = { 0 }, body = { 0 };
    struct dp_answer a;
    char fresh[33] = "";
    const char *key = q->key ? q->key : fresh;
    long long end = dp_now() + wait * 1000;
    int line, failed, hold, met = 0;
    memset(r, 0, sizeof *r);
    memset(&a, 0, sizeof a);
    r->code = -1;
    dp_place(d, &line);
    failed = dp_params(&body, q->params, r);
    if (failed) ;
    else if (!q->key && dp_fresh(fresh)) failed = dp_fail(r, 0, "unreachable", "cannot ask: no random numbers", NULL);
    else if (line && wait < 0) failed = dp_line(d, q, body.p, key, r);
    else do {
        long long left = (end - dp_now() + 500) / 1000;
        hold = wait < 0 || left < 0 ? 0 : left < DEPUTY_HOLD ? (int)left : DEPUTY_HOLD;
        target.n = 0;
        dp_puts(&target, "/v1/actions");
        dp_segment(&target, q->module);
        dp_segment(&target, q->action);
        if (wait >= 0) dp_printf(&target, "?wait=%d&output=%ld", hold, q->output ? q->output : 1L << 20);
        failed = target.n > 400 ? dp_fail(r, 0, "unknown_action", "cannot ask: such a name no action has", NULL)
                                : dp_ask(d, "POST", target.p, key, q->end_user, &body, hold, &met, &a, r);
        if (!failed) dp_tasks(r, dp_member(a.body, "tasks"));
    } while (!failed && wait >= 0 && a.status != 200 && dp_now() < end);
    free(target.p);
    free(body.p);
    if (a.text.p) {
        if (a.body) memmove(a.text.p, a.body, a.body_len + 1);
        r->answer = a.text.p;
    }
    return failed;
}

/* Asks for an action and waits for its end. */
static inline int deputy_run(const struct deputy *d, const struct deputy_request *q, struct deputy_result *r) {
    return dp_call(d, q, r, q->wait ? q->wait : 300);
}

/* Asks for an action and goes: what r->ids name is durable now. */
static inline int deputy_call(const struct deputy *d, const struct deputy_request *q, struct deputy_result *r) {
    return dp_call(d, q, r, -1);
}

static inline int dp_one(const struct deputy *d, const char *method, const char *target, const struct dp_text *body, int wait, struct deputy_result *r) {
    struct dp_answer a;
    int failed, met = 1; /* who has an id has met a daemon */
    memset(&a, 0, sizeof a);
    failed = dp_ask(d, method, target, NULL, NULL, body, wait, &met, &a, r);
    if (!failed) dp_task(r, a.body);
    if (a.text.p && a.body) memmove(a.text.p, a.body, a.body_len + 1);
    free(r->answer);
    r->answer = a.text.p;
    return failed;
}

/* Gives a task once it has ended, or as it is after so many seconds; -1: however long it takes. */
static inline int deputy_wait(const struct deputy *d, const char *id, int seconds, struct deputy_result *r) {
    long long end = dp_now() + seconds * 1000LL;
    char target[256];
    memset(r, 0, sizeof *r);
    if (!dp_is_id(id)) return dp_no_task(r);
    do {
        long long left = seconds < 0 ? DEPUTY_HOLD : (end - dp_now() + 500) / 1000;
        int hold = left < 0 ? 0 : left < DEPUTY_HOLD ? (int)left : DEPUTY_HOLD;
        snprintf(target, sizeof target, "/v1/tasks/%s?wait=%d", id, hold);
        if (dp_one(d, "GET", target, NULL, hold, r)) return -1;
    } while (!r->ended && (seconds < 0 || dp_now() < end));
    return 0;
}

/* Stops a task with all that it started; see r->empty. grace, in ms, may shorten the
 * declared one; -1: the declared one. */
static inline int deputy_stop(const struct deputy *d, const char *id, long grace, struct deputy_result *r) {
    struct dp_text body = { 0 };
    char target[256];
    int failed;
    memset(r, 0, sizeof *r);
    if (!dp_is_id(id)) return dp_no_task(r);
    snprintf(target, sizeof target, "/v1/tasks/%s/stop", id);
    if (grace < 0) dp_puts(&body, "{}");
    else dp_printf(&body, "{\"grace\":\"%ldms\"}", grace);
    failed = dp_one(d, "POST", target, &body, 3600, r);
    free(body.p);
    return failed;
}

/* Calls f for each piece of a task's "stdout" or "stderr" from *offset on, as it comes, until
 * the task has ended or f is not 0. at is where a piece begins: what lies between two is gone;
 * where it goes back to 0 the task has cut its own output, and this is its new text. */
static inline int deputy_follow(const struct deputy *d, const char *id, const char *stream, long long *offset,
                                int (*f)(void *arg, const char *piece, size_t n, long long at), void *arg, struct deputy_result *r) {
    struct dp_answer a;
    char target[256], next_text[24], rewritten[8], ended[8];
    int failed, enough = 0, met = 1, given = 0, cut = 0;
    memset(r, 0, sizeof *r);
    memset(&a, 0, sizeof a);
    if (!dp_is_id(id)) return dp_no_task(r);
    if (!stream || (strcmp(stream, "stdout") && strcmp(stream, "stderr")))
        return dp_fail(r, 0, "bad_request", "cannot follow this: a task has stdout and stderr", NULL);
    for (;;) {
        long long next;
        snprintf(target, sizeof target, "/v1/tasks/%s/%s?offset=%lld&wait=%d", id, stream, *offset, DEPUTY_HOLD);
        failed = dp_ask(d, "GET", target, NULL, NULL, NULL, DEPUTY_HOLD, &met, &a, r);
        if (failed) break;
        dp_header(a.head, "Deputy-Next-Offset", next_text, sizeof next_text);
        dp_header(a.head, "Deputy-State", r->state, sizeof r->state);
        dp_header(a.head, "Deputy-Ended", ended, sizeof ended);
        if (strcmp(ended, "true") && strcmp(ended, "false")) {
            failed = dp_fail(r, a.status, "outcome_unknown", "cannot read the daemon's answer: it has no Deputy-Ended", NULL);
            break;
        }
        r->ended = !strcmp(ended, "true");
        next = strtoll(next_text, NULL, 10);
        dp_header(a.head, "Deputy-Rewritten", rewritten, sizeof rewritten);
        if (*rewritten && !cut) {
            cut = 1;
            if (given) {
                *offset = 0;
                continue;
            }
        }
        if (a.body_len) given = 1;
        if (a.body_len || next != *offset) enough = f(arg, a.body, a.body_len, next - (long long)a.body_len);
        else if (r->ended) break;
        *offset = next;
        if (enough) break;
    }
    free(a.text.p);
    return failed;
}

static inline void deputy_free(struct deputy_result *r) {
    free(r->out);
    free(r->err);
    free(r->ids);
    free(r->detail);
    free(r->task);
    free(r->answer);
    memset(r, 0, sizeof *r);
}
#endif
