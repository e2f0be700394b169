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
func verdicts(text string, n int) (each []string, rest string) {
	h := &heads{}
	for len(text) > 0 {
		piece := text[:min(n, len(text))]
		text = text[len(piece):]
		h.note([]byte(piece))
	}
	return append([]string(nil), h.waiting...), h.broken
}

const headBegin = "POST / HTTP/1.1\r\nHost: x\r\n"

func TestHeads(t *testing.T) {
	for _, test := range []struct {
		name, text string
		each       string // of the heads that are complete, "|" between them
		broken     string
	}{
		{"one", headBegin + "\r\n", "", ""},
		{"half of one", headBegin, "-", ""},
		{"a body that looks like a head", headBegin + "Content-Length: 16\r\n\r\nHost: y\n y\n\r\n\r\n\x00" + headBegin + "\r\n", "|", ""},
		{"three at once", strings.Repeat(headBegin+"\r\n", 3), "||", ""},
		{"chunked: nothing more is read", headBegin + "Transfer-Encoding: chunked\r\n\r\n5\nGET /\n\n", "", ""},
		{"no Host", "GET / HTTP/1.1\r\n\r\n", "it must have one Host", "it must have one Host"},
		{"two Hosts", headBegin + "hOST:y\r\n\r\n", "it must have one Host", "it must have one Host"},
		{"both lengths", headBegin + "Content-Length: 1\r\nTransfer-encoding: x\r\n\r\n", "it has both Content-Length and Transfer-Encoding", "it has both Content-Length and Transfer-Encoding"},
		{"two lengths", headBegin + "Content-Length: 1\r\ncontent-length: 1\r\n\r\n", "it has two Content-Lengths", "it has two Content-Lengths"},
		{"two encodings", headBegin + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "it has two Transfer-Encodings", "it has two Transfer-Encodings"},
		{"the second is bad", headBegin + "\r\n" + headBegin + " folded\r\n\r\n", "", "a line of its head is folded"},
		{"a tab", headBegin + "\tfolded\r\n\r\n", "-", "a line of its head is folded"},
		{"LF alone", headBegin + "X: y\n\r\n", "-", "a line of its head ends in LF alone, not in CR LF"},
		{"LF alone at the end", headBegin + "\n", "-", "a line of its head ends in LF alone, not in CR LF"},
		{"CR", headBegin + "X: a\rb\r\n\r\n", "-", "a line of its head has a CR or a NUL in it"},
		{"NUL", headBegin + "X: a\x00b\r\n\r\n", "-", "a line of its head has a CR or a NUL in it"},
		{"an empty line first", "\r\n" + headBegin + "\r\n", "-", "an empty line stands before it"},
		{"no colon", headBegin + "X\r\n\r\n", "-", "a line of its head is not a header"},
		{"a space before the colon", headBegin + "Content-Length : 5\r\n\r\n", "-", "a line of its head is not a header"},
		{"a length that is none", headBegin + "Content-Length: +5\r\n\r\n", "-", "its Content-Length is not a number"},
		{"two lengths in one", headBegin + "Content-Length: 5, 5\r\n\r\n", "-", "its Content-Length is not a number"},
		{"a line without end", strings.Repeat("a", maxHeader+1), "-", "a line of its head is longer than a head may be"},
	} {
		for _, n := range []int{1, 2, 7, 1 << 20} {
			each, broken := verdicts(test.text, n)
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
		each, broken := verdicts(text, 1<<30)
		again, brokenAgain := verdicts(text, max(1, n))
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
