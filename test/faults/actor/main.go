//go:build linux

// Command actor plays the tasks of the fault harness. It says in a file that
// all of them append to when it starts, and how it is about to end:
//
//	start TASK ATTEMPT PID NS
//	clash TASK ATTEMPT PID NS LOCK       somebody of another task with this lock still lives
//	end   TASK ATTEMPT PID NS HOW BYTES  HOW: code:N or signal:N; BYTES of stdout so far
//
// NS is Unix time in nanoseconds. It is called as
//
//	actor DIR HOW MS N [LOCK]
//
// and after MS milliseconds ends as HOW says:
//
//	exit    with code N
//	signal  by signal N, sent to itself
//	leave   with code 0; N processes in sessions of their own live on
//	write   with code 0, after N bytes of output
//	obey    with code N; on SIGTERM at once, with code N+100
//	ignore  with code N, and SIGTERM does nothing
package main

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	a := actor{dir: os.Args[1], n: number(os.Args[4])}
	a.say("start", "")
	if len(os.Args) > 5 {
		a.lock(os.Args[5])
	}
	stop := make(chan os.Signal, 1)
	how := os.Args[2]
	if how == "obey" || how == "ignore" {
		signal.Notify(stop, unix.SIGTERM)
	}
	switch how {
	case "leave":
		a.leave()
	case "write":
		a.write()
	}
	over := time.After(time.Duration(number(os.Args[3])) * time.Millisecond)
	for {
		select {
		case <-over:
			a.end(how)
		case <-stop:
			if how == "obey" {
				a.exit(a.n + 100)
			}
		}
	}
}

type actor struct {
	dir     string
	n       int
	written int
}

// say appends one line with one write(2), so that lines of others stay whole.
func (a *actor) say(what, more string) {
	line := fmt.Sprintf("%s %s %s %d %d%s\n", what, os.Getenv("DEPUTY_TASK"), os.Getenv("DEPUTY_ATTEMPT"), os.Getpid(), time.Now().UnixNano(), more)
	fd, err := unix.Open(filepath.Join(a.dir, "acts"), unix.O_WRONLY|unix.O_APPEND|unix.O_CLOEXEC, 0)
	check(err)
	n, err := unix.Write(fd, []byte(line))
	check(err)
	if n != len(line) {
		check(fmt.Errorf("%d of %d bytes written", n, len(line)))
	}
	unix.Close(fd)
}

// lock takes a lock that the kernel gives back when the last process of this
// task is gone, for what it leaves behind inherits it.
func (a *actor) lock(name string) {
	fd, err := unix.Open(filepath.Join(a.dir, "lock-"+name), unix.O_RDWR|unix.O_CREAT, 0o666)
	check(err)
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		a.say("clash", " "+name)
	}
}

func (a *actor) leave() {
	for range a.n {
		_, err := syscall.ForkExec("/bin/sleep", []string{"sleep", "1000"}, &syscall.ProcAttr{
			Dir: "/", Env: os.Environ(), Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Setsid: true}})
		check(err)
	}
}

func (a *actor) write() {
	buf := make([]byte, a.n)
	for a.written < len(buf) {
		n, err := unix.Write(1, buf[a.written:])
		check(err)
		a.written += n
	}
}

func (a *actor) end(how string) {
	switch how {
	case "signal":
		a.say("end", fmt.Sprintf(" signal:%d %d", a.n, a.written))
		check(unix.Kill(os.Getpid(), unix.Signal(a.n)))
		time.Sleep(time.Hour) // the signal may come to another thread; without a timer Go would call it a deadlock, and exit
	case "leave", "write":
		a.exit(0)
	}
	a.exit(a.n)
}

func (a *actor) exit(code int) {
	a.say("end", fmt.Sprintf(" code:%d %d", code, a.written))
	os.Exit(code)
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	check(err)
	return n
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "actor:", err)
		os.Exit(99)
	}
}
