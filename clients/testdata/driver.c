/* Plays one step of cases.json with clients/c/deputy.h; see clients_test.go. A
 * param is name=text or name:=json. */
#include "../c/deputy.h"

static void play_hmac(void) {
    static char line[4096], bytes[2048];
    while (fgets(line, sizeof line, stdin)) {
        char hex[65], *p = line;
        unsigned char mac[32];
        size_t n = 0, key;
        for (; sscanf(p, "%2hhx", (unsigned char *)&bytes[n]) == 1 && *p != ' '; p += 2) n++;
        key = n;
        for (p++; *p >= '0' && sscanf(p, "%2hhx", (unsigned char *)&bytes[n]) == 1; p += 2) n++;
        dp_hmac_sha256(bytes, key, bytes + key, n - key, mac);
        puts(dp_hex(mac, sizeof mac, hex));
    }
}

static int show(void *arg, const char *piece, size_t n, long long at) {
    (void)arg;
    (void)at;
    fwrite(piece, 1, n, stdout);
    fflush(stdout);
    return 0;
}

int main(int argc, char **argv) {
    struct deputy d = { 0 };
    struct deputy_param params[16] = { { 0 } };
    struct deputy_request q = { 0 };
    struct deputy_result r = { 0 };
    const char *op = argc > 1 ? argv[1] : "", *patience = getenv("T_PATIENCE");
    long long offset = 0;
    int i, failed = -1;
    size_t n;
    d.address = getenv("T_ADDRESS");
    d.key = getenv("T_KEY");
    d.secret = getenv("T_SECRET");
    d.audience = getenv("T_AUDIENCE");
    d.timeout = d.patience = patience ? atoi(patience) : 0;
    q.key = getenv("T_IDEMPOTENCY");
    q.end_user = getenv("T_END_USER");
    q.wait = getenv("T_WAIT") ? atoi(getenv("T_WAIT")) : 60;
    q.params = params;
    if (argc > 3) {
        q.module = argv[2];
        q.action = argv[3];
    }
    for (i = 4; i < argc && i < 19; i++) {
        char *value = strchr(argv[i], '=');
        struct deputy_param *p = &params[i - 4];
        p->name = argv[i];
        if (value[-1] == ':') p->json = value + 1;
        else p->text = value + 1;
        value[-(value[-1] == ':')] = 0;
    }
    if (!strcmp(op, "hmac")) {
        play_hmac();
        return 0;
    }
    if (!strcmp(op, "run") && (failed = deputy_run(&d, &q, &r)) == 0) {
        fwrite(r.out ? r.out : "", 1, r.out_len, stdout);
        fwrite(r.err ? r.err : "", 1, r.err_len, stderr);
        dprintf(3, "%s %s %.*d%s", r.ok ? "ok" : "failed", r.state, r.code >= 0, r.code < 0 ? 0 : r.code, r.code < 0 ? "-" : "");
    }
    if (!strcmp(op, "call") && (failed = deputy_call(&d, &q, &r)) == 0) {
        dprintf(3, "tasks");
        for (n = 0; n < r.tasks; n++) dprintf(3, " %s", r.ids[n]);
    }
    if (!strcmp(op, "wait") && (failed = deputy_wait(&d, argv[2], -1, &r)) == 0) dprintf(3, "state %s", r.state);
    if (!strcmp(op, "follow") && (failed = deputy_follow(&d, argv[2], argv[3], &offset, show, NULL, &r)) == 0) dprintf(3, "end");
    if (!strcmp(op, "stop") && (failed = deputy_stop(&d, argv[2], 0, &r)) == 0)
        dprintf(3, "state %s %s", r.state, r.empty ? "empty" : "alive");
    if (failed) dprintf(3, "error %s %d %s %s", r.error, r.status, r.task ? r.task : "-", r.detail);
    deputy_free(&r);
    return 0;
}
