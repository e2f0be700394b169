//go:build linux

// Command caller is a caller of deputy that means ill: it asks as often and as
// dearly as it can, until its standard input ends. Then it tells on its
// standard output what it was answered, as JSON: how many times each status;
// 0 stands for a connection that was refused or closed.
//
//	caller connect SOCKET LOOPS         connects and closes
//	caller visit SOCKET LOOPS           so many times, 10 ms apart, connects, asks what it may use and closes; then it ends
//	caller ask SOCKET LOOPS < REQUESTS  keeps so many connections and asks over each, one request after another
//	caller linger SOCKET LOOPS          sends so many times, as a stream or in datagrams, a socket whose close waits for an hour
//	caller pass SOCKET 1                connects, passes the connection on over descriptor 3, and ends
//
// A request is a line of JSON: {"method", "path", "header", "body"}. An empty line ends
// them. What is answered for ever is read for a second.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"deputy/test/rig"
)

func main() {
	if len(os.Args) != 4 {
		check(errors.New("usage: caller connect|visit|ask|linger|pass SOCKET LOOPS"))
	}
	loops, err := strconv.Atoi(os.Args[3])
	check(err)
	in := bufio.NewReader(os.Stdin)
	var requests [][]byte
	if os.Args[1] == "ask" {
		requests, err = read(in)
		check(err)
	}
	c := &caller{socket: os.Args[2], over: make(chan struct{}), answers: map[int]int{}}
	switch os.Args[1] {
	case "visit":
		c.visit(loops)
		check(json.NewEncoder(os.Stdout).Encode(c.answers))
		return
	case "pass":
		check(pass(os.Args[2]))
		return
	case "connect":
		for range loops {
			c.loops.Go(c.connect)
		}
	case "linger":
		check(c.linger(loops))
	case "burn":
		for range loops {
			c.loops.Go(func() {
				for !c.isOver() {
				}
			})
		}
	case "ask":
		for i := range loops {
			c.loops.Go(func() { c.ask(requests, i) })
		}
	}
	io.Copy(io.Discard, in)
	close(c.over)
	c.loops.Wait()
	check(json.NewEncoder(os.Stdout).Encode(c.answers))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "caller:", err)
		os.Exit(1)
	}
}

func pass(socket string) error {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	file, err := conn.(*net.UnixConn).File()
	if err != nil {
		return err
	}
	return unix.Sendmsg(3, []byte{0}, unix.UnixRights(int(file.Fd())), nil, 0)
}

func read(in *bufio.Reader) (all [][]byte, err error) {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil, fmt.Errorf("cannot read the requests: %w", err)
		}
		if line == "\n" {
			return all, nil
		}
		var r struct{ Method, Path, Header, Body string }
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			return nil, fmt.Errorf("cannot read a request: %w", err)
		}
		text := r.Method + " " + r.Path + " HTTP/1.1\r\nHost: deputy\r\n"
		if r.Header != "" {
			text += r.Header + "\r\n"
		}
		if r.Method == "POST" {
			text += "Content-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(r.Body)) + "\r\n"
		}
		all = append(all, []byte(text+"\r\n"+r.Body))
	}
}

type caller struct {
	socket string
	over   chan struct{}
	loops  sync.WaitGroup

	mu      sync.Mutex // guards what follows
	answers map[int]int
}

func (c *caller) add(answers map[int]int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for status, n := range answers {
		c.answers[status] += n
	}
	clear(answers)
}

func (c *caller) isOver() bool {
	select {
	case <-c.over:
		return true
	default:
		return false
	}
}

func (c *caller) connect() {
	own := map[int]int{}
	defer c.add(own)
	for !c.isOver() {
		conn, err := net.Dial("unix", c.socket)
		if err != nil {
			own[0]++
			continue
		}
		own[1]++
		conn.Close()
	}
}

// visit connects as programs do: it does not wait for a place in the backlog.
func (c *caller) visit(times int) {
	for range times {
		time.Sleep(10 * time.Millisecond)
		conn, err := net.Dial("unix", c.socket)
		if err != nil {
			c.answers[0]++
			continue
		}
		converse(c, conn, [][]byte{[]byte("GET /v1/actions HTTP/1.1\r\nHost: deputy\r\nConnection: close\r\n\r\n")}, 0, c.answers)
		conn.Close()
	}
}

func (c *caller) ask(requests [][]byte, first int) {
	own := map[int]int{}
	defer func() { c.add(maps.Clone(own)) }()
	for i := first; !c.isOver(); {
		conn, err := net.Dial("unix", c.socket)
		if err == nil {
			i = converse(c, conn, requests, i, own)
			conn.Close()
		}
		own[0]++
	}
}

// converse asks until the connection is closed.
func converse(c *caller, conn net.Conn, requests [][]byte, i int, answers map[int]int) int {
	in := bufio.NewReader(conn)
	for ; !c.isOver(); i++ {
		request := requests[i%len(requests)]
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := conn.Write(request); err != nil {
			return i + 1
		}
		answer, err := http.ReadResponse(in, nil)
		if err != nil {
			return i + 1
		}
		answers[answer.StatusCode]++
		if strings.HasPrefix(answer.Header.Get("Content-Type"), "text/event-stream") || answer.ContentLength < 0 {
			conn.SetDeadline(time.Now().Add(time.Second))
		}
		if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.Close {
			return i + 1
		}
	}
	return i
}

// linger sends sockets whose close waits, each over a connection of its own that it keeps. That the
// kernel refuses to pass them is fine.
func (c *caller) linger(times int) error {
	var all sync.WaitGroup
	turns := make(chan struct{}, 16)
	failed := make(chan error, times)
	for range times {
		turns <- struct{}{}
		all.Go(func() {
			failed <- c.sendLingering()
			<-turns
		})
	}
	all.Wait()
	close(failed)
	var err error
	for each := range failed {
		err = errors.Join(err, each)
	}
	if err == nil {
		fmt.Fprintln(os.Stderr, "ready")
	}
	return err
}

func (c *caller) sendLingering() error {
	conn, err := net.Dial("unix", c.socket)
	if err != nil {
		conn, err = net.Dial("unixgram", c.socket)
	}
	if err != nil {
		return err
	}
	fd, err := rig.Lingering()
	if err != nil {
		return err
	}
	go func() {
		defer unix.Close(fd) // which waits, if it could not be passed
		if _, _, err := conn.(*net.UnixConn).WriteMsgUnix([]byte("G"), unix.UnixRights(fd), nil); errors.Is(err, unix.EPERM) {
			_, _ = conn.Write([]byte("G"))
		}
	}()
	return nil
}
