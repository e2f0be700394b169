package client_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"deputy/client"
)

// growing is a task's output that a handler serves as the daemon does.
type growing struct {
	mu    sync.Mutex
	cond  *sync.Cond
	text  []byte
	gap   [2]int
	ended bool
	chunk int // most bytes in one answer
}

func newGrowing() *growing {
	g := &growing{chunk: 1 << 20}
	g.cond = sync.NewCond(&g.mu)
	return g
}

func (g *growing) add(text string, ended bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.text, g.ended = append(g.text, text...), ended
	g.cond.Broadcast()
}

// ServeHTTP holds the answer until there is something to tell.
func (g *growing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	offset, _ := strconv.Atoi(r.URL.Query().Get("offset"))
	g.mu.Lock()
	defer g.mu.Unlock()
	if r.URL.Query().Get("wait") != "0" {
		for offset >= len(g.text) && !g.ended {
			g.cond.Wait()
		}
	}
	from, next := offset, min(offset+g.chunk, len(g.text))
	if g.gap[1] > 0 && offset < g.gap[1] && next > g.gap[0] {
		w.Header().Set("Deputy-Gap", fmt.Sprintf("%d-%d", g.gap[0], g.gap[1]-1))
		if offset >= g.gap[0] {
			from = g.gap[1]
			next = min(from+g.chunk, len(g.text))
		} else {
			next = g.gap[0]
		}
	}
	w.Header().Set("Deputy-Ended", strconv.FormatBool(g.ended))
	w.Header().Set("Deputy-Next-Offset", strconv.Itoa(next))
	w.Write(g.text[from:next])
}

// sink marks gaps in what it takes.
type sink struct{ bytes.Buffer }

func (s *sink) Gap(from, to int64) error {
	fmt.Fprintf(s, "<%d-%d>", from, to)
	return nil
}

func (s *sink) Rewritten(int64) error {
	s.WriteString("<cut>")
	return nil
}

// The task cuts its file to nothing and writes anew.
func TestFollowOfAFileThatIsCut(t *testing.T) {
	answers := []struct {
		asked, next int
		body, ended string
	}{{0, 5, "first", "false"}, {5, 0, "", "false"}, {0, 3, "new", "false"}, {3, 3, "", "true"}}
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if len(answers) == 0 || r.URL.Query().Get("offset") != strconv.Itoa(answers[0].asked) {
			t.Errorf("asked for %s", r.URL.RawQuery)
			return
		}
		a := answers[0]
		answers = answers[1:]
		w.Header().Set("Deputy-Next-Offset", strconv.Itoa(a.next))
		w.Header().Set("Deputy-Ended", a.ended)
		io.WriteString(w, a.body)
	})
	var got sink
	if next, err := c.Follow(t.Context(), "t1", client.Stdout, 0, &got); err != nil || next != 3 || got.String() != "first<cut>new" {
		t.Errorf("got %q, next %d, %v", got.String(), next, err)
	}
}

func TestFollow(t *testing.T) {
	tests := []struct {
		name   string
		gap    [2]int
		chunk  int
		offset int64
		want   string
	}{
		{"whole", [2]int{}, 100, 0, "0123456789"},
		{"in pieces", [2]int{}, 3, 0, "0123456789"},
		{"from an offset", [2]int{}, 3, 4, "456789"},
		{"gap", [2]int{2, 7}, 100, 0, "01<2-7>789"},
		{"gap at the offset", [2]int{2, 7}, 100, 2, "<2-7>789"},
		{"inside the gap", [2]int{2, 7}, 100, 5, "<5-7>789"},
		{"behind the gap", [2]int{2, 7}, 100, 8, "89"},
		{"gap at the start", [2]int{0, 3}, 2, 0, "<0-3>3456789"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := newGrowing()
			g.gap, g.chunk = test.gap, test.chunk
			g.add("0123456789", true)
			c := serve(t, g.ServeHTTP)
			var got sink
			next, err := c.Follow(t.Context(), "t1", client.Stdout, test.offset, &got)
			if err != nil || next != 10 || got.String() != test.want {
				t.Errorf("got %q, next %d, %v; want %q", got.String(), next, err, test.want)
			}
		})
	}
}

// A gap may also be told around bytes of both its sides in one answer.
func TestGapInsideOneAnswer(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Deputy-Next-Offset", "10")
		w.Header().Set("Deputy-Ended", "true")
		if r.URL.Query().Get("offset") == "0" {
			w.Header().Set("Deputy-Gap", "2-6")
			io.WriteString(w, "01789")
		}
	})
	var got sink
	if _, err := c.Follow(t.Context(), "t1", client.Stdout, 0, &got); err != nil || got.String() != "01<2-7>789" {
		t.Errorf("got %q %v", got.String(), err)
	}
}

func TestReadDoesNotWait(t *testing.T) {
	g := newGrowing()
	g.add("so far", false)
	c := serve(t, g.ServeHTTP)
	var got sink
	if next, err := c.Read(t.Context(), "t1", client.Stderr, 0, &got); err != nil || next != 6 || got.String() != "so far" {
		t.Errorf("got %q, next %d, %v", got.String(), next, err)
	}
}

// The server dies while it sends, its socket vanishes, and a new one comes.
func TestFollowResumesAtItsByte(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "d.sock")
	g := newGrowing()
	g.add(strings.Repeat("0123456789", 1000), false)
	cut := make(chan struct{})
	first := listen(t, socket, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Deputy-Next-Offset", "10000")
		w.Header().Set("Content-Length", "10000")
		w.Header().Set("Deputy-Ended", "false")
		w.Write(g.text[:4321])
		http.NewResponseController(w).Flush()
		close(cut)
		abort()
	}))
	go func() {
		<-cut
		first.Close()
		listen(t, socket, g)
		g.add("end", true)
	}()
	c := client.New(socket)
	var got sink
	next, err := c.Follow(t.Context(), "t1", client.Stdout, 0, &got)
	if err != nil || next != 10003 || got.String() != strings.Repeat("0123456789", 1000)+"end" {
		t.Errorf("got %d bytes, next %d, %v", got.Len(), next, err)
	}
}

func TestPatienceEnds(t *testing.T) {
	c := serve(t, func(http.ResponseWriter, *http.Request) { abort() })
	c.Patience = 50 * time.Millisecond
	var lost *client.LostError
	if _, err := c.Follow(t.Context(), "t1", client.Stdout, 0, io.Discard); !errors.As(err, &lost) {
		t.Errorf("got %v", err)
	}
}

// Patience is for one loss. A connection that was answered in between, if with
// nothing new, and is lost again is made again, however long ago the first loss was.
func TestPatienceBeginsAnew(t *testing.T) {
	const patience = 50 * time.Millisecond
	var asked atomic.Int32
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		n := asked.Add(1)
		if n%2 == 1 && n < 6 { // it breaks off behind its head
			w.Header().Set("Deputy-Next-Offset", "1")
			w.Header().Set("Deputy-Ended", "false")
			w.Header().Set("Content-Length", "1")
			w.WriteHeader(http.StatusOK)
			http.NewResponseController(w).Flush()
			abort()
		}
		time.Sleep(2 * patience) // the answer was held; by now the first loss is too long ago
		w.Header().Set("Deputy-Next-Offset", "0")
		w.Header().Set("Deputy-Ended", strconv.FormatBool(n >= 6))
	})
	c.Patience = patience
	if _, err := c.Follow(t.Context(), "t1", client.Stdout, 0, io.Discard); err != nil {
		t.Error(err)
	}

	asked.Store(0)
	enough := errors.New("enough")
	c = serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == 4 {
			io.WriteString(w, "id: 5\ndata: {\"seq\":5,\"type\":\"ended\"}\n\n")
			return
		}
		io.WriteString(w, ": hello\n\n")
		http.NewResponseController(w).Flush()
		time.Sleep(2 * patience)
	})
	c.Patience = patience
	if err := c.Events(t.Context(), nil, func(client.Event) error { return enough }); !errors.Is(err, enough) {
		t.Error(err)
	}
}

// A read that stays without an answer is given up once it is known that none will come.
func TestStalled(t *testing.T) {
	held := make(chan struct{})
	c := serve(t, func(http.ResponseWriter, *http.Request) { <-held })
	t.Cleanup(func() { close(held) }) // before the server ends, which waits for it
	asked := 0
	down := errors.New("its service has failed")
	c.Stalled = func(socket string) error {
		if asked++; asked < 2 || socket == "" {
			return nil // it may still come up
		}
		return down
	}
	if _, err := c.Tasks(t.Context(), client.Query{}); !errors.Is(err, down) || asked != 2 {
		t.Errorf("got %v, asked %d times", err, asked)
	}
}

// What the writer fails with is not taken for a lost connection.
func TestWriterFails(t *testing.T) {
	g := newGrowing()
	g.add("text", true)
	c := serve(t, g.ServeHTTP)
	full := errors.New("disk full")
	if _, err := c.Follow(t.Context(), "t1", client.Stdout, 0, failing{full}); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestEventsReconnect(t *testing.T) {
	var asked atomic.Int32
	var last []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		last = append(last, r.Header.Get("Last-Event-ID"))
		io.WriteString(w, ": hello\n\n")
		switch asked.Add(1) {
		case 1:
			io.WriteString(w, "id: 4\ndata: {\"seq\":4,\"type\":\"accepted\"}\n\nid: 5\ndata: {\"seq\":5,\n") // cut off
		case 2:
			io.WriteString(w, "id: 5\r\nevent: message\r\ndata: {\"seq\":5,\r\ndata: \"type\":\"ended\"}\r\n\r\n")
		default:
			t.Error("asked too often")
		}
	})
	three := uint64(3)
	enough := errors.New("enough")
	var got []string
	err := c.Events(t.Context(), &three, func(e client.Event) error {
		got = append(got, fmt.Sprint(e.Seq, e.Type))
		if e.Seq == 5 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || strings.Join(got, " ") != "4accepted 5ended" {
		t.Errorf("got %v %v", got, err)
	}
	if strings.Join(last, " ") != "3 4" {
		t.Errorf("Last-Event-ID %v", last)
	}
}
