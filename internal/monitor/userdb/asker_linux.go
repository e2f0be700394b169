package userdb

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

// Through asks by a process of its own, without privilege: argv is
// `deputyd --role names`. It is started as we are, without a change of user,
// and makes that itself: between a change and its execution another process of
// the new user could stop it, and with it whoever waits for that.
func Through(argv []string) Asker {
	// A process that cannot be killed, because what it reads does not answer, must
	// not be followed by one more each minute.
	living := make(chan struct{}, 2*rounds)
	return func(questions []Question, patience time.Duration) (map[Question]Said, error) {
		select {
		case living <- struct{}{}:
		default:
			return nil, errors.New("those that ask the name services do not end: see `ps -C deputyd -o pid,stat,wchan,args`")
		}
		until := time.Now().Add(patience)
		p, in, out, err := startAsker(argv)
		if err != nil {
			<-living
			return nil, err
		}
		defer out.Close()
		_ = in.SetDeadline(until)
		_ = out.SetDeadline(until)
		go func() {
			_ = writeQuestions(in, questions) // what it does not take it does not answer
			in.Close()
		}()
		said, err := readSaid(out, questions)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = fmt.Errorf("the name services have not answered within %v", patience)
		}
		_ = p.Kill()
		go func() {
			_, _ = p.Wait()
			<-living
		}()
		return said, err
	}
}

func startAsker(argv []string) (p *os.Process, in, out *os.File, err error) {
	theirIn, in, err := os.Pipe()
	if err != nil {
		return nil, nil, nil, err
	}
	defer theirIn.Close()
	out, theirOut, err := os.Pipe()
	if err != nil {
		in.Close()
		return nil, nil, nil, err
	}
	defer theirOut.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err == nil {
		defer null.Close()
		p, err = os.StartProcess(argv[0], argv, &os.ProcAttr{
			Dir: "/", Env: []string{}, Files: []*os.File{theirIn, theirOut, null}, Sys: &syscall.SysProcAttr{Setsid: true},
		})
	}
	if err != nil {
		in.Close()
		out.Close()
		return nil, nil, nil, fmt.Errorf("cannot ask the name services: %w", err)
	}
	return p, in, out, nil
}

// Here asks from this process, for a program that somebody runs by hand. As root
// it still runs getent and id without privilege.
func Here() Asker { return here }

func here(questions []Question, patience time.Duration) (map[Question]Said, error) {
	var as *syscall.Credential
	if os.Geteuid() == 0 {
		id := uint32(firstUID + os.Getpid())
		as = &syscall.Credential{Uid: id, Gid: id}
		if _, _, err := ask(as, idProgram); errors.Is(err, syscall.EINVAL) { // a user namespace that has no such number
			as = &syscall.Credential{Uid: Nobody, Gid: Nobody}
		}
	}
	said := map[Question]Said{}
	until := time.Now().Add(patience)
	for _, q := range questions {
		if time.Now().After(until) {
			return said, fmt.Errorf("the name services have not answered within %v", patience)
		}
		one, err := readSaid(strings.NewReader("0\t"+q.inquire(as)+"\n"), []Question{q})
		if err != nil {
			return said, err
		}
		said[q] = one[q]
	}
	return said, nil
}
