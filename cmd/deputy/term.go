package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/rivo/uniseg"

	"deputy"
)

// A colour is a parameter of the SGR control sequence (ECMA-48, 8.3.117).
type colour string

const (
	bold   colour = "1"
	red    colour = "31"
	green  colour = "32"
	yellow colour = "33"
	faint  colour = "2"
)

// style colours text on a terminal, unless NO_COLOR says no (no-color.org).
func (a *app) style(terminal bool, c colour, text string) string {
	if c == "" || text == "" || !terminal || a.getenv("NO_COLOR") != "" || a.getenv("TERM") == "dumb" {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// stateColour tells a state at a glance.
func stateColour(s deputy.State) colour {
	switch s {
	case deputy.Running, deputy.Stopping:
		return yellow
	case deputy.Succeeded:
		return green
	case deputy.Failed, deputy.TimedOut, deputy.Expired, deputy.Rejected, deputy.Unknown:
		return red
	}
	return ""
}

// cell is one field of a table.
type cell struct {
	text   string
	colour colour
}

// table writes rows under a heading on a terminal. In a pipe there is no
// heading and no padding: fields are set apart by one tab.
func (a *app) table(heading []string, rows [][]cell) {
	if !a.outTerm {
		for _, row := range rows {
			fields := make([]string, len(row))
			for i, c := range row {
				fields[i] = printable(c.text)
			}
			fmt.Fprintln(a.out, strings.Join(fields, "\t"))
		}
		return
	}
	all := [][]cell{make([]cell, len(heading))}
	for i, h := range heading {
		all[0][i] = cell{h, bold}
	}
	all = withoutEmpty(append(all, rows...))
	width := fit(all, a.columns())
	for _, row := range all {
		fmt.Fprintln(a.out, a.tableLine(row, width))
	}
}

// withoutEmpty leaves out each column that has a heading alone.
func withoutEmpty(all [][]cell) [][]cell {
	keep := make([]bool, len(all[0]))
	for _, row := range all[1:] {
		for i, c := range row {
			keep[i] = keep[i] || c.text != ""
		}
	}
	if len(all) == 1 {
		return all
	}
	kept := make([][]cell, len(all))
	for r, row := range all {
		for i, c := range row {
			if keep[i] {
				kept[r] = append(kept[r], c)
			}
		}
	}
	return kept
}

// gutter is the room between two columns; narrowest is how narrow a column is made
// at the most, but for one that needs no more.
const gutter, narrowest = 2, 8

// fit gives the widths of columns that fit a terminal: the widest is narrowed first,
// and the first, which names the row, never.
func fit(all [][]cell, columns int) []int {
	width := make([]int, len(all[0]))
	total := -gutter
	for i := range width {
		for _, row := range all {
			width[i] = max(width[i], screenWidth(printable(row[i].text)))
		}
		total += width[i] + gutter
	}
	for ; total > columns; total-- {
		widest := 0
		for i := 1; i < len(width); i++ {
			if width[i] > narrowest && (widest == 0 || width[i] >= width[widest]) {
				widest = i
			}
		}
		if widest == 0 {
			break
		}
		width[widest]--
	}
	return width
}

// tableLine pads each field to its column, or cuts it.
func (a *app) tableLine(row []cell, width []int) string {
	var b strings.Builder
	blanks := 0
	for i, c := range row {
		text := cut(printable(c.text), width[i])
		if text != "" {
			b.WriteString(strings.Repeat(" ", blanks) + a.style(a.outTerm, c.colour, text))
			blanks = 0
		}
		blanks += width[i] - screenWidth(text) + gutter
	}
	return b.String()
}

// screenWidth is how many columns of a terminal a text takes.
func screenWidth(text string) int { return uniseg.StringWidth(text) }

// cut shortens text to n columns.
func cut(text string, n int) string {
	if screenWidth(text) <= n {
		return text
	}
	var b strings.Builder
	state, used := -1, 0
	for rest := text; rest != ""; {
		var one string
		var width int
		one, rest, width, state = uniseg.FirstGraphemeClusterInString(rest, state)
		if used += width; used > n-1 {
			break
		}
		b.WriteString(one)
	}
	return b.String() + "…"
}

// printable keeps what others wrote from moving the cursor or breaking a line.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, text)
}

// printJSON writes v as indented JSON.
func (a *app) printJSON(v any) error { return writeJSON(a.out, v, "  ") }

// jsonLine writes v as one line of JSON.
func jsonLine(w io.Writer, v any) error { return writeJSON(w, v, "") }

func writeJSON(w io.Writer, v any, indent string) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("cannot write JSON: %w", err)
	}
	return nil
}
