// Package modules holds the modules that ship with deputy, and writes them out
// as the configuration that `deputy up` uses when it is given none: two modules
// to try, and one rule that allows them to whoever runs it.
package modules

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

//go:embed scan/scan.toml scan/scan.py portscan/portscan.toml
var shipped embed.FS

// Programs are the absolute paths of what the modules run; "" where there is none.
type Programs struct {
	Python   string // a Python 3
	Portscan string // deputy-portscan
}

const (
	dirMode  = 0o755
	fileMode = 0o644
)

const configText = `# The configuration of "deputy up" without --config, written anew at each start.
# Every setting has a default, so nothing needs to stand here. To make one of
# your own, copy this folder and start with: deputy up --config FOLDER
#
#   modules.d/   what may be asked for: one manifest for each module
#   allow.d/     who may ask for it
#   keys/        signing keys, for callers that come over a network

[listen]
# http = ["127.0.0.1:7667"]    # HTTP on loopback as well, for requests signed with a key
`

// module is one that ships: its manifest, and what stands for a path in it.
type module struct {
	name     string // as callers say it
	manifest string // in shipped
	paths    map[string]string
}

// Write makes dir the example configuration: deputy.toml, allow.d, modules.d
// and programs. A module whose program does not exist is left out, and a note
// says which and why. Files that are as they should be are not touched.
func Write(dir string, programs Programs) (notes []string, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot write the example configuration: %w", err)
	}
	notes, err = write(dir, programs)
	if err != nil {
		return nil, fmt.Errorf("cannot write the example configuration: %w", err)
	}
	return notes, nil
}

func write(dir string, programs Programs) (notes []string, err error) {
	for _, sub := range []string{"", "modules.d", "allow.d", "programs"} {
		if err := makeDir(filepath.Join(dir, sub)); err != nil {
			return nil, err
		}
	}
	script := filepath.Join(dir, "programs", "scan.py")
	text, err := shipped.ReadFile("scan/scan.py")
	if err != nil {
		return nil, err
	}
	if err := writeFile(script, text); err != nil {
		return nil, err
	}
	var present []string
	for _, m := range []module{
		{"SCAN_MODULE", "scan/scan.toml", map[string]string{"@PYTHON@": programs.Python, "@SCAN@": script}},
		{"portscan", "portscan/portscan.toml", map[string]string{"@PORTSCAN@": programs.Portscan}},
	} {
		note, err := m.write(filepath.Join(dir, "modules.d"))
		if err != nil {
			return nil, err
		}
		if note == "" {
			present = append(present, m.name)
		} else {
			notes = append(notes, note)
		}
	}
	if err := writeFile(filepath.Join(dir, "allow.d", "up.toml"), rule(present, os.Getuid())); err != nil {
		return nil, err
	}
	return notes, writeFile(filepath.Join(dir, "deputy.toml"), []byte(configText))
}

// write puts the manifest into dir, or removes it and says why.
func (m module) write(dir string) (note string, err error) {
	path := filepath.Join(dir, filepath.Base(m.manifest))
	for mark, program := range m.paths {
		if why := missing(program); why != "" {
			err := os.Remove(path)
			if errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
			what := strings.ToLower(strings.Trim(mark, "@"))
			return fmt.Sprintf("module %s is left out: its program %s %s", m.name, what, why), err
		}
	}
	text, err := shipped.ReadFile(m.manifest)
	if err != nil {
		return "", err
	}
	for mark, program := range m.paths {
		text = bytes.ReplaceAll(text, []byte(`"`+mark+`"`), []byte(quote(program)))
	}
	return "", writeFile(path, text)
}

// missing says why there is no program at path, "" if there is.
func missing(path string) string {
	if path == "" {
		return "was not found"
	}
	if !filepath.IsAbs(path) {
		return fmt.Sprintf("must be named by an absolute path, not %s", path)
	}
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return fmt.Sprintf("is not at %s", path)
	}
	return ""
}

// quote writes a literal path as a command's element in TOML: a basic string,
// in which braces are doubled so that none begins a placeholder.
func quote(path string) string {
	var text strings.Builder
	text.WriteByte('"')
	for _, r := range path {
		switch {
		case r == '"' || r == '\\':
			text.WriteByte('\\')
			text.WriteRune(r)
		case r == '{' || r == '}':
			text.WriteRune(r)
			text.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&text, `\u%04X`, r)
		default:
			text.WriteRune(r)
		}
	}
	text.WriteByte('"')
	return text.String()
}

// rule allows uid everything in modules.
func rule(modules []string, uid int) []byte {
	text := "# Whoever started \"deputy up\" may ask for all that is in the examples.\n"
	if len(modules) == 0 {
		return []byte(text + "# None of them can run here, so there is nothing to allow.\n")
	}
	var actions []string
	for _, name := range modules {
		actions = append(actions, fmt.Sprintf("%q", name+"/*"))
	}
	return fmt.Appendf([]byte(text), `[[allow]]
actions = [%s]
users   = ["uid:%d"]
stop    = true                           # may also stop what others started
read    = true                           # may also see it
`, strings.Join(actions, ", "), uid)
}

// makeDir makes path, and its mode what it should be whatever the umask is.
func makeDir(path string) error {
	if err := os.MkdirAll(path, dirMode); err != nil {
		return err
	}
	return os.Chmod(path, dirMode)
}

// writeFile replaces path as a whole, unless it holds text already.
func writeFile(path string, text []byte) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, text) {
		return os.Chmod(path, fileMode)
	}
	fresh, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(fresh.Name()) // gone by then, unless something failed
	_, err = fresh.Write(text)
	if err = errors.Join(err, fresh.Chmod(fileMode), fresh.Close()); err != nil {
		return err
	}
	return os.Rename(fresh.Name(), path)
}
