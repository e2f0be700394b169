//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// row is one figure. What limits it, and what it should reach, stand in the
// same line.
type row struct {
	Name   string  `json:"name"`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit"`
	Note   string  `json:"note,omitempty"`
	Ratio  float64 `json:"ratio,omitempty"`  // to the figure that Beside names
	Beside string  `json:"beside,omitempty"` // a limit, measured in the same run
	Target *target `json:"target,omitempty"`
}

// target is what section 10 of the design promises.
type target struct {
	Want    string `json:"want"` // "at least 0.35 of it"
	Reached bool   `json:"reached"`
}

func (r row) note(format string, args ...any) row {
	r.Note = fmt.Sprintf(format, args...)
	return r
}

func (r row) of(ratio float64, beside string) row {
	r.Ratio, r.Beside = ratio, beside
	return r
}

// ratioAtLeast holds r's ratio to its limit against what it should be.
func (r row) ratioAtLeast(least float64) row {
	r.Target = &target{fmt.Sprintf("≥ %.2f ×", least), r.Ratio >= least}
	return r
}

func (r row) ratioAtMost(most float64) row {
	r.Target = &target{fmt.Sprintf("≤ %.2f ×", most), r.Ratio <= most}
	return r
}

func (r row) atMost(most float64) row {
	r.Target = &target{"≤ " + number(most) + " " + r.Unit, r.Value <= most}
	return r
}

func (r row) atLeast(least float64) row {
	r.Target = &target{"≥ " + number(least) + " " + r.Unit, r.Value >= least}
	return r
}

// microseconds, milliseconds and mebibytes are rows in these units.
func microseconds(name string, d time.Duration) row {
	return row{Name: name, Value: float64(d) / float64(time.Microsecond), Unit: "µs"}
}

func milliseconds(name string, d time.Duration) row {
	return row{Name: name, Value: float64(d) / float64(time.Millisecond), Unit: "ms"}
}

func mebibytes(name string, bytes int64) row {
	return row{Name: name, Value: float64(bytes) / (1 << 20), Unit: "MiB"}
}

func perSecond(name string, n float64) row { return row{Name: name, Value: n, Unit: "/s"} }

// report prints what was measured as it comes, and keeps it.
type report struct {
	out             io.Writer
	Machine         string    `json:"machine"`
	Time            time.Time `json:"time"`
	Parts           []part    `json:"measurements"`
	reached, missed int
}

type part struct {
	Name  string `json:"name"`
	About string `json:"about"`
	Rows  []row  `json:"rows"`
}

func newReport(out io.Writer) *report { return &report{out: out, Time: time.Now().UTC()} }

func (r *report) begin(b *bench) {
	var u unix.Utsname
	_ = unix.Uname(&u) // cannot fail: the address is good
	r.Machine = fmt.Sprintf("Linux %s, %d cores, %s, %s on %s",
		unix.ByteSliceToString(u.Release[:]), runtime.NumCPU(), runtime.Version(), b.proof(), fileSystem(b.disk))
	fmt.Fprintln(r.out, r.Machine)
}

func (r *report) add(m measurement, rows []row) {
	r.Parts = append(r.Parts, part{m.name, m.about, rows})
	fmt.Fprintf(r.out, "\n%s: %s\n", m.name, m.about)
	for _, row := range rows {
		if row.Target != nil && row.Target.Reached {
			r.reached++
		} else if row.Target != nil {
			r.missed++
		}
		fmt.Fprintln(r.out, row)
	}
}

func (r *report) end() {
	fmt.Fprintf(r.out, "\n%d targets reached, %d missed\n", r.reached, r.missed)
}

func (r *report) write(file string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = os.WriteFile(file, append(text, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("cannot write the figures: %w", err)
	}
	return nil
}

// String is the row's line of the table.
func (r row) String() string {
	line := fmt.Sprintf("  %-56s %9s %-4s", r.Name, number(r.Value), r.Unit)
	if r.Beside != "" {
		line += fmt.Sprintf("  %s × %s", number(r.Ratio), r.Beside)
	}
	if r.Note != "" {
		line += "  " + r.Note
	}
	if r.Target != nil {
		verdict := "missed"
		if r.Target.Reached {
			verdict = "reached"
		}
		line += fmt.Sprintf("  target %s: %s", r.Target.Want, verdict)
	}
	return strings.TrimRight(line, " ")
}

// number writes x with three digits that mean something, and commas between
// thousands.
func number(x float64) string {
	switch {
	case x < 10:
		return strings.TrimSuffix(strconv.FormatFloat(x, 'f', 2, 64), ".00")
	case x < 100:
		return strings.TrimSuffix(strconv.FormatFloat(x, 'f', 1, 64), ".0")
	}
	s := strconv.FormatFloat(x, 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func fileSystem(dir string) string {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return "an unknown file system"
	}
	switch int64(st.Type) {
	case unix.EXT4_SUPER_MAGIC:
		return "ext4"
	case unix.XFS_SUPER_MAGIC:
		return "xfs"
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs"
	case unix.TMPFS_MAGIC:
		return "tmpfs (syncing costs nothing there: give --dir)"
	}
	return fmt.Sprintf("file system %#x", st.Type)
}
