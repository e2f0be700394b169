//go:build linux

package test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"deputy"
	"deputy/test/rig"
)

// web is a web server that runs deputy cgi for those it has authenticated, on
// loopback.
type web struct {
	t       *testing.T
	dir     string // its files; whom it runs as may write there
	uid     int    // whom it runs as: www-data if root tests
	address string
	url     string // where deputy cgi is, without a slash at the end

	keepsRange bool // it does not pass Range on
}

// wrapper is the file that a web server runs, as `deputy cgi --help` shows it.
const wrapper = "#!/bin/sh\nexec %s cgi --socket %s\n"

// newServer says as whom and where a web server will run.
func newServer(t *testing.T) *web {
	t.Helper()
	w := &web{t: t, uid: os.Geteuid()}
	if w.uid == 0 {
		u, err := user.Lookup("www-data")
		if err != nil {
			t.Fatal(err)
		}
		w.uid, _ = strconv.Atoi(u.Uid)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.address = free.Addr().String()
	free.Close()
	return w
}

// place makes the server's directory.
func (w *web) place(d *rig.Deputy) {
	w.t.Helper()
	w.dir = filepath.Join(d.Work, "web")
	if err := os.Mkdir(w.dir, 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Chown(w.dir, w.uid, -1); err != nil {
		w.t.Fatal(err)
	}
}

// newWeb prepares a deputy whose caller is the web server, which names end
// users: alice may ask for m/work and m/echo, bob for nothing.
func newWeb(t *testing.T) (*web, *rig.Deputy) {
	t.Helper()
	w := newServer(t)
	d := begin(t, `[action.work]
command = ["/bin/sh", "-c", "echo begun; read line <WORK/gate; echo done"]
[action.echo]
command = ["/bin/cat"]
stdin   = "{text}"
params.text = { type = "string", maxLength = 100000 }
max_body    = "256KiB"
`, rig.Files{
		"deputy.toml":       fmt.Sprintf("%s[user.\"uid:%d\"]\nnames_end_user = true\n", wide, w.uid),
		"allow.d/site.toml": fmt.Sprintf("[[allow]]\nactions = [\"m/*\"]\nusers = [\"uid:%d\"]\nend_users = [\"alice\"]\n", w.uid),
	})
	w.place(d)
	w.file("deputy.cgi", fmt.Sprintf(wrapper, filepath.Join(rig.Programs(t), "deputy"), d.Socket), 0o755)
	w.file("users", "alice:{PLAIN}secret\nbob:{PLAIN}secret\n", 0o644) // nginx's form
	return w, d
}

func (w *web) file(name, text string, mode os.FileMode) {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		w.t.Fatal(err)
	}
}

// run starts a server in the foreground as whom it runs as, and ends it with
// the test.
func (w *web) run(name string, args ...string) {
	w.t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + name)
	}
	if err != nil {
		w.t.Fatalf("%s is not installed: test/run installs it", name)
	}
	log, err := os.CreateTemp(w.dir, filepath.Base(name)+"-*.log")
	if err != nil {
		w.t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = w.dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if w.uid != os.Geteuid() {
		id := uint32(w.uid)
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: id, Gid: id}
	}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) // its workers, too
		ended := make(chan struct{})
		go func() { _ = cmd.Wait(); close(ended) }()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-ended
		}
		if w.t.Failed() {
			said, _ := os.ReadFile(log.Name())
			w.t.Logf("%s said:\n%s", name, said)
		}
	})
}

// answering waits until something listens at an address.
func (w *web) answering(network, address string) {
	w.t.Helper()
	rig.Eventually(w.t, 20*time.Second, "somebody listens on "+address, func() bool {
		conn, err := net.Dial(network, address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

// serve starts nginx with one location, in which DIR stands for the directory.
func (w *web) serve(location string) {
	w.file("nginx.conf", strings.NewReplacer("DIR", w.dir, "ADDRESS", w.address).Replace(`daemon off; worker_processes 1; pid DIR/nginx.pid; error_log stderr;
events {}
http {
	access_log off;
	client_body_temp_path DIR/a; proxy_temp_path DIR/b; fastcgi_temp_path DIR/c; uwsgi_temp_path DIR/d; scgi_temp_path DIR/e;
	server {
		listen ADDRESS;
		`+location+`
	}
}
`), 0o644)
	w.run("nginx", "-e", "stderr", "-c", w.dir+"/nginx.conf", "-p", w.dir)
}

func (w *web) nginx() {
	w.run("fcgiwrap", "-f", "-c", "6", "-s", "unix:"+w.dir+"/fcgi.sock")
	w.answering("unix", w.dir+"/fcgi.sock")
	w.serve(`location /deputy/ {
			auth_basic           deputy;
			auth_basic_user_file DIR/users;
			include              /etc/nginx/fastcgi_params;
			fastcgi_split_path_info ^(/deputy)(/.*)$;
			fastcgi_param SCRIPT_NAME     $fastcgi_script_name;
			fastcgi_param PATH_INFO       $fastcgi_path_info;
			fastcgi_param SCRIPT_FILENAME DIR/deputy.cgi;
			fastcgi_param NO_BUFFERING    1;
			fastcgi_pass  unix:DIR/fcgi.sock;
		}`)
	w.url = "http://" + w.address + "/deputy"
}

func (w *web) lighttpd() {
	host, port, _ := net.SplitHostPort(w.address)
	w.file("plain", "alice:secret\nbob:secret\n", 0o644)
	w.file("lighttpd.conf", strings.NewReplacer("DIR", w.dir, "HOST", host, "PORT", port).Replace(`server.modules = ( "mod_alias", "mod_auth", "mod_authn_file", "mod_cgi" )
server.document-root = "DIR"
server.bind = "HOST"
server.port = PORT
server.upload-dirs = ( "DIR" )
alias.url += ( "/deputy" => "DIR/deputy.cgi" )
auth.backend = "plain"
auth.backend.plain.userfile = "DIR/plain"
$HTTP["url"] =~ "^/deputy(/|$)" {
	auth.require = ( "" => ( "method" => "basic", "realm" => "deputy", "require" => "valid-user" ) )
	cgi.assign = ( "" => "" )
	server.stream-response-body = 2
}
`), 0o644)
	w.run("lighttpd", "-D", "-f", w.dir+"/lighttpd.conf")
	w.url = "http://" + w.address + "/deputy"
}

func (w *web) busybox() {
	w.file("httpd.conf", "/cgi-bin:alice:secret\n/cgi-bin:bob:secret\n", 0o644)
	program, err := os.ReadFile(filepath.Join(w.dir, "deputy.cgi"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.file("www/cgi-bin/deputy", string(program), 0o755)
	w.run("busybox", "httpd", "-f", "-p", w.address, "-h", w.dir+"/www", "-c", w.dir+"/httpd.conf")
	w.url, w.keepsRange = "http://"+w.address+"/cgi-bin/deputy", true
}

// send asks as a person whose password is "secret", "" for nobody. The answer's
// body is open.
func (w *web) send(person, method, path, body string, header ...string) *http.Response {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	w.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, method, w.url+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if person != "" {
		req.SetBasicAuth(person, "secret")
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	answer, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	w.t.Cleanup(func() { answer.Body.Close() })
	return answer
}

// ask is send with the whole answer read.
func (w *web) ask(person, method, path, body string, header ...string) rig.Answer {
	w.t.Helper()
	answer := w.send(person, method, path, body, header...)
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		w.t.Fatalf("%s %s: %v after %q", method, path, err, text)
	}
	return rig.Answer{Status: answer.StatusCode, Header: answer.Header, Body: text}
}

func TestCGIUnderWebServers(t *testing.T) {
	for _, server := range []struct {
		name  string
		start func(*web)
	}{{"nginx and fcgiwrap", (*web).nginx}, {"lighttpd", (*web).lighttpd}, {"busybox httpd", (*web).busybox}} {
		t.Run(server.name, func(t *testing.T) {
			w, d := newWeb(t)
			server.start(w)
			w.answering("tcp", w.address)
			g := newGate(t, filepath.Join(d.Work, "gate"))
			for _, part := range []struct {
				name string
				test func(*testing.T, *web, *rig.Deputy, gate)
			}{{"who asks", cgiWhoAsks}, {"other sites", cgiOtherSites}, {"bytes", cgiBytes}, {"streams", cgiStreams}} {
				t.Run(part.name, func(t *testing.T) {
					one := *w
					one.t = t
					part.test(t, &one, d, g)
				})
			}
		})
	}
}

// Whom the web server has authenticated is the end user, whatever a header says.
func cgiWhoAsks(t *testing.T, w *web, d *rig.Deputy, _ gate) {
	if a := w.ask("", "GET", "/v1/actions", ""); a.Status != 401 {
		t.Errorf("nobody is told %d %s", a.Status, a.Body)
	}
	var list struct{ Actions []deputy.ActionInfo }
	w.ask("alice", "GET", "/v1/actions", "").Read(t, 200, &list)
	if len(list.Actions) != 2 {
		t.Errorf("alice may use %+v", list.Actions)
	}
	w.ask("bob", "POST", "/v1/actions/m/echo", `{"text":"x"}`).Refused(t, 403, deputy.NotAllowed)
	w.ask("bob", "POST", "/v1/actions/m/echo", `{"text":"x"}`, "Deputy-End-User", "alice").Refused(t, 403, deputy.NotAllowed)
	a := w.ask("alice", "POST", "/v1/actions/m/echo?wait=20&output=100", `{"text":"hällo <b>"}`,
		"Deputy-End-User", "root", "Remote-User", "root", "X-Forwarded-For", "203.0.113.1", "Via", "1.1 x", "Forwarded", "for=x")
	tasks := a.Tasks(t)
	if a.Status != 200 || tasks[0].Caller != deputy.UIDCaller(uint32(w.uid)) || tasks[0].EndUser == nil || *tasks[0].EndUser != "alice" {
		t.Errorf("got %s", a.Body)
	}
	if !strings.Contains(string(a.Body), `"stdout":"hällo <b>"`) {
		t.Errorf("the task wrote %s", a.Body)
	}
	accepted := d.Events(deputy.Accepted)
	if n := len(accepted); n != 1 || accepted[0].EndUser != "alice" {
		t.Errorf("the journal has %d requests: %+v", n, accepted)
	}
}

// A page of another site changes nothing, also with alice's password.
func cgiOtherSites(t *testing.T, w *web, d *rig.Deputy, _ gate) {
	before := len(d.Events(deputy.Accepted))
	own := "http://" + w.address
	for _, header := range [][]string{
		{"Origin", "https://evil.example"}, {"Origin", "null"}, {"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site", "Origin", own}, {"Origin", "http://127.0.0.1:1"},
	} {
		a := w.ask("alice", "POST", "/v1/actions/m/echo", `{"text":"x"}`, header...)
		e := a.Refused(t, 403, deputy.NotAllowed)
		if !strings.Contains(e.Detail, "another site") || a.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%q: %v %s", header, a.Header, a.Body)
		}
	}
	if after := len(d.Events(deputy.Accepted)); after != before {
		t.Errorf("%d requests were accepted", after-before)
	}
	for _, header := range [][]string{{"Origin", own}, {"Origin", own, "Sec-Fetch-Site", "same-origin"}, {"Sec-Fetch-Site", "none"}} {
		if a := w.ask("alice", "POST", "/v1/actions/m/echo", `{"text":"x"}`, header...); a.Status != 202 {
			t.Errorf("%q: %d %s", header, a.Status, a.Body)
		}
	}
}

// Statuses, headers and bodies come through as they are.
func cgiBytes(t *testing.T, w *web, _ *rig.Deputy, _ gate) {
	long := strings.Repeat("0123456789abcde\n", 6250)[:99_999]
	body := `{"text":"` + strings.ReplaceAll(long, "\n", " ") + `"}`
	a := w.ask("alice", "POST", "/v1/actions/m/echo", body, "Idempotency-Key", "one")
	task := a.Tasks(t)[0]
	location := a.Header.Get("Location")
	if a.Status != 202 || !strings.HasSuffix(location, "/v1/tasks/"+task.ID) {
		t.Errorf("status %d, Location %q", a.Status, location)
	}
	path, ok := strings.CutPrefix(location, strings.TrimPrefix(w.url, "http://"+w.address))
	if !ok {
		t.Fatalf("Location %q leads out of %s", location, w.url)
	}
	again := w.ask("alice", "POST", "/v1/actions/m/echo", body, "Idempotency-Key", "one")
	if again.Header.Get("Idempotency-Replayed") != "true" || again.Tasks(t)[0].ID != task.ID {
		t.Errorf("the Idempotency-Key did not come through: %v %.200s", again.Header, again.Body)
	}
	w.ask("alice", "GET", path+"?wait=30", "").Read(t, 200, &task)
	if task.State != deputy.Succeeded {
		t.Errorf("the task has %s", task.State)
	}
	out := w.ask("alice", "GET", path+"/stdout", "")
	if string(out.Body) != strings.ReplaceAll(long, "\n", " ") || out.Header.Get("Deputy-State") != "succeeded" || out.Header.Get("Deputy-Ended") != "true" || out.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("stdout has %d bytes, headers %v", len(out.Body), out.Header)
	}
	part := w.ask("alice", "GET", path+"/stdout", "", "Range", "bytes=3-5")
	if w.keepsRange {
		if part.Status != 200 {
			t.Errorf("a range is %d", part.Status)
		}
	} else if part.Status != 206 || string(part.Body) != "345" || part.Header.Get("Content-Range") != "bytes 3-5/99999" {
		t.Errorf("a range is %d with %d bytes, %v", part.Status, len(part.Body), part.Header)
	}
	w.ask("alice", "POST", "/v1/actions/m/echo", `{"text":1}`).Refused(t, 422, deputy.BadParam)
	w.ask("alice", "POST", "/v1/actions/m/nothing", "{}").Refused(t, 404, deputy.UnknownAction)
	w.ask("alice", "POST", "/v1/actions/m/work", `{"x":"`+strings.Repeat("x", 70_000)+`"}`).Refused(t, 413, deputy.TooLarge)
	if a := w.ask("alice", "GET", "/v1/tasks?--anonymous", ""); a.Status != 400 {
		t.Errorf("a query without = is %d %s", a.Status, a.Body)
	}
}

// What a task writes is there before it ends, as events and raw.
func cgiStreams(t *testing.T, w *web, d *rig.Deputy, g gate) {
	for _, form := range []struct{ query, accept, first, last string }{
		{"", "text/event-stream", "id: 6", `data: {"end":{"id":`},
		{"?follow=1", "*/*", "begun", "done"},
	} {
		task := w.ask("alice", "POST", "/v1/actions/m/work", "{}").Tasks(t)[0]
		answer := w.send("alice", "GET", "/v1/tasks/"+task.ID+"/stdout"+form.query, "", "Accept", form.accept)
		lines := bufio.NewScanner(answer.Body)
		if !lines.Scan() || lines.Text() != form.first { // the task waits at the gate
			t.Fatalf("%s: first came %q, %v", form.accept, lines.Text(), lines.Err())
		}
		if task := d.Self().Task(task.ID); task.Ended != nil {
			t.Errorf("%s: the task has %s", form.accept, task.State)
		}
		g.open()
		last := ""
		for lines.Scan() {
			if lines.Text() != "" {
				last = lines.Text()
			}
		}
		if err := lines.Err(); err != nil && !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", form.accept, err)
		}
		if !strings.HasPrefix(last, form.last) {
			t.Errorf("%s: last came %q", form.accept, last)
		}
	}
}
