package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"deputy/internal/monitor/journal"
)

func newAudit(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Prove that the journal is as it was written",
		Long: `Prove that the journal is as it was written.

Each record holds the hash of the one before it. A head that was exported and kept
elsewhere proves all that came before it, against root of this machine too.`,
		Example: `  deputy audit export --head > /mnt/elsewhere/head
  deputy audit verify --head /mnt/elsewhere/head`,
		Annotations: map[string]string{exitStatus: plainStatus},
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return usage("deputy audit has no verb %q; see: deputy audit --help", args[0])
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newVerify(a), newExport(a))
	return cmd
}

func newVerify(a *app) *cobra.Command {
	var dir string
	var heads []string
	var outputs bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Follow the whole chain and name every fault",
		Long: `Follow the whole chain and name every fault: an edit, a cut or a reorder, with its
file and record. Without --head a consistent rewrite, or a cut of the end, by
root cannot be seen. The daemon may run meanwhile, or not at all. With --outputs
what is kept of each task's output is held against the digest in the record of
its end, too.`,
		Example: `  deputy audit verify
  deputy audit verify --head /mnt/elsewhere/head
  deputy audit verify --outputs
  deputy audit verify --journal ./state/journal --json`,
		Annotations: map[string]string{exitStatus: `0    the journal, and with --outputs the output, is as it was written
1    it is not, or it cannot be read
2    the command line is wrong`},
		Args: exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return verifyVerb(a, a.journal(cmd, dir), heads, outputs)
		},
	}
	cmd.Flags().StringVar(&dir, "journal", "", "the `DIR` of the journal; otherwise the daemon's")
	cmd.Flags().StringArrayVar(&heads, "head", nil, "an exported head: a `FILE` or its text (may be repeated)")
	cmd.Flags().BoolVar(&outputs, "outputs", false, "what is kept of the tasks' output, too")
	return cmd
}

func newExport(a *app) *cobra.Command {
	var dir string
	var head bool
	cmd := &cobra.Command{
		Use:   "export --head",
		Short: "Print the journal's head, to be kept elsewhere",
		Long: `Print the journal's head, to be kept where root of this machine cannot change it.
One line: deputy-head 1, the sequence number, the hash and the time of the last
record.`,
		Example: `  deputy audit export --head > /mnt/elsewhere/head
  deputy audit export --head --json`,
		Annotations: map[string]string{exitStatus: plainStatus},
		Args:        exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !head {
				return usage("deputy audit export needs --head: the head is what there is to export")
			}
			h, err := journal.Export(a.journal(cmd, dir))
			if err != nil {
				return a.journalHint(err)
			}
			if a.json {
				return a.printJSON(h)
			}
			_, err = fmt.Fprintln(a.out, h)
			return err
		},
	}
	cmd.Flags().StringVar(&dir, "journal", "", "the `DIR` of the journal; otherwise the daemon's")
	cmd.Flags().BoolVar(&head, "head", false, "the head: number, hash and time of the last record")
	return cmd
}

// journal finds the journal: the one named, the running daemon's, or that of a
// root install. What a daemon says is only where to look.
func (a *app) journal(cmd *cobra.Command, dir string) string {
	if dir != "" {
		return dir
	}
	if h, err := a.connect().Health(cmd.Context()); err == nil && h.StateDir != "" {
		return filepath.Join(h.StateDir, "journal")
	}
	return "/var/lib/deputy/journal"
}

func (a *app) journalHint(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w; the journal is for root, or the user of deputy up, alone", err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w; name the journal's folder with --journal", err)
	}
	return err
}

func verifyVerb(a *app, dir string, texts []string, outputs bool) error {
	heads, err := readHeads(texts)
	if err != nil {
		return err
	}
	r, err := journal.Verify(dir, heads, a.verifyProgress())
	if err != nil {
		return a.journalHint(err)
	}
	var kept *outputReport
	if outputs {
		if kept, err = verifyOutputs(dir); err != nil {
			return a.journalHint(err)
		}
	}
	if a.json {
		err = a.printJSON(struct {
			*journal.Report
			Outputs *outputReport `json:"outputs,omitempty"`
		}{r, kept})
	} else {
		a.printReport(dir, r, heads)
		if kept != nil {
			a.printOutputs(kept)
		}
	}
	if err == nil && (!r.OK() || kept != nil && len(kept.Changed) > 0) {
		err = silent(statusFailed)
	}
	return err
}

// readHeads takes each text for a head itself, or for a file of heads, one a line.
func readHeads(texts []string) ([]journal.Head, error) {
	var heads []journal.Head
	for _, text := range texts {
		if !strings.HasPrefix(strings.TrimSpace(text), "deputy-head") {
			content, err := os.ReadFile(text)
			if err != nil {
				return nil, fmt.Errorf("cannot read head: %w", err)
			}
			text = string(content)
		}
		for line := range strings.Lines(strings.TrimSpace(text)) {
			h, err := journal.ParseHead(strings.TrimSpace(line))
			if err != nil {
				return nil, err
			}
			heads = append(heads, h)
		}
	}
	return heads, nil
}

// verifyProgress shows on a terminal how far the reading is.
func (a *app) verifyProgress() func(done, total int64) {
	if !a.errTerm || a.json {
		return nil
	}
	s, last := &screen{a: a}, int64(-1)
	return func(done, total int64) {
		percent := done * 100 / max(total, 1)
		if percent == last {
			return
		}
		if last = percent; percent == 100 {
			s.setBar("")
			return
		}
		s.setBar(fmt.Sprintf("verifying: %d%%", percent))
	}
}

func (a *app) printReport(dir string, r *journal.Report, heads []journal.Head) {
	for _, f := range r.Faults {
		fmt.Fprintln(a.out, f)
	}
	if r.More > 0 {
		fmt.Fprintf(a.out, "and %d more\n", r.More)
	}
	for _, h := range r.Retired {
		fmt.Fprintf(a.out, "not checked: the head of record %d, which retention has deleted\n", h.Seq)
	}
	verdict := a.style(a.outTerm, green, "good:")
	if !r.OK() {
		verdict = a.style(a.outTerm, red, "not as it was written:")
	}
	fmt.Fprintf(a.out, "%s %s: records %d to %d, segments: %d\n", verdict, dir, r.First, r.Head.Seq, r.Segments)
	if r.Torn > 0 {
		fmt.Fprintf(a.out, "the last %d bytes are a record that is being written, or that a crash cut\n", r.Torn)
	}
	if r.OK() && len(heads) == 0 {
		fmt.Fprintln(a.out, "without --head, a consistent rewrite or a cut of the end by root cannot be seen")
	}
}
