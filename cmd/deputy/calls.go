package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// calls shows how the action is asked for from a shell, PHP, Python and curl, if
// anybody may. Each runs as it stands.
func (d *draft) calls(socket, path string) string {
	if len(d.allow) == 0 {
		return fmt.Sprintf("\nNobody may ask for it yet. Name who may at the end of %s, then: deputy reload\n", path)
	}
	var shell, php, python, body []string
	for _, p := range d.params {
		v := p.sample()
		shell = append(shell, " "+shellQuote(p.name+"="+words(v)))
		php = append(php, phpQuote(p.name)+" => "+phpValue(v))
		python = append(python, jsonText(p.name)+": "+pythonValue(v))
		body = append(body, jsonText(p.name)+": "+jsonText(v))
	}
	var phpAt, pythonAt string
	if socket != rootSocket { // where clients ask that are told nothing
		phpAt, pythonAt = phpQuote(socket), jsonText(socket)
	}
	return fmt.Sprintf(`
Ask for it:

  shell   deputy run %s %s%s

  PHP     require %s;
          $deputy = new Deputy(%s);
          $r = $deputy->run('%s', '%s', [%s]);

  Python  import sys; sys.path.append(%s)
          from deputy import Deputy
          deputy = Deputy(%s)
          r = deputy.run("%s", "%s", {%s})

  curl    curl --unix-socket %s -H 'Content-Type: application/json' \
            -d %s 'http://deputy/v1/actions/%s/%s?wait=30&output=65536'
`, d.module, d.action, strings.Join(shell, ""),
		phpQuote(clientFile("php", "Deputy.php")), phpAt, d.module, d.action, strings.Join(php, ", "),
		jsonText(filepath.Dir(clientFile("python", "deputy.py"))), pythonAt, d.module, d.action, strings.Join(python, ", "),
		shellQuote(socket), shellQuote("{"+strings.Join(body, ", ")+"}"), d.module, d.action)
}

// clientFile finds a client's file: as it is installed, or in the source beside bin.
func clientFile(folder, name string) string {
	installed := "/usr/share/deputy/clients/" + name
	self, err := os.Executable()
	if err != nil {
		return installed
	}
	above := filepath.Dir(filepath.Dir(self))
	for _, path := range []string{filepath.Join(above, "share/deputy/clients", name), filepath.Join(above, "clients", folder, name)} {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return installed
}

// sample gives a value.
func (p draftParam) sample() any {
	text := "VALUE"
	if p.bound != "" && !p.pattern() {
		text = p.values()[0]
	}
	switch p.kind {
	case "integer", "number":
		if text == "VALUE" {
			text = "1"
		}
		return json.Number(text)
	case "boolean":
		return true
	case "array":
		return []string{text}
	}
	return text
}

// words is a value as the command line takes it.
func words(v any) string {
	if list, is := v.([]string); is {
		return list[0]
	}
	return fmt.Sprint(v)
}

func jsonText(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // text, numbers, lists of text
	return strings.TrimSpace(b.String())
}

// pythonValue is a value in Python, which writes all but true as JSON does.
func pythonValue(v any) string {
	if v == true {
		return "True"
	}
	return jsonText(v)
}

func phpValue(v any) string {
	switch v := v.(type) {
	case string:
		return phpQuote(v)
	case []string:
		return "[" + phpQuote(v[0]) + "]"
	}
	return jsonText(v)
}

func phpQuote(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(text) + "'"
}

// shellQuote writes a word so that a shell reads it as it is.
func shellQuote(text string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-"
	if text != "" && strings.Trim(text, plain) == "" {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
