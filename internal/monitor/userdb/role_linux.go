package userdb

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Main is the whole program of `deputyd --role names`: it gives up what it may,
// then answers the questions on stdin by running getent and id. They load
// whatever serves the names, and read what that sends: none of it is run as root.
func Main() int {
	runtime.LockOSThread() // what is given up here is what its children lack, too
	if err := drop(); err != nil {
		fmt.Printf("%s\tcannot ask the name services: %v\n", failed, err)
		return 1
	}
	questions, err := readQuestions(os.Stdin)
	if err != nil {
		fmt.Printf("%s\t%v\n", failed, err)
		return 1
	}
	for i, q := range questions {
		if _, err := fmt.Printf("%d\t%s\n", i, q.inquire(nil)); err != nil {
			return 1
		}
	}
	return 0
}

// firstUID begins the numbers that this role takes, by its process id: they lie
// where nobody gives any out (systemd's UIDS-GIDS.md calls 1879048192 to
// 2147483647 unused, and sssd's and winbind's ranges end at 2000200000), so no
// process of another can signal or trace getent, as one of nobody could.
const firstUID = 1<<31 - 1<<22

// drop becomes a user of whom there is no other process, for good, and dies with
// the monitor.
func drop() error {
	if err := syscall.Setrlimit(unix.RLIMIT_CORE, &syscall.Rlimit{}); err != nil {
		return fmt.Errorf("cannot forbid core files: %w", err)
	}
	parent := os.Getppid()
	if os.Geteuid() == 0 {
		if err := becomeNobody(); err != nil {
			return err
		}
	}
	for _, option := range [][2]uintptr{
		{unix.PR_SET_NO_NEW_PRIVS, 1}, {unix.PR_SET_DUMPABLE, 0},
		{unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL)}, // the change of user has undone an earlier one
	} {
		if err := unix.Prctl(int(option[0]), option[1], 0, 0, 0); err != nil {
			return fmt.Errorf("cannot give up privilege: %w", err)
		}
	}
	if os.Getppid() != parent {
		return errors.New("who asked is gone")
	}
	return nil
}

func becomeNobody() error {
	if err := syscall.Setgroups(nil); err != nil {
		return fmt.Errorf("cannot leave root's groups: %w", err)
	}
	id := firstUID + os.Getpid()
	err := syscall.Setresgid(id, id, id)
	if errors.Is(err, unix.EINVAL) { // a user namespace that has no such number
		id = Nobody
		err = syscall.Setresgid(id, id, id)
	}
	if err == nil {
		err = syscall.Setresuid(id, id, id)
	}
	if err != nil {
		return fmt.Errorf("cannot become user %d: %w", id, err)
	}
	return nil
}

const (
	getentProgram = "/usr/bin/getent"
	idProgram     = "/usr/bin/id"
	inquiryTime   = 2 * time.Second // of one program
	notFound      = 2               // exit code of getent(1)
)

// inquire says what there is of a question, as an answer has it behind its number.
func (q Question) inquire(as *syscall.Credential) string {
	entry, code, err := ask(as, getentProgram, string(q.Kind), q.Name)
	switch {
	case err != nil:
		return failed + "\t" + err.Error()
	case code == notFound:
		return none
	case code != 0 || strings.ContainsAny(entry, "\n\t"):
		return fmt.Sprintf("%s\tgetent %s %s ended with code %d and wrote %.60q", failed, q.Kind, q.Name, code, entry)
	case q.Kind == group:
		return found + "\t" + entry + "\t"
	}
	name, _, _ := strings.Cut(entry, ":")
	if !(Question{passwd, name}).askable() {
		return fmt.Sprintf("%s\tgetent passwd %s wrote %.60q", failed, q.Name, entry)
	}
	groups, code, err := ask(as, idProgram, "-G", name)
	switch {
	case err != nil:
		return failed + "\t" + err.Error()
	case code != 0 || strings.ContainsAny(groups, "\n\t"):
		return fmt.Sprintf("%s\tid -G %s ended with code %d and wrote %.60q", failed, name, code, groups)
	}
	return found + "\t" + entry + "\t" + groups
}

// ask runs a program and gives the one line that it writes, and its exit code.
func ask(as *syscall.Credential, program string, args ...string) (line string, code int, err error) {
	name := program[strings.LastIndexByte(program, '/')+1:]
	r, w, err := os.Pipe()
	if err != nil {
		return "", 0, err
	}
	defer r.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		w.Close()
		return "", 0, err
	}
	defer null.Close()
	p, err := os.StartProcess(program, append([]string{name}, args...), &os.ProcAttr{
		Dir: "/", Env: []string{"PATH=/usr/bin:/bin", "LC_ALL=C"}, Files: []*os.File{null, w, null},
		Sys: &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: as},
	})
	w.Close()
	if err != nil {
		return "", 0, fmt.Errorf("cannot run %s: %w", program, err)
	}
	_ = r.SetReadDeadline(time.Now().Add(inquiryTime))
	text, err := io.ReadAll(io.LimitReader(r, maxLine/2))
	// Its group, too: on some systems getent is a script. One that has written all
	// and lives on has nothing more to say.
	if err != nil || len(text) == maxLine/2 {
		_ = syscall.Kill(-p.Pid, syscall.SIGKILL)
	}
	end := time.AfterFunc(inquiryTime, func() { _ = syscall.Kill(-p.Pid, syscall.SIGKILL) })
	state, gone := p.Wait()
	end.Stop()
	switch {
	case len(text) == maxLine/2:
		return "", 0, fmt.Errorf("%s %s wrote too much", name, strings.Join(args, " "))
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "", 0, fmt.Errorf("%s took longer than %v", name, inquiryTime)
	case err != nil || gone != nil:
		return "", 0, fmt.Errorf("cannot hear %s: %w", name, errors.Join(err, gone))
	case !state.Exited():
		return "", 0, fmt.Errorf("%s was ended by %v", name, state)
	}
	return strings.TrimSuffix(string(text), "\n"), state.ExitCode(), nil
}
