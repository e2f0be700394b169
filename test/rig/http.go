//go:build linux

package rig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"deputy"
)

// Caller asks a deputy over HTTP as one user, and shows the answers as they came.
type Caller struct {
	t    testing.TB
	http *http.Client
}

// Answer is an HTTP answer, whole.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// As asks as a user, with the user's id as the only group and those that are
// named. Only root can ask as another.
func (d *Deputy) As(uid int, groups ...uint32) *Caller {
	transport := &http.Transport{
		MaxIdleConnsPerHost: 512, DisableCompression: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return DialAs(d.Socket, uid, groups...) },
	}
	d.t.Cleanup(transport.CloseIdleConnections)
	return &Caller{t: d.t, http: &http.Client{Transport: transport, Timeout: 2 * time.Minute}}
}

// Over asks over one connection that is there already.
func (d *Deputy) Over(conn net.Conn) *Caller {
	transport := &http.Transport{
		MaxConnsPerHost: 1, DisableCompression: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			if conn == nil {
				return nil, errors.New("the connection was closed")
			}
			once := conn
			conn = nil
			return once, nil
		},
	}
	d.t.Cleanup(transport.CloseIdleConnections)
	return &Caller{t: d.t, http: &http.Client{Transport: transport, Timeout: 2 * time.Minute}}
}

// Self asks as the user of the test.
func (d *Deputy) Self() *Caller { return d.As(os.Geteuid()) }

// Close closes its idle connections.
func (c *Caller) Close() { c.http.CloseIdleConnections() }

// Try sends a request; header is name, value, name, value, …
func (c *Caller) Try(method, path, body string, header ...string) (Answer, error) {
	request, err := http.NewRequest(method, "http://deputy"+path, strings.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return Answer{}, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return Answer{answer.StatusCode, answer.Header, text}, err
}

// Open gets what is to be read as it comes, in the form of accept.
func (c *Caller) Open(path, accept string) io.ReadCloser {
	c.t.Helper()
	if accept == "" {
		return c.Stream(path)
	}
	return c.Stream(path, "Accept", accept)
}

// Stream gets what is to be read as it comes; header is name, value, name, value, …
func (c *Caller) Stream(path string, header ...string) io.ReadCloser {
	c.t.Helper()
	request, err := http.NewRequest("GET", "http://deputy"+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	patient := *c.http
	patient.Timeout = 0
	answer, err := patient.Do(request)
	if err != nil {
		c.t.Fatalf("GET %s: %v", path, err)
	}
	if answer.StatusCode != 200 {
		text, _ := io.ReadAll(answer.Body)
		c.t.Fatalf("GET %s: status %d: %s", path, answer.StatusCode, text)
	}
	return answer.Body
}

// Do is Try of what must be answered.
func (c *Caller) Do(method, path, body string, header ...string) Answer {
	c.t.Helper()
	a, err := c.Try(method, path, body, header...)
	if err != nil {
		c.t.Errorf("%s %s: %v", method, path, err)
	}
	return a
}

// Call asks for an action, "module/action".
func (c *Caller) Call(action, params string, header ...string) Answer {
	c.t.Helper()
	return c.Do("POST", "/v1/actions/"+action, params, header...)
}

// Started asks for an action that gives one task.
func (c *Caller) Started(action, params string, header ...string) deputy.Task {
	c.t.Helper()
	tasks := c.Call(action, params, header...).Tasks(c.t)
	if len(tasks) != 1 {
		c.t.Fatalf("%s %s gave %d tasks", action, params, len(tasks))
	}
	return tasks[0]
}

// Task gives a task as it stands.
func (c *Caller) Task(id string) deputy.Task {
	c.t.Helper()
	var task deputy.Task
	c.Do("GET", "/v1/tasks/"+id, "").Read(c.t, 200, &task)
	return task
}

// Ended gives a task once it has ended.
func (c *Caller) Ended(id string) deputy.Task {
	c.t.Helper()
	var task deputy.Task
	for range 6 {
		c.Do("GET", "/v1/tasks/"+id+"?wait=10", "").Read(c.t, 200, &task)
		if task.Ended != nil {
			return task
		}
	}
	c.t.Fatalf("task %s has not ended within a minute: it is %s", id, task.State)
	return task
}

// Stop stops a task; body may name a grace.
func (c *Caller) Stop(id, body string) deputy.Task {
	c.t.Helper()
	var task deputy.Task
	c.Do("POST", "/v1/tasks/"+id+"/stop", body).Read(c.t, 200, &task)
	return task
}

// Stdout gives what a task wrote, as far as it exists.
func (c *Caller) Stdout(id string) string {
	c.t.Helper()
	return string(c.Do("GET", "/v1/tasks/"+id+"/stdout", "").Body)
}

// Read reads the answer's JSON, if it has the expected status.
func (a Answer) Read(t testing.TB, status int, into any) {
	t.Helper()
	if a.Status != status {
		t.Fatalf("status %d, want %d: %s", a.Status, status, a.Body)
	}
	if err := json.Unmarshal(a.Body, into); err != nil {
		t.Fatalf("%v in %s", err, a.Body)
	}
}

// Tasks reads the answer to a call.
func (a Answer) Tasks(t testing.TB) []deputy.Task {
	t.Helper()
	if a.Status != 200 && a.Status != 202 {
		t.Fatalf("status %d: %s", a.Status, a.Body)
	}
	var list struct{ Tasks []deputy.Task }
	a.Read(t, a.Status, &list)
	return list.Tasks
}

// Refused reads a refusal, if it has the expected status and code.
func (a Answer) Refused(t testing.TB, status int, code deputy.Code) deputy.Error {
	t.Helper()
	var e deputy.Error
	a.Read(t, status, &e)
	if e.Code != code {
		t.Fatalf("code %q, want %q: %s", e.Code, code, a.Body)
	}
	return e
}

// DialAs connects as another user. The kernel takes the credentials of the one
// thread that connects; that thread is never used again.
func DialAs(socket string, uid int, groups ...uint32) (net.Conn, error) {
	if uid == os.Geteuid() && len(groups) == 0 {
		return net.Dial("unix", socket)
	}
	type result struct {
		fd  int
		err error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with this goroutine
		fd, err := connectAs(socket, uid, groups)
		done <- result{fd, err}
	}()
	r := <-done
	if r.err != nil {
		return nil, fmt.Errorf("cannot connect as uid %d: %w", uid, r.err)
	}
	file := os.NewFile(uintptr(r.fd), socket)
	defer file.Close()
	return net.FileConn(file)
}

func connectAs(socket string, uid int, groups []uint32) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	list := append([]uint32{uint32(uid)}, groups...)
	id := uintptr(uid)
	// Raw, for the package's own change all threads.
	for _, call := range [][4]uintptr{
		{unix.SYS_SETGROUPS, uintptr(len(list)), uintptr(unsafe.Pointer(&list[0])), 0},
		{unix.SYS_SETRESGID, id, id, id},
		{unix.SYS_SETRESUID, id, id, id},
	} {
		if _, _, errno := unix.RawSyscall(call[0], call[1], call[2], call[3]); errno != 0 {
			unix.Close(fd)
			return -1, errno
		}
	}
	runtime.KeepAlive(list)
	for {
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: socket})
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}
