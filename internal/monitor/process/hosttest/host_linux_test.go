package hosttest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"deputy"
	"deputy/internal/monitor/process"
	"deputy/test/rig"
)

func TestCgroups(t *testing.T) {
	rig.NeedRoot(t)
	s := linux(process.ProofCgroup)
	s.Newborn = true
	Run(t, s)
}

func TestSubreapers(t *testing.T) {
	s := linux(process.ProofSubreaper)
	s.Lingers = true
	if os.Geteuid() != 0 {
		s.Hang = nil // what hangs is a mount, which only root makes
	}
	Run(t, s)
}

func linux(proof string) System {
	return System{
		Machine: func(t *testing.T) Machine {
			r := newReal(t)
			r.options.ForceFallback = proof == process.ProofSubreaper
			r.options.Instance = fmt.Sprint("conformance", os.Getpid())
			return &proven{r, proof}
		},
		Exits:  []deputy.Exit{{Signal: "SIGKILL"}, {Signal: "SIGABRT"}, {Signal: "SIG40"}},
		Killed: deputy.Exit{Signal: "SIGKILL"},
		Owned:  true,
		Unborn: unbornOnLinux,
		Hang: func(t *testing.T, s *process.Spec) func() {
			s.Dir = t.TempDir()
			return rig.Hang(t, s.Dir)
		},
	}
}

// proven is a machine whose hosts hold trees as they are to.
type proven struct {
	*real
	proof string
}

func (p *proven) Open(events func(process.Event)) (Host, error) {
	h, err := p.real.Open(events)
	if err != nil {
		return nil, err
	}
	if got := h.(*process.Host); got.Proof() != p.proof {
		_ = got.Close(false) // what it holds is limited in number: fs.inotify.max_user_instances
		return nil, fmt.Errorf("the proof is %s, not %s: %s", got.Proof(), p.proof, got.Weakness())
	}
	return h, nil
}

func unbornOnLinux(t *testing.T) map[string]Unborn {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	true16 := slices.Repeat([]process.File{{Under: "/etc", Path: "passwd"}}, 16)
	return map[string]Unborn{
		"missing":     {process.Spec{Argv: []string{dir + "/none"}}, process.ErrNotFound, "cannot start " + dir + "/none: no such file or directory"},
		"beneath":     {process.Spec{Argv: []string{"/etc/passwd/x"}}, process.ErrNotFound, "cannot start /etc/passwd/x: not a directory"},
		"interpreter": {process.Spec{Argv: []string{write("script", "#!/none\n", 0o755)}}, process.ErrNotFound, "cannot start " + dir + "/script: the interpreter it names: no such file or directory"},
		"mode":        {process.Spec{Argv: []string{write("plain", "", 0o644)}}, process.ErrNotExecutable, "cannot start " + dir + "/plain: permission denied"},
		"format":      {process.Spec{Argv: []string{write("format", "nonsense", 0o755)}}, process.ErrNotExecutable, "cannot start " + dir + "/format: exec format error"},
		"directory":   {process.Spec{Argv: []string{dir}}, process.ErrNotExecutable, "cannot start " + dir + ": permission denied"},
		"wrong dir":   {process.Spec{Argv: []string{"/bin/true"}, Dir: dir + "/none"}, process.ErrNotStarted, "cannot start /bin/true: its directory " + dir + "/none: no such file or directory"},
		"too long":    {process.Spec{Argv: []string{"/bin/true", strings.Repeat("x", 4<<20)}}, process.ErrNotExecutable, "cannot start /bin/true: argument list too long"},
		"many files":  {process.Spec{Argv: []string{"/bin/true"}, Files: append(true16, true16[0])}, process.ErrNotStarted, "cannot start /bin/true: 17 files are too many: a task can be handed 16"},
		"last file":   {process.Spec{Argv: []string{"/bin/true"}, Files: append(slices.Clone(true16[1:]), process.File{Under: "/etc", Path: "none"})}, process.ErrNotStarted, "cannot start /bin/true: cannot open none beneath /etc: no such file or directory"},
	}
}
