//go:build linux

package rig

import (
	"bytes"
	"io"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Dialogue is one conversation of a dialogue file:
//
//	== what it shows
//	@ tcp                  where: a name that the test knows
//	C: a line that the client sends, with LF
//	C> the same with CR LF
//	C"text\x00 in Go's quotes, sent as it is"
//	C! eof                 the client sends no more
//	S: a line of the answer, without its end
//
// In what is sent, {x*9000} is x so many times, and {NAME …} is what the test
// makes of it. In the answer {id} is any UUID, {nonce} any hex, {*} anything.
type Dialogue struct {
	Name, Where string
	Line        int // of the file
	Send        []byte
	EOF         bool
	Want        []string
}

// Dialogues reads a file of them.
func Dialogues(t testing.TB, path string) []Dialogue {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []Dialogue
	where := ""
	for i, line := range strings.Split(string(text), "\n") {
		d := &Dialogue{}
		if len(all) > 0 {
			d = &all[len(all)-1]
		}
		kind, rest := "", ""
		if len(line) > 1 {
			kind, rest = line[:2], strings.TrimPrefix(line[2:], " ")
		}
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case kind == "==":
			all = append(all, Dialogue{Name: rest, Where: where, Line: i + 1})
		case strings.HasPrefix(line, "@ "):
			where = strings.TrimPrefix(line, "@ ")
			d.Where = where
		case kind == "C:":
			d.Send = append(d.Send, repeat(rest)+"\n"...)
		case kind == "C>":
			d.Send = append(d.Send, repeat(rest)+"\r\n"...)
		case kind == `C"`:
			raw, err := strconv.Unquote(repeat(line[1:]))
			if err != nil {
				t.Fatalf("%s:%d: %v", path, i+1, err)
			}
			d.Send = append(d.Send, raw...)
		case kind == "C!":
			d.EOF = true
		case kind == "S:":
			d.Want = append(d.Want, rest)
		default:
			t.Fatalf("%s:%d: %q is no line of a dialogue", path, i+1, line)
		}
	}
	return all
}

var repeated = regexp.MustCompile(`\{(.)\*(\d+)\}`)

func repeat(text string) string {
	return repeated.ReplaceAllStringFunc(text, func(s string) string {
		m := repeated.FindStringSubmatch(s)
		n, _ := strconv.Atoi(m[2])
		return strings.Repeat(m[1], n)
	})
}

// Hold sends the client's part and holds the whole answer, up to the end that
// the server makes, against what is wanted. Without its dates, and lengths of
// bodies, an HTTP answer is the same each time.
func (d *Dialogue) Hold(t testing.TB, conn net.Conn) {
	t.Helper()
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	go func() {
		_, _ = conn.Write(d.Send)
		if half, ok := conn.(interface{ CloseWrite() error }); ok && d.EOF {
			_ = half.CloseWrite()
		}
	}()
	text, err := io.ReadAll(conn)
	if err != nil {
		t.Errorf("line %d, %s: the answer breaks off: %v", d.Line, d.Name, err)
	}
	plain := varying.ReplaceAll(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), nil)
	got := strings.Split(string(bytes.TrimSuffix(plain, []byte("\n"))), "\n")
	for i := 0; i < max(len(got), len(d.Want)); i++ {
		if i >= len(got) || i >= len(d.Want) || !pattern(d.Want[i]).MatchString(got[i]) {
			t.Errorf("line %d, %s:\n got %s\nwant %s", d.Line, d.Name, strings.Join(got, "\n     "), strings.Join(d.Want, "\n     "))
			return
		}
	}
}

var varying = regexp.MustCompile(`(?m)^(Date|Content-Length): .*\n`)

func pattern(want string) *regexp.Regexp {
	text := regexp.QuoteMeta(want)
	for from, to := range map[string]string{
		`\{id\}`: `[0-9a-f]{8}-[0-9a-f-]{27}`, `\{nonce\}`: `[0-9a-f]+`, `\{\*\}`: `.*`, `\{n\}`: `[0-9]+`,
	} {
		text = strings.ReplaceAll(text, from, to)
	}
	return regexp.MustCompile("^" + text + "$")
}
