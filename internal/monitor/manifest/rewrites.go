package manifest

import (
	"regexp"
	"strings"

	"deputy/internal/monitor/look"
)

// scriptSize is how much of a script is read for what is only a warning, in bytes.
const scriptSize = 64 << 10

// cutting matches what opens an output anew so that what was written there is cut:
// `> /dev/stderr` and `tee /dev/stderr`, not `>>`, `>&2` or `<>`, nor the quoted
// name of awk, which means the descriptor by it.
var cutting = regexp.MustCompile(`(?:^|[^<>])>\|?[ \t]*(?:/dev/std(?:out|err)|/dev/fd/[12]|/proc/self/fd/[12])\b|\btee[ \t]+/dev/std(?:out|err)\b`)

// warnOfCuts warns where a script does away with what it wrote before: of the text
// that stands in the command, and of the scripts that it names.
func (l *loader) warnOfCuts(d *draft, c *code) {
	if c.action.Command == nil {
		return
	}
	const why = "which cuts what was written there before: write >&2, or >> and the name"
	for i, e := range c.action.Command.Elements() {
		if len(e.Names) > 0 {
			continue
		}
		if _, what := cutIn(e.Lead); what != "" {
			l.warn(d.elements[i], "it has %q, %s", what, why)
			continue
		}
		if line, what := c.cutInFile(inside(c.action.Directory, e.Lead)); what != "" {
			l.warn(d.elements[i], "line %d of %s has %q, %s", line, e.Lead, what, why)
		}
	}
}

// cutInFile looks into a file that was found to be code. One that cannot be read
// now, or is no text, is not warned about.
func (c *code) cutInFile(path string) (line int, what string) {
	if !c.judged[path] {
		return 0, ""
	}
	for _, size := range []int{look.Script, scriptSize} { // so much of a program is in memory
		s, err := c.eyes.See(look.Want{Path: path, Head: size})
		if err != nil || len(s.Head) == 0 || strings.ContainsRune(string(s.Head), 0) {
			return 0, ""
		}
		if line, what = cutIn(string(s.Head)); what != "" || len(s.Head) < size {
			return line, what
		}
	}
	return 0, ""
}

// cutIn finds the first cut in a script's text.
func cutIn(text string) (line int, what string) {
	for code := range strings.Lines(text) {
		line++
		if strings.HasPrefix(strings.TrimLeft(code, " \t"), "#") {
			continue
		}
		if at := cutting.FindStringIndex(code); at != nil {
			return line, strings.TrimLeft(code[at[0]:at[1]], " \t;&|12")
		}
	}
	return 0, ""
}
