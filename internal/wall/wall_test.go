//go:build linux

package wall

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"deputy"
	"deputy/test/rig"
)

func requests() []Request {
	params := deputy.Params{
		"text": "ä\"", "n": deputy.Number("1e2"), "line": deputy.Text("a, b"), "yes": true, "no": false, "null": nil,
		"list": []any{deputy.Number("1"), []any{}, map[string]any{"a": "b"}},
	}
	return []Request{
		{Kind: Hello, Version: 7},
		{Kind: Follow, From: 1 << 60},
		{Kind: Call, ID: 1, Connection: 2, Module: "m", Action: "a", Key: "k", EndUser: "alice", Params: params},
		{Kind: Call, ID: 1, Connection: 2, Module: "m", Action: "a", Params: deputy.Params{}},
		{Kind: Stop, ID: 3, Connection: 4, Task: "t", GraceMS: -1, Force: true, EndUser: "bob"},
		{Kind: Explain, ID: 5, Connection: 6, Module: "m", Action: "a", As: "uid:1", Params: params},
		{Kind: Actions, ID: 7, Connection: 8},
		{Kind: Actions, ID: 7, Connection: 8, All: true},
		{Kind: Rights, ID: 9, Connection: 10, EndUser: "carol"},
		{Kind: Reload, ID: 11, Connection: 12},
		{Kind: Drain, ID: 11, Connection: 12, On: true},
		{Kind: Upgrade, ID: 11, Connection: 12},
		{Kind: Ping, ID: 12},
		{Kind: Waits, ID: 12, Tasks: []string{"a", "b"}},
		{Kind: Signed, ID: 13, Transport: Legacy, Body: []byte("Module: m\r\n\r\n")},
		{Kind: Signed, ID: 13, Transport: HTTP, Authorization: "Deputy1 …", Method: "POST", Target: "/v1/reload", Key: "k", EndUser: "e", Body: []byte("\xff\x00{}")},
	}
}

func TestRequestsRoundTrip(t *testing.T) {
	for _, want := range requests() {
		frame, err := want.Encode()
		if err != nil {
			t.Fatal(err)
		}
		body, err := readFrame(bytes.NewReader(frame), MaxFrame)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeRequest(body)
		if err != nil {
			t.Fatalf("kind %d: %v", want.Kind, err)
		}
		if diff := cmp.Diff(want, *got); diff != "" {
			t.Errorf("kind %d: %s", want.Kind, diff)
		}
	}
}

// Every shortened message, and every message with a byte too many, is broken:
// the monitor kills the server that sends it.
func TestCutAndLongMessagesAreBroken(t *testing.T) {
	for _, r := range requests() {
		frame, _ := r.Encode()
		body := frame[4:]
		for n := range len(body) {
			if _, err := decodeRequest(body[:n]); !errors.Is(err, ErrBroken) {
				t.Errorf("kind %d cut to %d of %d bytes: %v", r.Kind, n, len(body), err)
			}
		}
		if _, err := decodeRequest(append(body[:len(body):len(body)], 0)); !errors.Is(err, ErrBroken) {
			t.Errorf("kind %d with a byte too many: %v", r.Kind, err)
		}
	}
}

func TestBrokenMessages(t *testing.T) {
	call := func(params ...byte) []byte {
		r := Request{Kind: Call, Params: deputy.Params{}}
		frame, _ := r.Encode()
		return append(frame[4:len(frame)-5], params...)
	}
	nested := bytes.Repeat([]byte{tagList, 1, 0, 0, 0}, 200)
	for _, test := range []struct {
		name  string
		frame []byte
		want  string
	}{
		{"unknown kind", []byte{200}, "unknown kind 200"},
		{"kind of the monitor", []byte{byte(AnswerKind)}, "unknown kind"},
		{"params not an object", call(tagNull), "params that are not an object"},
		{"unknown tag", call(tagObject, 1, 0, 0, 0, 1, 0, 0, 0, 'a', '?'), "unknown tag"},
		{"a list longer than the frame", call(tagObject, 1, 0, 0, 0, 1, 0, 0, 0, 'a', tagList, 255, 255, 255, 255), "a list of 4294967295 items"},
		{"an object larger than the frame", call(tagObject, 255, 255, 255, 255), "an object of 4294967295 members"},
		{"a text longer than the frame", call(tagObject, 1, 0, 0, 0, 1, 0, 0, 0, 'a', tagString, 255, 255, 255, 127), "longer than"},
		{"text that is not UTF-8", call(tagObject, 1, 0, 0, 0, 1, 0, 0, 0, 'a', tagString, 1, 0, 0, 0, 0xff), "not UTF-8"},
		{"the same member twice", call(tagObject, 2, 0, 0, 0, 1, 0, 0, 0, 'a', tagNull, 1, 0, 0, 0, 'a', tagNull), "not in order"},
		{"too deep", call(append([]byte{tagObject, 1, 0, 0, 0, 1, 0, 0, 0, 'a'}, nested...)...), "more than 32 deep"},
	} {
		_, err := decodeRequest(test.frame)
		if !errors.Is(err, ErrBroken) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestFrameLimits(t *testing.T) {
	for _, head := range [][]byte{{0, 0, 0, 0}, {1, 0, 64, 1}, {255, 255, 255, 255}} {
		if _, err := readFrame(bytes.NewReader(head), MaxFrame); !errors.Is(err, ErrBroken) {
			t.Errorf("a frame of length % x: %v", head, err)
		}
	}
}

func FuzzRequest(f *testing.F) {
	for _, r := range requests() {
		frame, _ := r.Encode()
		f.Add(frame[4:])
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		r, err := decodeRequest(frame)
		if err != nil {
			if !errors.Is(err, ErrBroken) {
				t.Fatalf("an error that is not ErrBroken: %v", err)
			}
			return
		}
		again, err := r.Encode()
		if err != nil || !bytes.Equal(again[4:], frame) {
			t.Fatalf("a message with two forms: % x and % x (%v)", frame, again[4:], err)
		}
	})
}

// lines is a journal of numbered lines that grows.
type lines struct {
	mu   sync.Mutex
	all  [][]byte
	next uint64
}

func (l *lines) add(line string) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, []byte(line))
	return uint64(len(l.all))
}

func (l *lines) Next(limit int) ([][]byte, uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fresh := l.all[l.next:min(int(l.next)+limit, len(l.all))]
	l.next += uint64(len(fresh))
	return fresh, l.next + 1, nil
}

type applied struct {
	mu   sync.Mutex
	last uint64
	bad  error
}

func (a *applied) Record(seq uint64, line []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if want := fmt.Sprintf("line %d", seq); seq != a.last+1 || string(line) != want {
		a.bad = fmt.Errorf("record %d is %q after %d", seq, line, a.last)
	}
	a.last = seq
	return nil
}

func (a *applied) Policy(string) {}

func (a *applied) Draining(bool) {}

func connect(t *testing.T) (monitor, server net.Conn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ends := make([]net.Conn, 2)
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "wall")
		if ends[i], err = net.FileConn(f); err != nil {
			t.Fatal(err)
		}
		f.Close()
		t.Cleanup(func() { ends[i].Close() })
	}
	return ends[0], ends[1]
}

// An answer that names a record is given only after that record was applied,
// although answers overtake records on their way.
func TestAnswersWaitForTheirRecords(t *testing.T) {
	monitor, server := connect(t)
	journal := &lines{}
	peer := NewPeer(monitor)
	go func() {
		if _, err := peer.Greet(Greeting{Name: "test"}); err != nil {
			t.Error(err)
			return
		}
		go peer.Write(journal)
		for {
			r, err := peer.Receive()
			if err != nil {
				return
			}
			seq := journal.add(fmt.Sprintf("line %d", len(journal.all)+1))
			peer.Answer(r, seq, Outcome{Tasks: []string{fmt.Sprint(seq)}})
			if rand.IntN(4) > 0 {
				peer.Advanced()
			} else {
				time.AfterFunc(time.Millisecond, peer.Advanced)
			}
		}
	}()
	client, greeting, err := Dial(server)
	if err != nil || greeting.Name != "test" {
		t.Fatal(greeting, err)
	}
	var state applied
	ended := make(chan error, 1)
	go func() { ended <- client.Run(1, &state) }()

	var callers sync.WaitGroup
	for range 16 {
		callers.Go(func() {
			for range 200 {
				o, err := client.Do(context.Background(), Request{Kind: Reload})
				if err != nil {
					t.Error(err)
					return
				}
				state.mu.Lock()
				if fmt.Sprint(state.last) < o.Tasks[0] && len(fmt.Sprint(state.last)) <= len(o.Tasks[0]) {
					t.Errorf("answered with record %s when %d was applied", o.Tasks[0], state.last)
				}
				state.mu.Unlock()
			}
		})
	}
	callers.Wait()
	if state.bad != nil {
		t.Error(state.bad)
	}
	peer.Close()
	monitor.Close()
	<-ended
	if _, err := client.Do(context.Background(), Request{Kind: Reload}); err == nil {
		t.Error("a request without a monitor was answered")
	}
}

// A server that sends and never reads is not read from without end.
func TestServerThatReadsNothing(t *testing.T) {
	monitor, server := connect(t)
	peer := NewPeer(monitor)
	received := make(chan int, 1)
	go func() {
		n := 0
		for {
			r, err := peer.Receive()
			if err != nil {
				received <- n
				return
			}
			n++
			peer.Answer(r, 0, Outcome{})
		}
	}()
	r := Request{Kind: Actions}
	frame, _ := r.Encode()
	server.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
	var err error
	for err == nil {
		_, err = server.Write(frame)
	}
	server.Close()
	peer.Close()
	monitor.Close()
	if n := <-received; n < MaxPending || n > 3*MaxPending {
		t.Errorf("%d requests were taken without an answer read, the limit is %d", n, MaxPending)
	}
}

func TestDoorPassesConnections(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	inside, err := NewDoor(os.NewFile(uintptr(fds[0]), "door"))
	if err != nil {
		t.Fatal(err)
	}
	outside, err := NewDoor(os.NewFile(uintptr(fds[1]), "door"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		want := Connection{Number: uint64(i), UID: 33, Lent: i%4 == 1, Owner: uint32(i), Over: i%2 == 1, Full: i%5 == 1, Line: i%3 == 1}
		if err := inside.Send(want, int(r.Fd())); err != nil {
			t.Fatal(err)
		}
		r.Close()
		got, f, err := outside.Receive()
		if err != nil || got != want {
			t.Fatalf("%+v, %v; want %+v", got, err, want)
		}
		w.Write([]byte{byte(i)})
		var b [1]byte
		if _, err := f.Read(b[:]); err != nil || b[0] != byte(i) {
			t.Fatalf("read % x through a passed descriptor: %v", b, err)
		}
		f.Close()
		w.Close()
	}
	inside.Close()
	if _, _, err := outside.Receive(); err == nil {
		t.Error("a connection came from a closed door")
	}
}

// A million arbitrary messages, half of them valid ones with a few bytes
// changed: each is refused as broken or read as a request of the right shape.
func TestAMillionArbitraryMessages(t *testing.T) {
	var valid [][]byte
	for _, r := range requests() {
		frame, _ := r.Encode()
		valid = append(valid, frame[4:])
	}
	random := rand.New(rand.NewPCG(1, 2))
	read := 0
	for i := range rig.Many(t, 1_000_000) {
		var frame []byte
		if i%2 == 0 {
			frame = make([]byte, random.IntN(64))
		} else {
			frame = bytes.Clone(valid[random.IntN(len(valid))])
		}
		for range 1 + random.IntN(max(1, len(frame)/(1+i%2*20))) {
			if len(frame) > 0 {
				frame[random.IntN(len(frame))] = byte(random.Uint32())
			}
		}
		r, err := decodeRequest(frame)
		switch {
		case err == nil:
			read++
			if again, err := r.Encode(); err != nil || !bytes.Equal(again[4:], frame) {
				t.Fatalf("% x was read as % x (%v)", frame, again, err)
			}
		case !errors.Is(err, ErrBroken):
			t.Fatalf("% x: %v", frame, err)
		}
	}
	if read == 0 {
		t.Error("not one message was well formed: the test does not reach what it is for")
	}
}

// A receiver that has no room for descriptors loses no connection: those that
// are sent meanwhile wait, and come whole and in order.
func TestDoorOfAReceiverWithoutRoom(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	inside, err := NewDoor(os.NewFile(uintptr(fds[0]), "door"))
	if err != nil {
		t.Fatal(err)
	}
	defer inside.Close()
	outside, err := NewDoor(os.NewFile(uintptr(fds[1]), "door"))
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	const sent = 20
	for i := range sent {
		if err := inside.Send(Connection{Number: uint64(i)}, int(w.Fd())); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()

	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	few := limit
	few.Cur = 64
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	var taken []int // every descriptor that this process may have
	for {
		fd, err := unix.Dup(int(r.Fd()))
		if err != nil {
			break
		}
		taken = append(taken, fd)
	}
	came := make(chan Connection, sent)
	go func() {
		for range sent {
			c, f, err := outside.Receive()
			if err != nil {
				break
			}
			f.Close()
			came <- c
		}
		close(came)
	}()
	select {
	case c, ok := <-came:
		t.Errorf("came without room: %+v, %v", c, ok)
	case <-time.After(3 * fullPause):
	}
	for _, fd := range taken {
		unix.Close(fd)
	}
	n := uint64(0)
	for c := range came {
		if c.Number != n {
			t.Errorf("connection %d came in the place of %d", c.Number, n)
		}
		n++
	}
	if n != sent {
		t.Errorf("%d of %d came", n, sent)
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Error("a descriptor is still open")
	}
}
