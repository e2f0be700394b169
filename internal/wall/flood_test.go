//go:build linux

package wall

import (
	"strings"
	"sync"
	"testing"
	"time"

	"deputy"
)

// What a server asks for beside what is not answered yet waits in the stream,
// once it is so many bytes: it goes on as answers are written, and nobody is
// killed for it.
func TestRequestsWaitForRoom(t *testing.T) {
	monitor, server := connect(t)
	peer := NewPeer(monitor)
	writing := make(chan error, 1)
	go func() { writing <- peer.Write(&lines{}) }()
	go func() { // a server that reads
		buf := make([]byte, 64<<10)
		for {
			if _, err := server.Read(buf); err != nil {
				return
			}
		}
	}()
	const requests = 20
	r := Request{Kind: Explain, Params: deputy.Params{"x": strings.Repeat("x", 8<<20)}}
	frame, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for range requests {
			if _, err := server.Write(frame); err != nil {
				return
			}
		}
	}()

	var mu sync.Mutex
	held := 0
	unanswered := make(chan *Request, requests)
	go func() {
		defer close(unanswered)
		for range requests {
			r, err := peer.Receive()
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			if held += r.Size; held > MaxHeld {
				t.Errorf("%d bytes are held, of at most %d", held, MaxHeld)
			}
			mu.Unlock()
			unanswered <- r
		}
	}()
	var waiting []*Request
	answer := func() {
		mu.Lock()
		held -= waiting[0].Size
		mu.Unlock()
		peer.Answer(waiting[0], 0, Outcome{})
		waiting = waiting[1:]
	}
	for range requests {
		select {
		case r := <-unanswered:
			if waiting = append(waiting, r); (len(waiting)+1)*r.Size > MaxHeld {
				answer() // nothing more comes before this is written
			}
		case <-time.After(30 * time.Second):
			t.Fatal("nothing more is taken, although there is room")
		}
	}
	peer.Close()
	if err := <-writing; err != nil {
		t.Error(err)
	}
}

// A server that reads no answers has none made for it from some point on.
func TestAnswersWaitForTheirReader(t *testing.T) {
	peer := NewPeer(nil)
	for range 3 {
		peer.Answer(&Request{ID: 1}, 0, Outcome{Digest: strings.Repeat("x", 3<<20)})
	}
	free := make(chan bool)
	go func() { peer.AwaitRoom(); close(free) }()
	select {
	case <-free:
		t.Error("more is made for a server that reads nothing")
	case <-time.After(50 * time.Millisecond):
	}
	peer.Close() // it is gone
	<-free
}

// An answer beyond the largest size is replaced by a refusal.
func TestAnAnswerHasALargestSize(t *testing.T) {
	peer := NewPeer(nil)
	peer.Answer(&Request{ID: 1}, 0, Outcome{Digest: strings.Repeat("x", MaxAnswer)})
	if len(peer.queue) != 1 || len(peer.queue[0]) > 1024 || !strings.Contains(string(peer.queue[0]), "too_large") {
		t.Errorf("%d bytes are queued", peer.unsent)
	}
}
