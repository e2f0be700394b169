//go:build linux

package clients

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
)

// TestTheirOwnErrorAlone: whatever an answer is, and however a connection fails, the
// clients of PHP, Python and Node raise the one error that their callers catch.
func TestTheirOwnErrorAlone(t *testing.T) {
	tasks := func(text string) string { return sized("200 OK", `{"tasks":[`+text+`]}`) }
	type answers struct {
		name, answer, want string
		args               []string
	}
	run, follow, wait := []string{"run", "m", "a"}, []string{"follow", "t", "stdout"}, []string{"wait", "t"}
	cases := []answers{
		{"an empty task", tasks(`{}`), "error outcome_unknown 200 ", run},
		{"a number for a task", tasks(`1`), "error outcome_unknown 200 ", run},
		{"null for a task", tasks(`null`), "error outcome_unknown 200 ", run},
		{"text for a task", tasks(`"x"`), "error outcome_unknown 200 ", run},
		{"a number for an exit", tasks(`{"state":"succeeded","ended":"x","exit":1}`), "error outcome_unknown 200 ", run},
		{"a number for an output", tasks(`{"state":"succeeded","ended":"x","stdout":1}`), "error outcome_unknown 200 ", run},
		{"tasks that are text", sized("200 OK", `{"tasks":"x"}`), "error outcome_unknown 200 ", run},
		{"a list", sized("200 OK", `[1]`), "error outcome_unknown 200 ", run},
		{"null", sized("200 OK", `null`), "error outcome_unknown 200 ", run},
		{"nothing", sized("200 OK", ``), "error outcome_unknown 200 ", run},
		{"depth", sized("200 OK", strings.Repeat("[", 200_000)), "error outcome_unknown 200 ", run},
		{"a number without end", sized("200 OK", `{"tasks":`+strings.Repeat("1", 10_000)+`}`), "error outcome_unknown 200 ", run},
		{"not UTF-8", sized("200 OK", "{\"tasks\":[\"\xff\"]}"), "error outcome_unknown 200 ", run},
		{"a code that is a number", sized("409 Conflict", `{"code":7,"detail":["x"]}`), "error bad_request 409 ", run},
		{"a refusal that is a list", sized("500 Internal Server Error", `[7]`), "error outcome_unknown 500 ", run},
		{"to come back before now", sized("503 Service Unavailable", `{"code":"not_durable","detail":"cannot","retry_after":-1}`), "error not_durable 503 ", run},
		{"to come back at no time", sized("503 Service Unavailable", `{"code":"not_durable","detail":"cannot","retry_after":"x"}`), "error not_durable 503 ", run},
		{"not HTTP", "nonsense\r\n\r\n", lost, run},
		{"not HTTP at all", "\x16\x03\x01\x00\x02", lost, run},
		{"a length beyond all numbers", "HTTP/1.1 200 OK\r\nContent-Length: 1" + strings.Repeat("0", 40) + "\r\n\r\n{}", lost, run},
		{"a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}", "error outcome_unknown ", run},
		{"a chunk beyond all numbers", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("f", 40) + "\r\n{}", lost, run},
		{"a chunk of no size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}", lost, run},
		{"another protocol", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", "error ", run},
		{"no offset", sized("200 OK", "x"), "error outcome_unknown 200 ", follow},
		{"an offset that is no digit", "HTTP/1.1 200 OK\r\nDeputy-Next-Offset: \xb2\r\nContent-Length: 1\r\n\r\nx", "error outcome_unknown 200 ", follow},
		{"a task without a state", sized("200 OK", `{"id":"t"}`), "error outcome_unknown 200 ", wait},
	}
	for _, driver := range drivers(t) {
		if !slices.Contains([]string{"php", "python", "node"}, driver.name) {
			continue
		}
		t.Run(driver.name, func(t *testing.T) {
			t.Parallel()
			say := func(address string, args []string) string {
				if args[0] == "run" {
					args = append(slices.Clone(args), `{"text":"x"}`)
				}
				p := &play{t: t, driver: driver}
				return driver.begin(t, args, p.env(step{Env: map[string]string{"ADDRESS": address, "PATIENCE": "1", "WAIT": "5"}})).end()
			}
			for _, c := range cases {
				if said := say(answering(t, c.answer), c.args); !strings.HasPrefix(said, c.want) {
					t.Errorf("%s: said %.300q, want %q", c.name, said, c.want)
				}
			}
			for _, address := range []string{
				"http://127.0.0.1:1", "http://127.0.0.1:99999", "http://127.0.0.1:x", "http://nobody.invalid", "http://[::1", "http://:", "/nowhere/deputy.sock",
				"/tmp", "/" + strings.Repeat("x", 300), strings.Replace(answering(t, sized("200 OK", ended)), "http:", "https:", 1),
			} {
				if said := say(address, run); !strings.HasPrefix(said, "error unreachable 0 ") && !strings.HasPrefix(said, "error bad_request 0 ") {
					t.Errorf("%s: said %q", address, said)
				}
			}
		})
	}
}

// answering gives the same answer, whatever it is asked, and ends the connection.
func answering(t *testing.T, answer string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = conn.Read(make([]byte, 64<<10))
				fmt.Fprint(conn, answer)
			}()
		}
	}()
	return "http://" + l.Addr().String()
}
