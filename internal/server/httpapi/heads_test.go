//go:build linux

package httpapi

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
)

// verdicts gives what heads says of each request of a text that comes in pieces
// of n bytes.
func verdicts(h *heads, text string, n int) (each []string, rest string) {
	for len(text) > 0 {
		piece := text[:min(n, len(text))]
		text = text[len(piece):]
		h.note([]byte(piece))
	}
	for _, v := range h.waiting {
		each = append(each, v.framing+v.value)
	}
	return each, h.broken
}

const headBegin = "POST / HTTP/1.1\r\nHost: x\r\n"

func TestHeads(t *testing.T) {
	for _, test := range []struct {
		name, text string
		each       string // of the heads that are complete, "|" between them
		broken     string
		local      bool // on a Unix socket
	}{
		{"one", headBegin + "\r\n", "", "", false},
		{"half of one", headBegin, "-", "", false},
		{"a body that looks like a head", headBegin + "Content-Length: 16\r\n\r\nHost: y\n y\n\r\n\r\n\x00" + headBegin + "\r\n", "|", "", false},
		{"three at once", strings.Repeat(headBegin+"\r\n", 3), "||", "", false},
		{"chunked: nothing more is read", headBegin + "Transfer-Encoding: chunked\r\n\r\n5\nGET /\n\n", "", "", false},
		{"no Host", "GET / HTTP/1.1\r\n\r\n", "it must have one Host", "it must have one Host", false},
		{"two Hosts", headBegin + "hOST:y\r\n\r\n", "it must have one Host", "it must have one Host", false},
		{"both lengths", headBegin + "Content-Length: 1\r\nTransfer-encoding: x\r\n\r\n", "it has both Content-Length and Transfer-Encoding", "it has both Content-Length and Transfer-Encoding", false},
		{"two lengths", headBegin + "Content-Length: 1\r\ncontent-length: 1\r\n\r\n", "it has two Content-Lengths", "it has two Content-Lengths", false},
		{"two encodings", headBegin + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "it has two Transfer-Encodings", "it has two Transfer-Encodings", false},
		{"the second is bad", headBegin + "\r\n" + headBegin + " folded\r\n\r\n", "", "a line of its head is folded", false},
		{"a tab", headBegin + "\tfolded\r\n\r\n", "-", "a line of its head is folded", false},
		{"LF alone", headBegin + "X: y\n\r\n", "-", "a line of its head ends in LF alone, not in CR LF", false},
		{"LF alone at the end", headBegin + "\n", "-", "a line of its head ends in LF alone, not in CR LF", false},
		{"CR", headBegin + "X: a\rb\r\n\r\n", "-", "a line of its head has a CR or a NUL in it", false},
		{"NUL", headBegin + "X: a\x00b\r\n\r\n", "-", "a line of its head has a CR or a NUL in it", false},
		{"an empty line first", "\r\n" + headBegin + "\r\n", "-", "an empty line stands before it", false},
		{"no colon", headBegin + "X\r\n\r\n", "-", "a line of its head is not a header", false},
		{"a space before the colon", headBegin + "Content-Length : 5\r\n\r\n", "-", "a line of its head is not a header", false},
		{"a length that is none", headBegin + "Content-Length: +5\r\n\r\n", "-", "its Content-Length is not a number", false},
		{"two lengths in one", headBegin + "Content-Length: 5, 5\r\n\r\n", "-", "its Content-Length is not a number", false},
		{"a line without end", strings.Repeat("a", maxHeader+1), "-", "a line of its head is longer than a head may be", false},
		{"a name", headBegin + "Deputy-End-User: alice\r\nidempotency-KEY:k\r\n\r\n", "", "", false},
		{"a blank in a name", headBegin + "Deputy-End-User: alice b\r\n\r\n", "", "", false},
		{"a blank before a name", headBegin + "deputy-end-user:  alice\r\n\r\n" + headBegin + "\r\n", "Deputy-End-User|", "", false},
		{"a blank behind a name", headBegin + "Deputy-End-User: alice \r\n\r\n", "Deputy-End-User", "", false},
		{"a tab behind a name", headBegin + "Deputy-End-User:alice\t\r\n\r\n", "Deputy-End-User", "", false},
		{"a blank alone", headBegin + "Deputy-End-User:  \r\n\r\n", "Deputy-End-User", "", false},
		{"no name", headBegin + "Deputy-End-User: \r\n\r\n", "", "", false},
		{"a blank before a key", headBegin + "Idempotency-Key: \tk\r\n\r\n", "Idempotency-Key", "", false},
		{"blanks around others", headBegin + "Accept:   */*   \r\n\r\n", "", "", false},
		{"local: LF alone, no Host", "POST / HTTP/1.1\nX: y\n\n", "", "", true},
		{"local: a blank behind a name", "POST / HTTP/1.1\nDeputy-End-User: alice \n\n", "Deputy-End-User", "", true},
		{"local: folded", "POST / HTTP/1.1\nX: y\n z\n\n", "-", "a line of its head is folded", true},
		{"local: CR", "POST / HTTP/1.1\nX: y\rz\n\n", "-", "a line of its head has a CR or a NUL in it", true},
		{"local: both lengths", "POST / HTTP/1.1\nContent-Length: 1\nTransfer-encoding: x\n\n", "it has both Content-Length and Transfer-Encoding", "it has both Content-Length and Transfer-Encoding", true},
		{"local: a length behind a chunked body", "POST / HTTP/1.1\nTransfer-encoding: chunked\n\n0\r\n\r\nPOST / HTTP/1.1\nContent-Length: 1\n\n", "", "", true},
		{"local: a length in a body", "POST / HTTP/1.1\nContent-Length: 20\n\n\ncontent-length: 1\n\nGET / HTTP/1.1\n\n", "|", "", true},
	} {
		for _, n := range []int{1, 2, 7, 1 << 20} {
			each, broken := verdicts(&heads{local: test.local}, test.text, n)
			got := strings.Join(each, "|")
			if len(each) == 0 {
				got = "-"
			}
			if got != test.each || broken != test.broken {
				t.Errorf("%s, %d bytes at a time: %q, broken %q; want %q, %q", test.name, n, got, broken, test.each, test.broken)
			}
		}
	}
}

// What heads lets pass, net/http reads as the same requests: it ends each head
// and each body at the same byte.
func FuzzHeads(f *testing.F) {
	f.Add(headBegin+"Content-Length: 3\r\n\r\nabc"+headBegin+"\r\n", 3)
	f.Add(headBegin+"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 1)
	f.Add("GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n", 5)
	f.Add("GET / HTTP/1.1\nHost: x\n folded\n\n", 100)
	f.Fuzz(func(t *testing.T, text string, n int) {
		each, broken := verdicts(&heads{}, text, 1<<30)
		again, brokenAgain := verdicts(&heads{}, text, max(1, n))
		if strings.Join(each, "|") != strings.Join(again, "|") || broken != brokenAgain {
			t.Fatalf("whole: %q %q, in pieces: %q %q", each, broken, again, brokenAgain)
		}
		in := bufio.NewReader(strings.NewReader(text))
		for i, problem := range each {
			r, err := http.ReadRequest(in)
			if err != nil {
				return // it refuses more
			}
			if problem != "" {
				return
			}
			if len(r.TransferEncoding) > 0 {
				if i != len(each)-1 {
					t.Fatalf("a head was read behind a chunked body: %q", each)
				}
				return
			}
			length, _ := io.Copy(io.Discard, r.Body)
			if length != max(0, r.ContentLength) {
				return // it is cut short
			}
		}
	})
}
