//go:build linux

// Command cast plays the tasks of the tests, each part by its first argument:
//
//	tree N HOW        N processes, each in a session of its own and without its
//	                  parent; HOW: obey, ignore (SIGTERM) or freeze (ignore, and
//	                  stop itself)
//	storm N           N runners that ignore SIGTERM; each forks the next and exits at once
//	leave N           N such processes, and then it exits itself
//	write BYTES       so many bytes, of which each 16 tell their own place
//	witness FIFO      says each signal that it gets, until FIFO is opened and closed
//	stopper SECONDS   stops every process of its user, again and again, until SIGTERM;
//	                  then it lets them go on
//	tracer PID        traces a process and waits for nothing
//	key add NAME      puts a key into its session's keyring, says so, and stays
//	key look NAME     says whether that is in its own
//	odd COMMAND…      executes a command as odd as a start by hand can be
//	assault DIR       tries on its stdout what a task may not
//	pass SOCKET       writes a line, and hands its stdout to an accomplice
//	accomplice SOCKET takes it, and tries to change it at each byte of stdin
//	preallocate BYTES has so many allocated behind the end of its stdout, over and over
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"deputy/test/rig"
)

func main() {
	args := os.Args[2:]
	switch os.Args[1] {
	case "tree":
		tree(number(args[0]), args[1])
	case "storm":
		signal.Ignore(unix.SIGTERM)
		for range number(args[0]) {
			forkRunner()
		}
		fmt.Println("ready")
		idle()
	case "leave":
		for range number(args[0]) {
			forkTwice(false)
		}
		fmt.Println("ready")
	case "write":
		out := bufio.NewWriterSize(os.Stdout, 1<<20)
		_, err := io.CopyN(out, &rig.Pattern{}, int64(number(args[0])))
		check(err)
		check(out.Flush())
	case "witness":
		witness(args[0])
	case "stopper":
		told := make(chan os.Signal, 1)
		signal.Notify(told, unix.SIGTERM)
		end := time.Now().Add(time.Duration(number(args[0])) * time.Second)
		for fmt.Println("ready"); len(told) == 0 && time.Now().Before(end); {
			_ = unix.Kill(-1, unix.SIGSTOP)
		}
		_ = unix.Kill(-1, unix.SIGCONT)
	case "tracer":
		runtime.LockOSThread()
		_, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(number(args[0])), 0, 0, 0, 0)
		if errno != 0 {
			check(errno)
		}
		fmt.Println("ready")
		idle()
	case "key":
		key(args[0], args[1])
	case "odd":
		odd(args)
	case "assault":
		assault(args[0])
	case "pass":
		pass(args[0])
	case "accomplice":
		accomplice(args[0])
	case "preallocate":
		preallocate(number(args[0]))
	}
}

func key(what, name string) {
	if what == "look" {
		id, err := unix.KeyctlSearch(unix.KEY_SPEC_SESSION_KEYRING, "user", name, 0)
		fmt.Println(id > 0, err)
		return
	}
	_, err := unix.AddKey("user", name, []byte("secret"), unix.KEY_SPEC_SESSION_KEYRING)
	check(err)
	fmt.Println("ready")
	idle()
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	check(err)
	return n
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "cast:", err)
		os.Exit(99)
	}
}

func tree(n int, how string) {
	if how == "obey" {
		defaultAction(uintptr(unix.SIGTERM))
	} else {
		signal.Ignore(unix.SIGTERM)
	}
	for range n - 1 {
		forkTwice(how == "freeze")
	}
	fmt.Println("ready")
	if how == "freeze" {
		check(unix.Kill(os.Getpid(), unix.SIGSTOP))
	}
	idle()
}

// idle sleeps for ever, where a Go program would say that it is deadlocked.
func idle() {
	for {
		_ = unix.Pause()
	}
}

// witness ends with 0 if nobody has disturbed it.
func witness(fifo string) {
	signals := make(chan os.Signal, 64)
	signal.Notify(signals)
	signal.Reset(unix.SIGURG) // the Go runtime's own
	over := make(chan struct{})
	go func() {
		f, err := os.Open(fifo)
		check(err)
		_, err = io.Copy(io.Discard, f)
		check(err)
		close(over)
	}()
	fmt.Println("ready")
	code := 0
	for {
		select {
		case s := <-signals:
			fmt.Println("signal", s)
			code = 1
		case <-over:
			os.Exit(code)
		}
	}
}
