//go:build linux

package httpapi_test

import (
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
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

// Bodies under way have so much room, and those of one sender a part of it: who
// sends more is told to come back, and others do not notice.
func TestTheRoomForBodies(t *testing.T) {
	r := start(t)
	const each = 2 << 20 / (64 << 10) // so many bodies of the default size
	var slow []net.Conn
	for range each {
		conn := r.Dial(stranger)
		t.Cleanup(func() { conn.Close() })
		length := 64<<10 - 1 // as the server reads them, with room for a byte too many
		send(t, conn, "POST /v1/explain/demo/echo HTTP/1.1\r\nHost: x\r\nContent-Length: "+strconv.Itoa(length)+"\r\n\r\n"+strings.Repeat("x", length-1))
		slow = append(slow, conn)
	}
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
	for _, conn := range slow[1:] {
		conn.Close()
	}
	r.until("there is room again", func() bool { return r.do(stranger, "POST", "/v1/explain/demo/echo", body).StatusCode != 429 })
	_, _ = io.WriteString(slow[0], "x") // and the slow ones are answered
	if n, err := slow[0].Read(make([]byte, 4096)); err != nil || n == 0 {
		t.Errorf("a body that came late: %v", err)
	}
}
