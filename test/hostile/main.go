//go:build linux

// Command hostile is a deputy-server that has been taken over: the monitor
// starts it in the place of the real one, and it tries whatever the wall lets
// it send. What it does stands in a file beside it, FILE.mode; what came of it
// it writes to FILE.report. Where it may not even read that it is confined, and
// tries a call that its filter forbids; named unsealed, it comes without the
// seal of a real one.
package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"deputy"
	"deputy/internal/seccomp"
	"deputy/internal/wall"
)

// Report is what the test reads.
type Report struct {
	Sent     int
	Answers  map[string]int // by code; "ok" for what was not refused
	Accepted int            // answers that name tasks
	PeerUID  int            // what SO_PEERCRED says of the handed-up descriptor
}

func main() {
	self, err := os.Executable()
	check(err)
	mode, err := os.ReadFile(self + ".mode")
	if errors.Is(err, fs.ErrPermission) {
		confined(filepath.Base(self) != "unsealed")
	}
	check(err)
	words := strings.Fields(string(mode))
	report := Report{Answers: map[string]int{}, PeerUID: -1}
	stream := os.NewFile(3, "stream")
	if words[0] == "arbitrary" {
		arbitrary(stream)
		return
	}
	greet(stream)
	door, err := wall.NewDoor(os.NewFile(4, "door"))
	check(err)
	connection, _, err := door.Receive() // the one caller that is really there
	check(err)
	switch words[0] {
	case "hostile":
		n, err := strconv.Atoi(words[1])
		check(err)
		wellFormed(stream, connection.Number, n, &report)
	case "handup":
		handUp(stream, door, words[1], &report)
		wellFormed(stream, connection.Number, 2000, &report)
	}
	text, err := json.Marshal(report)
	check(err)
	check(os.WriteFile(self+".new", text, 0o644))
	check(os.Rename(self+".new", self+".report"))
	select {}
}

func confined(sealed bool) {
	if sealed {
		check(seccomp.Seal())
	}
	stream := os.NewFile(3, "stream")
	greet(stream)
	_, err := io.ReadFull(stream, make([]byte, 5)) // the greeting: we are proved, or about to be killed
	check(err)
	door, err := wall.NewDoor(os.NewFile(4, "door"))
	check(err)
	_, _, err = door.Receive() // a caller is let in
	check(err)
	check(unix.Connect(3, &unix.SockaddrUnix{Name: "/run/another"}))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "hostile:", err)
		os.Exit(1)
	}
}

func greet(stream *os.File) {
	for _, r := range []wall.Request{{Kind: wall.Hello, Version: wall.Version}, {Kind: wall.Follow, From: 1}} {
		frame, err := r.Encode()
		check(err)
		_, err = stream.Write(frame)
		check(err)
	}
}

// arbitrary sends bytes of all kinds until the monitor has had enough.
func arbitrary(stream *os.File) {
	if rand.IntN(2) == 0 {
		greet(stream)
	}
	for {
		b := make([]byte, 4+rand.IntN(64))
		for i := range b {
			b[i] = byte(rand.Uint32())
		}
		if rand.IntN(2) == 0 {
			binary.LittleEndian.PutUint32(b, uint32(len(b)-4))
		}
		if _, err := stream.Write(b); err != nil {
			return
		}
	}
}

// wellFormed sends n messages of the right shape that ask for what this server
// may not ask: in the name of connections that are not there, of users, keys and
// end users, for actions and values outside the declared ones.
func wellFormed(stream *os.File, own uint64, n int, report *Report) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		in := bufio.NewReaderSize(stream, 1<<20)
		for answers := 0; answers < n; {
			var head [5]byte
			if _, err := io.ReadFull(in, head[:]); err != nil {
				return
			}
			body := make([]byte, binary.LittleEndian.Uint32(head[:4])-1)
			if _, err := io.ReadFull(in, body); err != nil {
				return
			}
			if wall.Kind(head[4]) != wall.AnswerKind {
				continue
			}
			answers++
			var o wall.Outcome
			check(json.Unmarshal(body[16:], &o))
			switch {
			case o.Error != nil:
				report.Answers[string(o.Error.Code)]++
			default:
				report.Answers["ok"]++
				report.Accepted += len(o.Tasks)
			}
		}
	}()
	out := bufio.NewWriterSize(stream, 64<<10)
	kinds := requested()
	for i := range n {
		r := request(own, kinds)
		r.ID = uint64(i + 1)
		frame, err := r.Encode()
		check(err)
		_, err = out.Write(frame)
		check(err)
		report.Sent++
	}
	check(out.Flush())
	<-done
}

func pick[T any](list ...T) T { return list[rand.IntN(len(list))] }

// requested gives the kinds of all that a server may ask for without a signature, calls
// three times: whatever verb comes to the wall is asked for here, too.
func requested() []wall.Kind {
	kinds := []wall.Kind{wall.Call, wall.Call}
	for kind, verb := range wall.Verbs() {
		if verb.Access != wall.Opening && verb.Access != wall.Signer {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

func request(own uint64, kinds []wall.Kind) wall.Request {
	return wall.Request{
		Kind:       pick(kinds...),
		Connection: pick(own, own, own+1, own-1, own+uint64(rand.IntN(1000)), 0, 1, ^uint64(0), rand.Uint64()),
		Module:     pick("m", "m", "M", "", "m/../m", "uid:0", strings.Repeat("m", 1000)),
		Action:     pick("forbidden", "forbidden", "ok", "Forbidden", "*", "m/forbidden"),
		Key:        pick("", "", "k", strconv.Itoa(rand.IntN(50))),
		EndUser:    pick("", "", "root", "uid:0", "{caller}", "a\nb"),
		As:         pick("", "root", "uid:0", "key:panel"),
		Task:       pick("", "m", "01890000-0000-7000-8000-000000000000", strings.Repeat("../", 100)),
		Tasks:      pick(nil, []string{"01890000-0000-7000-8000-000000000000", "", "m"}, slices.Repeat([]string{strings.Repeat("x", 36)}, wall.MaxWaits)),
		GraceMS:    pick(int64(-1), 0, 1<<62, -1<<63),
		Force:      rand.IntN(2) == 0,
		On:         rand.IntN(2) == 0,
		Params: deputy.Params{
			pick("text", "text", "Text", "argv", "user", ""): pick[any]("fine", "-rf", "a\nb", "\x00", deputy.Number("1"), deputy.Text("-x"), nil,
				[]any{"a", "b"}, map[string]any{"a": "b"}, strings.Repeat("x", 5000), true, "{text}", "$(id)", "; id"),
		},
	}
}

// handUp passes the monitor our own end of a connection to somebody else's
// socket. On our end SO_PEERCRED names the listener, root: a monitor that asked
// it would believe that root asks.
func handUp(stream *os.File, door *wall.Door, path string, report *Report) {
	conn, err := net.Dial("unix", path)
	check(err)
	file, err := conn.(*net.UnixConn).File()
	check(err)
	peer, err := unix.GetsockoptUcred(int(file.Fd()), unix.SOL_SOCKET, unix.SO_PEERCRED)
	check(err)
	report.PeerUID = int(peer.Uid)
	check(door.Send(wall.Connection{Number: 7, UID: 0}, int(file.Fd())))
	r := wall.Request{Kind: wall.Call, ID: 1 << 40, Connection: 7, Module: "m", Action: "forbidden", Params: deputy.Params{"text": "x"}}
	frame, err := r.Encode()
	check(err)
	check(unix.Sendmsg(int(stream.Fd()), frame, unix.UnixRights(int(file.Fd())), nil, 0))
	time.Sleep(50 * time.Millisecond)
}
