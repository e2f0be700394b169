// Command pages writes the manual pages of deputy's files, deputy.toml(5) and
// deputy-manifest(5), from docs/manifest.md, so that there is one text of each key:
//
//	go run ./packaging/pages docs/manifest.md docs/man
//
//go:generate go run . ../../docs/manifest.md ../../docs/man
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

func main() {
	if err := write(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "pages:", err)
		os.Exit(1)
	}
}

func write(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("the document and the folder of the pages are wanted, not %d arguments", len(args))
	}
	document, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	for name, text := range Pages(string(document)) {
		if err := os.WriteFile(filepath.Join(args[1], name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// Pages gives both pages by their file names.
func Pages(document string) map[string]string {
	manifest, settings, _ := strings.Cut(document, "\n## deputy.toml\n")
	_, manifest, _ = strings.Cut(manifest, "\n")
	return map[string]string{
		"deputy-manifest.5": page("deputy-manifest", "what may be asked of deputy, and by whom", manifest),
		"deputy.toml.5":     page("deputy.toml", "the settings of deputy", settings),
	}
}

func page(name, short, text string) string {
	p := &roff{}
	p.line(`.TH %s 5 "" deputy "deputy manual"`, escape(strings.ToUpper(name)))
	p.line(".SH NAME\n%s \\- %s", escape(name), short)
	p.line(".SH DESCRIPTION")
	for _, block := range strings.Split(strings.TrimSpace(text), "\n\n") {
		p.block(strings.TrimSpace(block))
	}
	p.line(".SH SEE ALSO")
	other := "deputy.toml"
	if name == other {
		other = "deputy-manifest"
	}
	p.line(".BR deputy (1),\n.BR deputy\\-check (1),\n.BR %s (5),\n.BR deputyd (8)", escape(other))
	return p.b.String()
}

// roff is a page being written, as man(7) has it.
type roff struct {
	b     strings.Builder
	fence bool // inside a block of code, which may hold empty lines
}

func (p *roff) line(format string, args ...any) { fmt.Fprintf(&p.b, format+"\n", args...) }

// block writes what stands between two empty lines.
func (p *roff) block(text string) {
	if !p.fence && !strings.HasPrefix(text, "#") && !strings.HasPrefix(text, "<!--") && !strings.HasPrefix(text, "```") {
		p.line(".PP")
	} else if p.fence {
		p.line("")
	}
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		switch {
		case strings.HasPrefix(l, "```"):
			if p.fence = !p.fence; p.fence {
				p.line(".PP\n.RS 4\n.nf")
			} else {
				p.line(".fi\n.RE")
			}
		case p.fence:
			p.text(escape(l))
		case strings.HasPrefix(l, "<!--"), strings.HasPrefix(l, "|---"), i+1 < len(lines) && strings.HasPrefix(lines[i+1], "|---"):
			// a mark, or the head of a table
		case strings.HasPrefix(l, "|"):
			p.row(strings.Split(strings.ReplaceAll(strings.Trim(l, "| "), "| |", "|  |"), " | "))
		case strings.HasPrefix(l, "#"):
			_, title, _ := strings.Cut(l, " ")
			p.line("%s %s", map[bool]string{true: ".SH", false: ".SS"}[strings.HasPrefix(l, "## ")], escape(strings.ToUpper(title[:1])+title[1:]))
		case strings.HasPrefix(l, "- "):
			p.line(`.IP \(bu 2`)
			p.text(inline(l[2:]))
		default:
			p.text(inline(strings.TrimSpace(l)))
		}
	}
}

// row writes a row of a table: its first column names what the last one explains. Where
// there are four the first is the table of deputy.toml that the key stands in.
func (p *roff) row(columns []string) {
	name, last := plain(columns[0]), len(columns)-1
	if last == 3 {
		name = "[" + strings.Join(strings.Split(name, ", "), "], [") + "] " + plain(columns[1])
		columns, last = columns[1:], 2
	}
	p.line(".TP")
	p.text(`\fB` + name + `\fR`)
	for _, c := range columns[1:last] {
		if c = strings.TrimSpace(c); c != "" {
			p.text("(" + inline(c) + ")")
		}
	}
	p.text(inline(strings.TrimSpace(columns[last])))
}

// text writes one line; one that begins with a control character is shielded.
func (p *roff) text(l string) {
	if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
		l = `\&` + l
	}
	p.line("%s", l)
}

func escape(text string) string { return strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text) }

var (
	link = regexp.MustCompile(`\[([^\]]+)\]\([^)]+\)`)
	code = regexp.MustCompile("`([^`]+)`")
)

// plain is text without its marks; inline has code in bold.
func plain(text string) string { return escape(strings.ReplaceAll(text, "`", "")) }

func inline(text string) string {
	text = escape(link.ReplaceAllString(text, "$1"))
	text = strings.ReplaceAll(text, "**", "")
	return code.ReplaceAllString(text, `\fB$1\fR`)
}
