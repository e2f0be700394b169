package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"deputy/internal/rootonly"
)

//go:generate go run . man ../../docs/man

// newMan is a hidden verb: packagers, and the test that the pages are current.
func newMan(a *app) *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR",
		Short:  "Write the manual pages",
		Hidden: true,
		Args:   exactly(1, "the folder for the pages"),
		RunE: func(cmd *cobra.Command, args []string) error {
			folder, err := rootonly.Open(args[0], 0)
			if err != nil {
				return fmt.Errorf("cannot write the manual pages: %w", err)
			}
			defer folder.Close()
			for name, text := range manPages(cmd.Root()) {
				if err := folder.Replace(name, []byte(text), 0o644); err != nil {
					return fmt.Errorf("cannot write a manual page: %w", err)
				}
			}
			return nil
		},
	}
}

// manPages gives every page by its file name, like "deputy-run.1".
func manPages(root *cobra.Command) map[string]string {
	pages := map[string]string{}
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Hidden {
			return
		}
		pages[manName(cmd)+".1"] = manPage(cmd)
		for _, c := range cmd.Commands() {
			walk(c)
		}
	}
	walk(root)
	return pages
}

func manName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// manPage writes one verb as man(7). No date and no version stand in it: the
// page changes only with what it says.
func manPage(cmd *cobra.Command) string {
	p := &roff{}
	p.macro(".TH %s 1 \"\" deputy \"deputy manual\"", escape(strings.ToUpper(manName(cmd))))
	p.section("NAME")
	p.text(manName(cmd) + ` \- ` + escape(lowerFirst(cmd.Short)))
	p.section("SYNOPSIS")
	p.macro(".B %s", escape(cmd.CommandPath()))
	p.text(escape(strings.TrimSpace(strings.TrimPrefix(useLine(cmd), cmd.CommandPath()))))
	p.section("DESCRIPTION")
	p.prose(longOf(cmd))
	p.verbs(cmd)
	p.options(visibleFlags(cmd))
	if text := cmd.Annotations[exitStatus]; text != "" {
		p.section("EXIT STATUS")
		p.verbatim(text)
	}
	if !cmd.HasParent() {
		p.environment()
	}
	if cmd.Example != "" {
		p.section("EXAMPLES")
		p.verbatim(cmd.Example)
	}
	p.seeAlso(cmd)
	return p.b.String()
}

func lowerFirst(text string) string { return strings.ToLower(text[:1]) + text[1:] }

// roff is a page being written.
type roff struct{ b strings.Builder }

// escape keeps text from being read as roff: a backslash, and "-" that stands
// for the ASCII character.
func escape(text string) string {
	return strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
}

func (p *roff) macro(format string, args ...any) { fmt.Fprintf(&p.b, format+"\n", args...) }
func (p *roff) section(name string)              { p.macro(".SH %s", name) }

// text writes one line; one that begins with a control character is shielded.
func (p *roff) text(line string) {
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
		line = `\&` + line
	}
	p.b.WriteString(line + "\n")
}

// prose writes paragraphs, which an empty line sets apart.
func (p *roff) prose(text string) {
	for i, paragraph := range strings.Split(text, "\n\n") {
		if i > 0 {
			p.macro(".PP")
		}
		for line := range strings.SplitSeq(paragraph, "\n") {
			p.text(escape(strings.TrimSpace(line)))
		}
	}
}

// verbatim writes lines as they are.
func (p *roff) verbatim(text string) {
	p.macro(".nf")
	for line := range strings.SplitSeq(text, "\n") {
		p.text(escape(strings.TrimPrefix(line, "  ")))
	}
	p.macro(".fi")
}

func (p *roff) verbs(cmd *cobra.Command) {
	if !cmd.HasAvailableSubCommands() {
		return
	}
	p.section("VERBS")
	for _, c := range cmd.Commands() {
		if !c.Hidden {
			p.macro(".TP")
			p.macro(".BR %s (1)", escape(manName(c)))
			p.text(escape(c.Short))
		}
	}
}

func (p *roff) options(flags []*pflag.Flag) {
	if len(flags) == 0 {
		return
	}
	p.section("OPTIONS")
	for _, f := range flags {
		_, text := pflag.UnquoteUsage(f)
		p.macro(".TP")
		p.macro(".B %s", escape(flagName(f)))
		p.text(escape(text))
	}
}

func (p *roff) environment() {
	p.section("ENVIRONMENT")
	for _, v := range [][2]string{
		{"DEPUTY_SOCKET", "The socket of the daemon, where --socket does not name one."},
		{"XDG_RUNTIME_DIR", "The daemon is looked for at deputy/deputy.sock beneath it, if that is yours; then at /run/deputy/deputy.sock. Root asks only a daemon that root runs."},
		{"XDG_STATE_HOME, HOME", "deputy up keeps its state at deputy beneath XDG_STATE_HOME, else at .local/state/deputy beneath HOME."},
		{"DEPUTY_NOTIFY_SOCKET", "Where deputy progress tells its task's progress; every task has it."},
		{"NO_COLOR", "No colour, whatever its value."},
		{"TERM", "No colour where it is dumb."},
	} {
		p.macro(".TP")
		p.macro(".B %s", escape(v[0]))
		p.text(escape(v[1]))
	}
}

// seeAlso names the pages above and beside.
func (p *roff) seeAlso(cmd *cobra.Command) {
	p.section("SEE ALSO")
	if cmd.HasParent() {
		p.macro(".BR %s (1)", escape(manName(cmd.Parent())))
		return
	}
	p.macro(".BR deputyd (8),")
	p.macro(".BR deputy.toml (5),")
	p.macro(".BR deputy\\-manifest (5)")
}
