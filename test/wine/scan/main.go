// Command scan is what the tests have Windows run: the long work of the
// original's scan module, and the program that asks for it.
//
//	scan -t ID                 starts two helpers that hide, says so, and works until it is ended
//	scan exit CODE AFTER       exits with CODE after a duration
//	scan send ADDRESS FILE     sends the file's bytes, prints the answer
//	scan kill PID              ends a process as nothing could resist
//	scan pause, scan continue  orders it of the service deputy, prints the state that it then has
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "scan:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("nothing to do")
	}
	switch args[0] {
	case "-t":
		for range 2 {
			if err := hide(); err != nil {
				return err
			}
		}
		fmt.Printf("scan %s began\n", args[1])
		time.Sleep(time.Hour)
	case "hidden": // a helper, and below it one more
		if args[1] != "0" {
			if err := hide(); err != nil {
				return err
			}
		}
		time.Sleep(time.Hour)
	case "exit":
		code, err := strconv.Atoi(args[1])
		if err != nil {
			return err
		}
		after, err := time.ParseDuration(args[2])
		if err != nil {
			return err
		}
		time.Sleep(after)
		os.Exit(code)
	case "send":
		return send(args[1], args[2])
	case "pause", "continue":
		return control(args[0])
	case "kill":
		pid, err := strconv.Atoi(args[1])
		if err != nil {
			return err
		}
		p, err := os.FindProcess(pid)
		if err != nil {
			return err
		}
		return p.Kill()
	}
	return nil
}

// hide starts a helper that is in no console, no process group and no output of ours.
func hide() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	depth := "1"
	if len(os.Args) > 1 && os.Args[1] == "hidden" {
		depth = "0"
	}
	c := exec.Command(self, "hidden", depth)
	c.SysProcAttr = detached
	return c.Start()
}

func send(address, file string) error {
	message, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	c, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	if _, err := c.Write(message); err != nil {
		return err
	}
	_, err = io.Copy(os.Stdout, c)
	return err
}
