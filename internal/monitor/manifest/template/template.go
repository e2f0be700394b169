// Package template holds the texts of a manifest in which values may stand:
// "{name}" is one whole value inside one argument and can never become two.
package template

// Text is a parsed template like "--unit={unit}".
type Text struct {
	parts []part
}

type part struct {
	literal string
	name    string // a placeholder when not empty
}

// Command is a program and its arguments.
type Command struct {
	elements []element
}

// element is one argument, a list expansion "{names...}", or a group of
// elements that is left out whole when a param in it has no value.
type element struct {
	text   *Text
	spread string
	group  []element
}
