//go:build linux

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestMain lets the test binary be the program.
func TestMain(m *testing.M) {
	if os.Getenv("PORTSCAN_TEST") != "" {
		main()
	}
	os.Exit(m.Run())
}

func command(args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = []string{"PORTSCAN_TEST=1", "GORACE=atexit_sleep_ms=0"}
	return cmd
}

// result is all that one run wrote.
type result struct {
	found   []Found
	summary Summary
	stderr  string
	code    int
}

func scanned(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Run()
	r := result{stderr: stderr.String(), code: cmd.ProcessState.ExitCode()}
	r.found, r.summary = parseOutput(t, stdout.Bytes())
	slices.SortFunc(r.found, func(a, b Found) int { return int(a.Port) - int(b.Port) })
	return r
}

// parseOutput reads lines of what is open and a last one, the summary.
func parseOutput(t *testing.T, out []byte) (found []Found, summary Summary) {
	t.Helper()
	lines := bytes.Split(bytes.TrimSuffix(out, []byte("\n")), []byte("\n"))
	for i, line := range lines {
		var entry struct {
			Found
			Summary *Summary `json:"summary"`
		}
		decoder := json.NewDecoder(bytes.NewReader(line))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&entry); err != nil {
			t.Fatalf("line %d, %q: %v", i+1, line, err)
		}
		if last := i == len(lines)-1; last != (entry.Summary != nil) {
			t.Fatalf("line %d of %d: %q", i+1, len(lines), line)
		} else if last {
			return found, *entry.Summary
		}
		found = append(found, entry.Found)
	}
	return found, summary
}

// serve listens on a free port of address and treats each connection with talk.
func serve(t *testing.T, address string, talk func(net.Conn)) (port uint16) {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go talk(conn)
		}
	}()
	return netip.MustParseAddrPort(listener.Addr().String()).Port()
}

// say answers with text and waits for the other side to go.
func say(text string) func(net.Conn) {
	return func(conn net.Conn) {
		defer conn.Close()
		conn.Write([]byte(text))
		conn.Read(make([]byte, 1))
	}
}

// closedPort is a port of 127.0.0.1 that nobody listens on.
func closedPort(t *testing.T) uint16 {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return netip.MustParseAddrPort(listener.Addr().String()).Port()
}

// TestScan is the whole program against real listeners.
func TestScan(t *testing.T) {
	banners := map[string]string{ // what is sent -> what is shown
		"SSH-2.0-test\r\nmore":            "SSH-2.0-test",
		"no line end":                     "no line end",
		"":                                "",
		"\x00\xff\x1b[31mé\\\"<\u202e>\n": `\x00\xff\x1b[31mé\\"<\xe2\x80\xae>`,
		strings.Repeat("x", 1000):         strings.Repeat("x", 256),
	}
	want := map[uint16]string{}
	var ports []string
	for sent, shown := range banners {
		port := serve(t, "127.0.0.1", say(sent))
		want[port] = shown
		ports = append(ports, fmt.Sprint(port))
	}
	quitter := serve(t, "127.0.0.1", func(conn net.Conn) { conn.Close() })
	want[quitter] = ""
	ports = append(ports, fmt.Sprint(quitter), fmt.Sprint(closedPort(t)))

	r := scanned(t, command("--ports", strings.Join(ports, ","), "--timeout-ms", "300", "--", "127.0.0.1"))
	got := map[uint16]string{}
	for _, f := range r.found {
		got[f.Port] = f.Banner
		if f.Host != "127.0.0.1" || f.Address != netip.MustParseAddr("127.0.0.1") || f.State != open || f.LatencyMS <= 0 || f.LatencyMS > 300 {
			t.Errorf("%+v", f)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	summary := Summary{Addresses: 1, Ports: 7, Probes: 7, Open: 6, Closed: 1, Unresolved: []string{}, Complete: true}
	if diff := cmp.Diff(summary, r.summary, cmpopts.IgnoreFields(Summary{}, "TookMS")); diff != "" || r.code != 0 || r.stderr != "" {
		t.Errorf("exit status %d, %q: %s", r.code, r.stderr, diff)
	}
}

func TestIPv6AndNames(t *testing.T) {
	port := serve(t, "::1", say("six\n"))
	r := scanned(t, command("--ports", fmt.Sprint(port), "::1", "0:0:0:0:0:0:0:1"))
	if len(r.found) != 1 || r.found[0].Banner != "six" || r.found[0].Host != "::1" || r.code != 0 {
		t.Errorf("%+v", r)
	}
	port = serve(t, "127.0.0.1", say("four\n"))
	r = scanned(t, command("--ports", fmt.Sprint(port), "localhost", "127.0.0.1"))
	if len(r.found) != 1 || r.found[0].Host != "localhost" || r.found[0].Address != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("%+v", r)
	}
}

// TestNetwork: 127.0.0.0/29 is eight addresses, and all of 127/8 is loopback.
func TestNetwork(t *testing.T) {
	port := serve(t, "127.0.0.3", say("three\n"))
	r := scanned(t, command("--ports", fmt.Sprint(port), "127.0.0.5/29"))
	if len(r.found) != 1 || r.found[0].Host != "127.0.0.5/29" || r.found[0].Address.String() != "127.0.0.3" {
		t.Errorf("%+v", r.found)
	}
	if s := r.summary; s.Addresses != 8 || s.Probes != 8 || s.Closed != 7 || r.code != 0 {
		t.Errorf("%+v", s)
	}
}

// TestUnresolved: the rest is scanned, and it is said what was not. A name with
// an empty label is asked of no name server.
func TestUnresolved(t *testing.T) {
	port := serve(t, "127.0.0.1", say("x\n"))
	r := scanned(t, command("--ports", fmt.Sprint(port), "no..host", "127.0.0.1"))
	if r.code != exitPart || len(r.found) != 1 || !slices.Equal(r.summary.Unresolved, []string{"no..host"}) ||
		!strings.Contains(r.stderr, "cannot resolve no..host: ") {
		t.Errorf("%+v", r)
	}
}

// TestFiltered: a listener with a full backlog does not answer.
func TestFiltered(t *testing.T) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	for full := false; !full; {
		conn, err := net.DialTimeout("tcp", address, 200*time.Millisecond)
		if full = err != nil; !full {
			defer conn.Close()
		}
	}
	_, port, _ := net.SplitHostPort(address)
	r := scanned(t, command("--ports", port, "--timeout-ms", "100", "127.0.0.1"))
	if r.summary.Filtered != 1 || len(r.found) != 0 || r.code != 0 {
		t.Errorf("%+v", r)
	}
}

// TestProgress: the first datagram is of nothing done, the last of all.
func TestProgress(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	cmd := command("--ports", fmt.Sprintf("%d,%d", closedPort(t), serve(t, "127.0.0.1", say("x\n"))), "127.0.0.1")
	cmd.Env = append(cmd.Env, "DEPUTY_NOTIFY_SOCKET="+socket)
	if r := scanned(t, cmd); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	var told []string
	buf := make([]byte, 1000)
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	for !slices.Contains(told, "STATUS=2 of 2 probes, 1 open\nX_PERCENT=100.0") {
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatalf("%v after %q", err, told)
		}
		told = append(told, string(buf[:n]))
	}
	if told[0] != "STATUS=0 of 2 probes, 0 open\nX_PERCENT=0.0" {
		t.Errorf("%q", told)
	}
	// Nobody to tell is no reason to fail.
	cmd = command("--ports", "1", "127.0.0.1")
	cmd.Env = append(cmd.Env, "DEPUTY_NOTIFY_SOCKET="+socket+"-none")
	if r := scanned(t, cmd); r.code != 0 {
		t.Errorf("%+v", r)
	}
}

// TestStopped: a signal ends a scan that waits for a silent listener, with a
// summary of what was done.
func TestStopped(t *testing.T) {
	talker, silent := serve(t, "127.0.0.1", say("hello\n")), serve(t, "127.0.0.1", say(""))
	for signal, code := range map[syscall.Signal]int{syscall.SIGTERM: 143, syscall.SIGINT: 130} {
		cmd := command("--ports", fmt.Sprintf("%d,%d,1-2000", talker, silent), "--parallel", "1", "--timeout-ms", "60000", "127.0.0.1")
		pipe, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		stdout := bufio.NewReader(pipe)
		first, err := stdout.ReadBytes('\n') // the next in turn is silent for a minute
		if err != nil {
			t.Fatal(err)
		}
		sent := time.Now()
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		rest, err := io.ReadAll(stdout)
		if err != nil {
			t.Fatal(err)
		}
		cmd.Wait()
		if took := time.Since(sent); took > 5*time.Second {
			t.Errorf("%v: it took %v to end", signal, took)
		}
		found, summary := parseOutput(t, append(first, rest...))
		if cmd.ProcessState.ExitCode() != code || summary.Complete || found[0].Banner != "hello" || summary.Open != len(found) || summary.Probes > 2 {
			t.Errorf("%v: exit status %d, %+v %+v", signal, cmd.ProcessState.ExitCode(), found, summary)
		}
	}
}

func TestWrongArguments(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no host":        {[]string{"--ports", "1"}, "which host?"},
		"unknown flag":   {[]string{"--udp", "h"}, "udp"},
		"no port":        {[]string{"--ports", "", "127.0.0.1"}, `"" is not a port`},
		"port 0":         {[]string{"--ports", "0", "127.0.0.1"}, `"0" is not a port`},
		"port 65536":     {[]string{"--ports", "1,65536", "127.0.0.1"}, `"65536" is not a port`},
		"half a range":   {[]string{"--ports", "5-", "127.0.0.1"}, `"5-" is not a port`},
		"backwards":      {[]string{"--ports", "9-5", "127.0.0.1"}, `write 5-9`},
		"no time":        {[]string{"--timeout-ms", "0", "127.0.0.1"}, "--timeout-ms must be"},
		"no connections": {[]string{"--parallel", "0", "127.0.0.1"}, "--parallel must be"},
		"a wide network": {[]string{"10.0.0.0/23"}, "more than 256 addresses"},
		"a wide one, v6": {[]string{"::1/64"}, "more than 256 addresses"},
		"not a network":  {[]string{"10.0.0/24"}, "write it like 192.0.2.0/24"},
		"too much":       {[]string{"--ports", "1-65535", "127.0.0.0/28"}, "at most 1000000 probes"},
	} {
		r := command(c.args...)
		out, err := r.CombinedOutput()
		if code := r.ProcessState.ExitCode(); err == nil || code != exitUsage || !strings.Contains(string(out), c.want) || !strings.HasPrefix(string(out), "deputy-portscan: ") {
			t.Errorf("%s: exit status %d, %q", name, code, out)
		}
	}
	help, err := command("--help").Output()
	if err != nil || string(help) != usage {
		t.Errorf("--help: %q, %v", help, err)
	}
}

func TestParsePorts(t *testing.T) {
	got, err := parsePorts("80,22, 79-81,65535")
	if diff := cmp.Diff([]uint16{80, 22, 79, 81, 65535}, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if all, err := parsePorts("1-65535"); err != nil || len(all) != 65535 {
		t.Errorf("%d, %v", len(all), err)
	}
}

func TestNetworkAddresses(t *testing.T) {
	for text, want := range map[string]int{
		"127.0.0.1/32": 1, "10.0.0.0/24": 256, "255.255.255.0/24": 256, "::1/128": 1,
		"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ff00/120": 256,
	} {
		got, err := networkAddresses(text)
		if err != nil || len(got) != want {
			t.Errorf("%s: %d addresses, %v", text, len(got), err)
		}
	}
}
