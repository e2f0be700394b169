package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

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
	case deputy.Failed, deputy.TimedOut, deputy.Unknown:
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
	width := make([]int, len(heading))
	all := [][]cell{make([]cell, len(heading))}
	for i, h := range heading {
		all[0][i] = cell{h, bold}
	}
	all = append(all, rows...)
	for _, row := range all {
		for i, c := range row {
			width[i] = max(width[i], utf8.RuneCountInString(printable(c.text)))
		}
	}
	for _, row := range all {
		fmt.Fprintln(a.out, a.tableLine(row, width))
	}
}

// tableLine pads each field to its column, and cuts the last to the terminal.
func (a *app) tableLine(row []cell, width []int) string {
	var b strings.Builder
	used := 0
	for i, c := range row {
		text := printable(c.text)
		last := i == len(row)-1
		if last {
			text = cut(text, max(a.width-used, 8))
		}
		b.WriteString(a.style(a.outTerm, c.colour, text))
		if !last {
			b.WriteString(strings.Repeat(" ", width[i]-utf8.RuneCountInString(text)+2))
			used += width[i] + 2
		}
	}
	return strings.TrimRight(b.String(), " ")
}

// cut shortens text to n characters.
func cut(text string, n int) string {
	if utf8.RuneCountInString(text) <= n {
		return text
	}
	return string([]rune(text)[:n-1]) + "…"
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
