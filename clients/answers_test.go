//go:build linux

package clients

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"deputy/internal/signature"
)

const (
	silence = "silence"                 // an answer that does not come
	lost    = "error outcome_unknown 0" // what a client says whose patience is at its end
)

// What a run is answered, in the frames of HTTP/1.1.
const (
	ended = `{"tasks":[{"id":"t","state":"succeeded","ended":"2026-01-02T03:04:05.678Z","exit":{"code":0},"stdout":"\u00e9\ud83e\udd8c\"\\\n","stderr":"","truncated":false}]}`
	shown = "é🦌\"\\\n"
)

func sized(status, body string) string {
	return fmt.Sprintf("HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s", status, len(body), body)
}

// living is what is answered while the task runs.
var living = strings.NewReplacer("succeeded", "running", `"2026-01-02T03:04:05.678Z"`, "null").Replace(ended)

// What deputy says while it restarts, and what lasts longer than anybody's patience.
var (
	soon    = sized("503 Service Unavailable", `{"code":"not_durable","detail":"cannot","retry_after":1}`)
	unknown = sized("500 Internal Server Error", `{"code":"outcome_unknown","detail":"cannot","retry_after":1}`)
	late    = sized("503 Service Unavailable", `{"code":"not_durable","detail":"cannot","retry_after":3600}`)
	broken  = sized("500 Internal Server Error", `{"code":"outcome_unknown","detail":"cannot"}`)
	busy    = sized("429 Too Many Requests", `{"code":"rate_limited","detail":"cannot","retry_after":1}`)
)

var problem = sized("409 Conflict", `{"code":"busy","task":"t7","detail":"cannot: \u2018x\""}`)

// TestAnswers has a server give answers that are odd but right, or not whole. It
// gives them one after another, a connection each, and the last one ever after.
func TestAnswers(t *testing.T) {
	tests := []struct {
		name    string
		answers []string
		want    string
	}{
		{"whole", []string{sized("200 OK", ended)}, "ok succeeded 0"},
		{"no reason phrase", []string{sized("200 ", ended)}, "ok succeeded 0"},
		{"names in any case, spaces around the value", []string{fmt.Sprintf("HTTP/1.1 200 OK\r\ncONTENT-lENGTH: \t%d \r\n\r\n%s", len(ended), ended)}, "ok succeeded 0"},
		{"an interim answer first", []string{"HTTP/1.1 100 Continue\r\n\r\n" + sized("200 OK", ended)}, "ok succeeded 0"},
		{"in chunks", []string{chunked(ended, 7) + "0\r\n\r\n"}, "ok succeeded 0"},
		{"in chunks, with extensions and a trailer", []string{strings.ReplaceAll(chunked(ended, 40), "28\r\n", "0028;a=b\r\n") + "0;last\r\nTrailer: x\r\n\r\n"}, "ok succeeded 0"},
		{"accepted, and ended at the next look", []string{sized("202 Accepted", living), sized("200 OK", ended)}, "ok succeeded 0"},
		{"no answer, then one", []string{"", sized("200 OK", ended)}, "ok succeeded 0"},
		{"broken off in the header", []string{"HTTP/1.1 200 OK\r\nContent-Len", sized("200 OK", ended)}, "ok succeeded 0"},
		{"broken off in the body", []string{sized("200 OK", ended)[:130], sized("200 OK", ended)}, "ok succeeded 0"},
		{"broken off in a chunk", []string{chunked(ended, 7)[:100], sized("200 OK", ended)}, "ok succeeded 0"},
		{"broken off before the last chunk", []string{chunked(ended, 7), sized("200 OK", ended)}, "ok succeeded 0"},
		{"never whole", []string{sized("200 OK", ended)[:130]}, lost},
		{"a refusal", []string{problem}, "error busy 409"},
		{"deputy restarts", []string{soon, unknown, soon, sized("200 OK", ended)}, "ok succeeded 0"},
		{"it says to come back, too late", []string{late, sized("200 OK", ended)}, "error not_durable 503"},
		{"it has failed", []string{broken, sized("200 OK", ended)}, "error outcome_unknown 500"},
		{"too many", []string{busy, sized("200 OK", ended)}, "error rate_limited 429"},
		{"not from deputy", []string{sized("502 Bad Gateway", "<h1>no</h1>")}, "error outcome_unknown 502"},
		{"a redirect leads nowhere", []string{"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"}, "error bad_request 302"},
	}
	for _, driver := range drivers(t) {
		t.Run(driver.name, func(t *testing.T) {
			t.Parallel()
			for _, test := range tests {
				if driver.name == "shell" {
					continue // curl reads its answers: see TestShellAnswers
				}
				s := serve(t, test.answers)
				run := driver.begin(t, params(driver, "run", "m", "a"), s.env(test.want))
				said := run.end()
				if said != test.want && !strings.HasPrefix(said, test.want+" ") {
					t.Errorf("%s: said %q, want %q; stderr %q", test.name, said, test.want, run.err.String())
				}
				if strings.HasPrefix(said, "ok") && run.out.String() != shown {
					t.Errorf("%s: stdout %q, want %q", test.name, run.out.String(), shown)
				}
				s.check(test.name)
			}
		})
	}
}

// TestShellAnswers is the same for the shell's client, whose HTTP is curl's.
func TestShellAnswers(t *testing.T) {
	call := sized("202 Accepted", ended)
	task := sized("200 OK", `{"params":{"state":"x","y":[{"state":"y"}]}, "state":"failed","ended":"2026-01-02T03:04:05.678Z","exit":{"signal":"SIGSEGV"},"stdout_bytes":0,"stderr_bytes":0}`)
	for _, test := range []struct {
		name    string
		answers []string
		want    string
	}{
		{"whole", []string{call, task}, "exit 139"},
		{"an interim answer first, chunks", []string{"HTTP/1.1 100 Continue\r\n\r\n" + chunked(ended, 7) + "0\r\n\r\n", task}, "exit 139"},
		{"broken off", []string{"", call[:99], call, task[:99], task}, "exit 139"},
		{"never whole", []string{call[:99]}, lost},
		{"a refusal", []string{problem}, "error busy 409"},
		{"deputy restarts", []string{soon, unknown, call, soon, task}, "exit 139"},
		{"it says to come back, too late", []string{late, call}, "error not_durable 503"},
		{"it has failed", []string{broken, call}, "error outcome_unknown 500"},
		{"not from deputy", []string{sized("502 Bad Gateway", "<h1>no</h1>")}, "error outcome_unknown 502"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, driver := range drivers(t) {
				if driver.name != "shell" {
					continue
				}
				s := serve(t, test.answers)
				if said := driver.begin(t, params(driver, "run", "m", "a"), s.env(test.want)).end(); said != test.want && !strings.HasPrefix(said, test.want+" ") {
					t.Errorf("said %q, want %q", said, test.want)
				}
				s.check(test.name)
			}
		})
	}
}

// TestTimeOut has a server take a request and say nothing.
func TestTimeOut(t *testing.T) {
	for _, driver := range drivers(t) {
		if driver.name == "go" {
			continue // waits 30 s, which is no setting: see deputy/client
		}
		t.Run(driver.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, []string{silence})
			said := driver.begin(t, params(driver, "call", "m", "a"), s.env(lost)).end()
			if !strings.HasPrefix(said, lost+" ") {
				t.Errorf("said %q", said)
			}
			s.check("silence")
		})
	}
}

func params(d driver, args ...string) []string {
	if d.plain {
		return append(args, "text=x")
	}
	return append(args, `{"text":"x"}`)
}

func chunked(body string, size int) string {
	text := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for len(body) > 0 {
		n := min(size, len(body))
		text += fmt.Sprintf("%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	return text
}

// server gives prepared answers on a TCP port, and keeps what it was asked.
type server struct {
	t       *testing.T
	address string
	done    <-chan struct{} // the test is over

	mu    sync.Mutex
	asked []asked
}

type asked struct {
	*http.Request
	body []byte
}

func serve(t *testing.T, answers []string) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, address: "http://" + l.Addr().String(), done: t.Context().Done()}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.answer(conn, answers)
		}
	}()
	return s
}

func (s *server) answer(conn net.Conn, answers []string) {
	defer conn.Close()
	r, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		s.t.Errorf("not a request: %v", err)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Errorf("not a whole request: %v", err)
	}
	if strings.HasPrefix(r.RequestURI, "/v1/actions/") && r.Method == http.MethodGet {
		io.WriteString(conn, sized("404 Not Found", `{"code":"unknown_action","detail":"cannot"}`)) // what the params are
		return
	}
	s.mu.Lock()
	text := answers[min(len(s.asked), len(answers)-1)]
	s.asked = append(s.asked, asked{r, body})
	s.mu.Unlock()
	if text == silence {
		<-s.done
		return
	}
	io.WriteString(conn, text)
}

// env is for a client that is to say want: one that is to give up does so soon.
func (s *server) env(want string) []string {
	p, patience := &play{t: s.t}, "30"
	if want == lost {
		patience = "2"
	}
	return p.env(step{Env: map[string]string{"ADDRESS": s.address, "KEY": "panel", "SECRET": secret, "AUDIENCE": audience, "PATIENCE": patience, "WAIT": "20"}})
}

// check verifies what was asked: each request is signed for itself, and one that
// is sent again has the same idempotency key.
func (s *server) check(name string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	nonces, keys := map[string]bool{}, map[string]bool{}
	for _, r := range s.asked {
		a, err := signature.Parse(r.Header.Get("Authorization"))
		covered := signature.Request{Method: r.Method, Audience: audience, Target: r.RequestURI,
			IdempotencyKey: r.Header.Get("Idempotency-Key"), EndUser: r.Header.Get("Deputy-End-User"), Body: r.body}
		if err != nil || !a.Verify([]byte(secret), covered) || nonces[a.Nonce] {
			s.t.Errorf("%s: the signature of %s %s: %v, good or used before", name, r.Method, r.RequestURI, err)
		}
		nonces[a.Nonce] = true
		if r.Method != http.MethodPost {
			continue
		}
		keys[covered.IdempotencyKey] = true
		if strings.ReplaceAll(string(r.body), " ", "") != `{"text":"x"}` || r.Header.Get("Content-Type") != "application/json" {
			s.t.Errorf("%s: the body %q of type %q", name, r.body, r.Header.Get("Content-Type"))
		}
	}
	if len(s.asked) == 0 || len(keys) != 1 || keys[""] {
		s.t.Errorf("%s: %d requests with the keys %v, want one key", name, len(s.asked), keys)
	}
}
