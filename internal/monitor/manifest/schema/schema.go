// Package schema declares and checks parameter values, in JSON Schema's words.
package schema

import "regexp"

// Param is one declared parameter.
type Param struct {
	Name        string
	Description string
	Type        string // string, integer, number, boolean, array, object (an array's items only)

	Enum       []any // values of Type
	Const      any
	Default    any
	Pattern    *regexp.Regexp // anchored
	Minimum    any            // int64 or float64, as Type
	Maximum    any
	MinLength  *int // characters
	MaxLength  *int
	MinItems   *int
	MaxItems   *int
	Unique     bool
	Items      *Param
	Properties map[string]*Param // of an object
	Formats    []string          // any one of them must hold
	Under      string            // for format path: an absolute directory

	Optional  bool
	Multiline bool
	Sensitive bool
	AllowDash bool
}
