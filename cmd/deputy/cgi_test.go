package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// cgi runs deputy cgi as a web server would, with alice's request for GET
// /v1/tasks unless env says otherwise.
func cgi(t *testing.T, socket, body string, env map[string]string, args ...string) result {
	t.Helper()
	all := map[string]string{
		"GATEWAY_INTERFACE": "CGI/1.1", "REQUEST_METHOD": "GET", "SCRIPT_NAME": "/cgi-bin/deputy", "PATH_INFO": "/v1/tasks",
		"HTTP_HOST": "panel.example", "REMOTE_USER": "alice",
	}
	maps.Copy(all, env)
	return deputyRun(t, socket, setting{in: body, env: all}, append([]string{"cgi"}, args...)...)
}

func TestCGIPassesOn(t *testing.T) {
	var got string
	socket := listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		r.Header.Del("User-Agent")
		got = fmt.Sprintf("%s %s %d %q %v", r.Method, r.RequestURI, r.ContentLength, body, err)
		for _, name := range sortedHeaders(r.Header) {
			got += "\n" + name + ": " + strings.Join(r.Header[name], " and ")
		}
		w.Header().Set("Location", "/v1/tasks/t1")
		w.Header().Set("Keep-Alive", "timeout=5")
		w.Header().Set("Upgrade", "h2c")
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Date", "then")
		w.WriteHeader(http.StatusAccepted)
		io.WriteString(w, "{}")
	}))
	tests := []struct {
		name, body, want string
		env              map[string]string
	}{
		{"a read", "", "GET /v1/tasks 0 \"\" <nil>\nDeputy-End-User: alice", nil},
		{"a query", "", "GET /v1/tasks?state=running&limit=1 0 \"\" <nil>\nDeputy-End-User: alice",
			map[string]string{"QUERY_STRING": "state=running&limit=1"}},
		{"a path is encoded again", "", "GET /v1/tasks/a%20b%3Fc/%C3%A4 0 \"\" <nil>\nDeputy-End-User: alice",
			map[string]string{"PATH_INFO": "/v1/tasks/a b?c/ä"}},
		{"exactly the body", "{\"a\":1}and more", "POST /v1/actions/m/a 7 \"{\\\"a\\\":1}\" <nil>\nContent-Type: application/json\nDeputy-End-User: alice",
			map[string]string{"REQUEST_METHOD": "POST", "PATH_INFO": "/v1/actions/m/a", "CONTENT_LENGTH": "7", "CONTENT_TYPE": "application/json"}},
		{"no body", "more", "POST /v1/tasks/t/stop 0 \"\" <nil>\nDeputy-End-User: alice",
			map[string]string{"REQUEST_METHOD": "POST", "PATH_INFO": "/v1/tasks/t/stop", "CONTENT_LENGTH": "0", "CONTENT_TYPE": ""}},
		{"what deputy reads", "", "GET /v1/tasks 0 \"\" <nil>\nAccept: text/event-stream\nDeputy-End-User: alice\nIdempotency-Key: k\nLast-Event-Id: 7\nPrefer: wait=1\nRange: bytes=0-1",
			map[string]string{"HTTP_ACCEPT": "text/event-stream", "HTTP_IDEMPOTENCY_KEY": "k", "HTTP_LAST_EVENT_ID": "7", "HTTP_PREFER": "wait=1", "HTTP_RANGE": "bytes=0-1"}},
		{"and nothing else", "", "GET /v1/tasks 0 \"\" <nil>\nDeputy-End-User: alice", map[string]string{
			"HTTP_DEPUTY_END_USER": "root", "HTTP_AUTHORIZATION": "Basic x", "HTTP_COOKIE": "c", "HTTP_VIA": "1.1 p", "HTTP_FORWARDED": "for=1",
			"HTTP_X_FORWARDED_FOR": "1", "HTTP_ORIGIN": "https://panel.example", "HTTP_SEC_FETCH_SITE": "same-origin", "HTTP_CONNECTION": "close",
			"HTTP_PROXY": "http://127.0.0.1:1", "HTTP_TRANSFER_ENCODING": "", "HTTP_UPGRADE": "h2c"}},
		{"its own page", "", "POST /v1/reload 0 \"\" <nil>\nDeputy-End-User: alice",
			map[string]string{"REQUEST_METHOD": "POST", "PATH_INFO": "/v1/reload", "HTTP_SEC_FETCH_SITE": "same-origin", "HTTP_ORIGIN": "null"}},
		{"its own page in an old browser", "", "POST /v1/reload 0 \"\" <nil>\nDeputy-End-User: alice",
			map[string]string{"REQUEST_METHOD": "POST", "PATH_INFO": "/v1/reload", "HTTP_ORIGIN": "https://panel.example"}},
		{"its own page on a port that Host lacks", "", "POST /v1/reload 0 \"\" <nil>\nDeputy-End-User: alice",
			map[string]string{"REQUEST_METHOD": "POST", "PATH_INFO": "/v1/reload", "HTTP_ORIGIN": "https://panel.example:8443", "SERVER_PORT": "8443"}},
		{"another site may read what browsers let it", "", "GET /v1/tasks 0 \"\" <nil>\nDeputy-End-User: alice", map[string]string{"HTTP_SEC_FETCH_SITE": "cross-site"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got = ""
			r := cgi(t, socket, test.body, test.env)
			if got != test.want {
				t.Errorf("deputy got\n%s\nwant\n%s", got, test.want)
			}
			want := "Status: 202 Accepted\r\nContent-Length: 2\r\nContent-Type: application/json\r\nDate: then\r\nLocation: /cgi-bin/deputy/v1/tasks/t1\r\nX-Accel-Buffering: no\r\n\r\n{}"
			if r.out != want || r.err != "" || r.status != 0 {
				t.Errorf("got %q, %s", r.out, r)
			}
		})
	}
	t.Run("anonymous", func(t *testing.T) {
		cgi(t, socket, "", map[string]string{"REMOTE_USER": ""}, "--anonymous")
		if got != "GET /v1/tasks 0 \"\" <nil>" {
			t.Errorf("deputy got %s", got)
		}
	})
}

// sortedHeaders names the headers but those that the transport makes.
func sortedHeaders(h http.Header) []string {
	names := slices.Sorted(maps.Keys(h))
	return slices.DeleteFunc(names, func(name string) bool { return name == "Content-Length" || name == "Connection" })
}

func TestCGIRefuses(t *testing.T) {
	asked := 0
	socket := listen(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	post := func(more map[string]string) map[string]string {
		env := map[string]string{"REQUEST_METHOD": "POST", "PATH_INFO": "/v1/actions/m/a", "CONTENT_LENGTH": "2", "CONTENT_TYPE": "application/json"}
		maps.Copy(env, more)
		return env
	}
	tests := []struct {
		name   string
		env    map[string]string
		status string
		code   string
	}{
		{"nobody", map[string]string{"REMOTE_USER": ""}, "401 Unauthorized", "not_authenticated"},
		{"nobody, and a header", map[string]string{"REMOTE_USER": "", "HTTP_REMOTE_USER": "root", "HTTP_DEPUTY_END_USER": "root"}, "401 Unauthorized", "not_authenticated"},
		{"a user of two lines", map[string]string{"REMOTE_USER": "alice\r\nX: y"}, "400 Bad Request", "bad_request"},
		{"a blank behind a user", map[string]string{"REMOTE_USER": "alice "}, "400 Bad Request", "bad_request"},
		{"a blank before a user", map[string]string{"REMOTE_USER": " alice"}, "400 Bad Request", "bad_request"},
		{"a blank for a user", map[string]string{"REMOTE_USER": " "}, "400 Bad Request", "bad_request"},
		{"a user that is not UTF-8", map[string]string{"REMOTE_USER": "alice\xff"}, "400 Bad Request", "bad_request"},
		{"a blank before a key", post(map[string]string{"HTTP_IDEMPOTENCY_KEY": " k"}), "400 Bad Request", "bad_request"},
		{"a key of two lines", post(map[string]string{"HTTP_IDEMPOTENCY_KEY": "k\r\nX: y"}), "400 Bad Request", "bad_request"},
		{"another site's page", post(map[string]string{"HTTP_SEC_FETCH_SITE": "cross-site"}), "403 Forbidden", "not_allowed"},
		{"a page of a neighbour", post(map[string]string{"HTTP_SEC_FETCH_SITE": "same-site", "HTTP_ORIGIN": "https://panel.example"}), "403 Forbidden", "not_allowed"},
		{"another site's page, in an old browser", post(map[string]string{"HTTP_ORIGIN": "https://evil.example"}), "403 Forbidden", "not_allowed"},
		{"another port", post(map[string]string{"HTTP_ORIGIN": "https://panel.example:8443"}), "403 Forbidden", "not_allowed"},
		{"a page of nowhere", post(map[string]string{"HTTP_ORIGIN": "null"}), "403 Forbidden", "not_allowed"},
		{"any method that is not a read", map[string]string{"REQUEST_METHOD": "DELETE", "HTTP_ORIGIN": "null"}, "403 Forbidden", "not_allowed"},
		{"another path", map[string]string{"PATH_INFO": "/healthz"}, "404 Not Found", "bad_request"},
		{"no path", map[string]string{"PATH_INFO": ""}, "404 Not Found", "bad_request"},
		{"a query that a web server gives as arguments", map[string]string{"QUERY_STRING": "--anonymous"}, "400 Bad Request", "bad_request"},
		{"a query with a space", map[string]string{"QUERY_STRING": "a=b HTTP/1.1"}, "400 Bad Request", "bad_request"},
		{"a query of two lines", map[string]string{"QUERY_STRING": "a=b\r\nX: y"}, "400 Bad Request", "bad_request"},
		{"a method that is none", map[string]string{"REQUEST_METHOD": "GET /x"}, "400 Bad Request", "bad_request"},
		{"a body of unknown length", map[string]string{"REQUEST_METHOD": "POST", "HTTP_TRANSFER_ENCODING": "chunked"}, "411 Length Required", "bad_request"},
		{"no length", post(map[string]string{"CONTENT_LENGTH": "-1"}), "400 Bad Request", "bad_request"},
		{"a body that breaks off", post(map[string]string{"CONTENT_LENGTH": "200"}), "400 Bad Request", "bad_request"},
		{"too long a body", post(map[string]string{"CONTENT_LENGTH": "999999999999"}), "413 Request Entity Too Large", "too_large"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := cgi(t, socket, "{}", test.env)
			head, body, _ := strings.Cut(r.out, "\r\n\r\n")
			if !strings.HasPrefix(head, "Status: "+test.status+"\r\n") || !strings.Contains(head, "Content-Type: application/problem+json") ||
				!strings.Contains(body, `"code":"`+test.code+`"`) || r.status != 0 {
				t.Errorf("got %s", r)
			}
			if (test.status[:3] == "401") != strings.Contains(head, "\r\nWww-Authenticate: ") {
				t.Errorf("got %s", r)
			}
			if asked > 0 {
				t.Error("deputy was asked")
			}
		})
	}
}

func TestCGIWithoutDeputy(t *testing.T) {
	r := cgi(t, filepath.Join(t.TempDir(), "none"), "", nil)
	if !strings.HasPrefix(r.out, "Status: 503 Service Unavailable\r\n") || !strings.Contains(r.out, `"code":"not_durable"`) || strings.Contains(r.out, "none") {
		t.Errorf("got %s", r)
	}
	if !strings.Contains(r.err, "none: connect: no such file") {
		t.Errorf("the web server's log says %s", r.err)
	}
	socket := listen(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	if r := cgi(t, socket, "", nil); !strings.HasPrefix(r.out, "Status: 502 Bad Gateway\r\n") || !strings.Contains(r.out, `"code":"outcome_unknown"`) {
		t.Errorf("got %s", r)
	}
	broken := listen(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		io.WriteString(w, "half")
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	if r := cgi(t, broken, "", nil); r.status != 1 || !strings.HasSuffix(r.out, "\r\n\r\nhalf") || !strings.Contains(r.err, "cannot pass the answer on") {
		t.Errorf("got %s", r)
	}
}

func TestCGIWithoutWebServer(t *testing.T) {
	r := deputyRun(t, "/nowhere", setting{}, "cgi")
	if r.status != 2 || r.out != "" || !strings.Contains(r.err, "for a web server to start") {
		t.Errorf("got %s", r)
	}
}
