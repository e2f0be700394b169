//go:build linux

package clients

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// refusal is one entry of testdata/refused.json: what a client refuses before it
// connects. What it may send is encoded, and one request.
type refusal struct {
	step
	Want string // the code
	May  bool
}

// TestBadInputIsNotSent: whatever is put into a name, nothing of it ends a line,
// begins another request, or loses a blank on its way.
func TestBadInputIsNotSent(t *testing.T) {
	text, err := os.ReadFile("testdata/refused.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []refusal
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	for _, driver := range drivers(t) {
		t.Run(driver.name, func(t *testing.T) {
			t.Parallel()
			for _, scheme := range []string{"http", "line"} {
				if scheme == "line" && !driver.line {
					continue
				}
				for _, c := range cases {
					op := c.Do[0]
					if scheme == "line" && c.May && !strings.ContainsAny(strings.Join(c.Do, ""), "\r\n") {
						continue // a value like others, there
					}
					if op == "ask" && !slices.Contains([]string{"php", "python", "node"}, driver.name) || scheme == "line" && op != "call" {
						continue
					}
					play := &play{t: t, driver: driver, names: map[string]string{}}
					s := watch(t)
					env := map[string]string{"ADDRESS": scheme + "://" + s.address, "KEY": "panel", "SECRET": secret, "AUDIENCE": audience, "PATIENCE": "1"}
					for name, value := range c.Env {
						env[name] = value
					}
					c.step.Env = env
					said := driver.begin(t, play.args(c.step), play.env(c.step)).end()
					requests := s.end()
					want := "error " + c.Want + " 0 "
					switch {
					case !c.May && len(requests) > 0:
						t.Errorf("%s %q %v was sent: %q", scheme, c.Do, c.Env, requests)
					case len(requests) > 1 || len(requests) == 1 && requests[0] == "":
						t.Errorf("%s %q: these were sent: %q", scheme, c.Do, requests)
					case len(requests) == 1:
						want = "error " + c.Want + " 404 "
					}
					if !strings.HasPrefix(said, want) && !(scheme == "line" && c.May && strings.HasPrefix(said, "error bad_request 0 ")) {
						t.Errorf("%s %q %q: said %q, want %q", scheme, c.Do, c.Env, said, want)
					}
				}
			}
		})
	}
}

// watched notes what it is sent: each request's target, or "" for what is none.
type watched struct {
	address string
	l       net.Listener
	served  sync.WaitGroup
	mu      sync.Mutex
	got     []string
}

func watch(t *testing.T) *watched {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &watched{address: l.Addr().String(), l: l}
	s.served.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.served.Go(func() { s.serve(conn) })
		}
	})
	return s
}

func (s *watched) serve(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	in := bufio.NewReader(conn)
	for {
		r, err := http.ReadRequest(in)
		if err == io.EOF {
			return
		}
		target := ""
		if err == nil {
			target = r.RequestURI
			_, _ = io.Copy(io.Discard, r.Body)
		}
		s.mu.Lock()
		if err != nil || r.Method != http.MethodGet || !strings.HasPrefix(target, "/v1/actions/") { // which asks what the params are
			s.got = append(s.got, target)
		}
		s.mu.Unlock()
		body := `{"code":"unknown_action","detail":"cannot"}`
		fmt.Fprintf(conn, "HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		if err != nil || in.Buffered() == 0 {
			return // what follows in the same breath would be a second request
		}
	}
}

// end gives what came once nobody can come any more.
func (s *watched) end() []string {
	s.l.Close()
	s.served.Wait()
	return s.got
}

// TestTextThatIsNoneIsNotSent: bytes that are not UTF-8 are refused with their
// param and their place, and never sent as something else.
func TestTextThatIsNoneIsNotSent(t *testing.T) {
	for _, driver := range drivers(t) {
		if driver.name == "shell" {
			continue // it sends them as they are, and deputy refuses them (TestCases)
		}
		t.Run(driver.name, func(t *testing.T) {
			t.Parallel()
			s := watch(t)
			arg, want := `{"list":["ok","a\ud800"]}`, "error bad_param 0 - cannot send list[1]: it is not Unicode from character 1 on"
			switch driver.name {
			case "php":
				arg = `{"list":["ok","hex:61c3"]}`
				want = "error bad_param 0 - cannot send list[1]: it is not UTF-8 from byte 1 on"
			case "go":
				arg = "{\"list\":[\"ok\",\"a\xc3\"]}"
				want = "error bad_json 0 - cannot send the params: they are not UTF-8 from byte 16 on"
			case "c":
				arg, want = "list=a\xc3", "error bad_param 0 - cannot send list: it is not UTF-8 from byte 1 on"
			}
			play := &play{t: t, driver: driver}
			env := play.env(step{Env: map[string]string{"ADDRESS": "http://" + s.address, "PATIENCE": "1"}})
			said := driver.begin(t, []string{"call", "m", "a", arg}, env).end()
			if sent := s.end(); !strings.HasPrefix(said, want) || len(sent) > 0 {
				t.Errorf("said %q, sent %q", said, sent)
			}
		})
	}
}
