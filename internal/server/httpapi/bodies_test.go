//go:build linux

package httpapi_test

import (
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// How long a body may be follows from what its own sender may, whatever others
// have been told.
func TestTheLongestBodyIsThatOfItsSender(t *testing.T) {
	r := start(t)
	body := `{"print":"` + strings.Repeat("x", 100<<10) + `"}`
	if a := r.do(panel, "POST", "/v1/actions/demo/big", body); a.StatusCode != 202 {
		t.Fatalf("%d %.300s", a.StatusCode, a.body)
	}
	for _, target := range []string{"/v1/actions/demo/big", "/v1/explain/demo/big"} {
		if a := r.do(stranger, "POST", target, body); a.StatusCode != 413 || !strings.Contains(a.body, "longer than 65536 bytes") {
			t.Errorf("POST %s of one who may call nothing: %d %.300s", target, a.StatusCode, a.body)
		}
	}
}

// Of one sender so many long bodies are under way, whose others wait, and are told to
// come back after a while: others do not notice.
func TestTheRoomForBodies(t *testing.T) {
	r := start(t)
	var over atomic.Bool
	var slow sync.WaitGroup
	half := "POST /v1/explain/demo/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 65535\r\n\r\n" + strings.Repeat("x", 60<<10)
	for range 32 { // each sends half of a body, and comes again when it is put out
		slow.Go(func() {
			for !over.Load() {
				conn := r.Dial(stranger)
				_, _ = io.WriteString(conn, half)
				_ = conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
				for !over.Load() {
					if _, err := conn.Read(make([]byte, 4096)); !errors.Is(err, os.ErrDeadlineExceeded) {
						break
					}
					_ = conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
				}
				conn.Close()
			}
		})
	}
	defer slow.Wait()
	defer over.Store(true)
	body := `{"print":"` + strings.Repeat("x", 60<<10) + `"}`
	var refused answer
	r.until("the room of this sender is used up", func() bool {
		refused = r.do(stranger, "POST", "/v1/explain/demo/echo", body)
		return refused.StatusCode == 429
	})
	if refused.Header.Get("Retry-After") == "" || !strings.Contains(refused.body, `"code":"rate_limited"`) {
		t.Errorf("%v %s", refused.Header, refused.body)
	}
	if a := r.do(panel, "POST", "/v1/actions/demo/big", body); a.StatusCode != 202 {
		t.Errorf("another sender: %d %.300s", a.StatusCode, a.body)
	}
	if a := r.do(stranger, "POST", "/v1/explain/demo/echo", `{"print":"x"}`); a.StatusCode == 429 {
		t.Errorf("a short body of the same sender: %d %.300s", a.StatusCode, a.body)
	}
	over.Store(true)
	slow.Wait()
	if a := r.do(stranger, "POST", "/v1/explain/demo/echo", body); a.StatusCode == 429 {
		t.Errorf("afterwards: %d %.300s", a.StatusCode, a.body)
	}
}
