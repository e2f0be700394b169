package userdb

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The test binary is `deputyd --role names`, too.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "--role" && os.Args[2] == "names" {
		os.Exit(Main())
	}
	os.Exit(m.Run())
}

// The real programs answer, through a process of their own and from here.
func TestGetentAndID(t *testing.T) {
	daemon := Question{passwd, "daemon"}
	questions := []Question{daemon, {passwd, "1"}, {group, "daemon"}, {passwd, "no such user"}, {group, "nosuchgroup"}}
	for way, ask := range map[string]Asker{"role": Through([]string{"/proc/self/exe", "--role", "names"}), "here": Here()} {
		said, err := ask(questions, 20*time.Second)
		if err != nil || len(said) != len(questions) {
			t.Fatalf("%s: %v, %+v", way, err, said)
		}
		for _, q := range questions {
			a, err := q.read(said[q])
			if err != nil {
				t.Errorf("%s, %v: %v", way, q, err)
			}
			switch {
			case q.Kind == passwd && !strings.Contains(q.Name, "no") && (a.user == nil || a.user.UID != 1 || a.user.Name != "daemon"):
				t.Errorf("%s, %v: %+v", way, q, a.user)
			case q.Name == "daemon" && q.Kind == group && (!a.isGroup || a.gid != 1):
				t.Errorf("%s, %v: %+v", way, q, a)
			case strings.HasPrefix(q.Name, "no") && (a.user != nil || a.isGroup):
				t.Errorf("%s, %v: %+v", way, q, a)
			}
		}
	}
}

// An ordinary user, under `deputy up`, asks as itself.
func TestAnOrdinaryUserAsksAsItself(t *testing.T) {
	cmd := exec.Command("/proc/self/exe", "--role", "names")
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65533, Gid: 65533}}
	}
	cmd.Dir, cmd.Stdin = "/", strings.NewReader("passwd daemon\ngroup nosuchgroup\n")
	out, err := cmd.Output()
	if err != nil || !strings.HasPrefix(string(out), "0\tfound\tdaemon:") || !strings.HasSuffix(string(out), "\n1\tnone\n") {
		t.Errorf("%q, %v", out, err)
	}
}
