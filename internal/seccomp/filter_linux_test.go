package seccomp

import (
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"
)

// call is struct seccomp_data.
type call struct {
	number, arch uint32
	args         [6]uint64
}

func (c call) word(at uint32) uint32 {
	switch {
	case at == atNumber:
		return c.number
	case at == atArch:
		return c.arch
	}
	return uint32(c.args[(at-atArgs)/8] >> (at % 8 * 8))
}

// run executes a program as the kernel would.
func run(t *testing.T, program []unix.SockFilter, c call) Action {
	t.Helper()
	var a uint32
	for at := 0; at < len(program); at++ {
		switch i := program[at]; i.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			a = c.word(i.K)
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			a &= i.K
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			if a == i.K {
				at += int(i.Jt)
			} else {
				at += int(i.Jf)
			}
		case unix.BPF_RET | unix.BPF_K:
			return Action(i.K)
		default:
			t.Fatalf("instruction %d: %+v", at, i)
		}
	}
	t.Fatal("the program has no end")
	return 0
}

// decide is what the rules say, read one by one.
func decide(rules []Rule, otherwise Action, c call) Action {
	if c.arch != arch {
		return Kill
	}
	for _, r := range rules {
		for _, number := range r.Calls {
			matches := uint32(number) == c.number
			for _, a := range r.Args {
				matches = matches && c.args[a.Index]&a.Mask == a.Value
			}
			if matches {
				return r.Do
			}
		}
	}
	return otherwise
}

// A program decides as its rules say, for random rules and calls that are often
// close to them.
func TestAssemble(t *testing.T) {
	if arch == 0 {
		t.Skip("there is no filter on this architecture")
	}
	r := rand.New(rand.NewPCG(1, 2))
	value := func() uint64 { return []uint64{0, 1, 4, 1 << 31, 1 << 32, 1<<32 + 1, Whole}[r.IntN(7)] }
	seen := map[Action]int{}
	for range 500 {
		var rules []Rule
		for range 1 + r.IntN(8) {
			rule := Rule{Do: []Action{Allow, Kill, Lacks}[r.IntN(3)]}
			for range 1 + r.IntN(3) {
				rule.Calls = append(rule.Calls, uintptr(r.IntN(6)))
			}
			for range r.IntN(3) {
				mask := value()
				rule.Args = append(rule.Args, Arg{Index: r.IntN(6), Mask: mask, Value: value() & mask})
			}
			rules = append(rules, rule)
		}
		program, err := Assemble(rules, Lacks)
		if err != nil {
			t.Fatal(err)
		}
		for range 200 {
			c := call{number: uint32(r.IntN(7)), arch: arch}
			if r.IntN(50) == 0 {
				c.arch++
			}
			for i := range c.args {
				c.args[i] = value()
			}
			want := decide(rules, Lacks, c)
			if got := run(t, program, c); got != want {
				t.Fatalf("%+v of %+v: %#x, want %#x", c, rules, got, want)
			}
			seen[want]++
		}
	}
	if len(seen) != 3 {
		t.Errorf("the calls were decided in %d ways", len(seen))
	}
}

// A filter that is too long is refused by us, with a reason.
func TestTooLong(t *testing.T) {
	rule := Rule{Calls: make([]uintptr, unix.BPF_MAXINSNS), Do: Allow}
	if _, err := Assemble([]Rule{rule}, Kill); err == nil {
		t.Error("a filter of more instructions than the kernel takes")
	}
}
