//go:build linux

// Package docs_test holds what the documents say against the real thing: their
// commands run, their files load, and their tables list what there is.
package docs_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"deputy/internal/monitor/manifest"
	"deputy/test/rig"
)

func TestMain(m *testing.M) {
	code := m.Run()
	rig.Clean()
	os.Exit(code)
}

// documents lists the documents of the project's root, of docs and of the examples.
func documents(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, pattern := range []string{"../*.md", "*.md", "../examples/*/*.md"} {
		more, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, more...)
	}
	if !slices.Contains(names, "../README.md") || !slices.Contains(names, "http.md") {
		t.Fatalf("not all documents are here: %q", names)
	}
	return names
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// blocks gives what stands between ```tag and ``` in a document.
func blocks(text, tag string) []string {
	var found []string
	for _, m := range regexp.MustCompile("(?ms)^```"+tag+"\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
		found = append(found, m[1])
	}
	return found
}

// Each document's commands run in order in one shell, with a home of their own.
// They end with status 0, each of them, and leave no process behind.
func TestCommands(t *testing.T) {
	programs := rig.Programs(t)
	for _, name := range documents(t) {
		commands := blocks(read(t, name), "sh")
		if len(commands) == 0 {
			continue
		}
		t.Run(filepath.Base(name), func(t *testing.T) {
			home := t.TempDir()
			if err := os.Symlink(programs, filepath.Join(home, "bin")); err != nil {
				t.Fatal(err)
			}
			shell := exec.Command("bash", "-exc", strings.Join(commands, ""))
			shell.Dir = home
			shell.Env = []string{"HOME=" + home, "PATH=" + programs + ":" + os.Getenv("PATH"), "NO_COLOR=1"}
			shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			var said bytes.Buffer
			shell.Stdout, shell.Stderr, shell.WaitDelay = &said, &said, 5*time.Second
			if err := shell.Start(); err != nil {
				t.Fatal(err)
			}
			group := -shell.Process.Pid
			timer := time.AfterFunc(time.Minute, func() { _ = syscall.Kill(group, syscall.SIGTERM) })
			err := shell.Wait()
			timer.Stop()
			if err != nil {
				_ = syscall.Kill(group, syscall.SIGTERM) // the deputy that it has started
				log, _ := os.ReadFile(filepath.Join(home, "up.log"))
				t.Errorf("%v; it said:\n%s\nand deputy:\n%s", err, said.String(), log)
			}
			if err == nil && living(home) {
				t.Errorf("a process is left; it said:\n%s", said.String())
			}
		})
	}
}

// living says whether any process has this home.
func living(home string) bool {
	environments, _ := filepath.Glob("/proc/[0-9]*/environ")
	return slices.ContainsFunc(environments, func(path string) bool {
		text, _ := os.ReadFile(path)
		return slices.Contains(strings.Split(string(text), "\x00"), "HOME="+home)
	})
}

// local is what is wrong with an example on this machine alone: it lacks a
// program, a user or a file that the reader's has.
var local = regexp.MustCompile(`^cannot find the program |there is no (user|group|file) `)

// load checks the files of a document as `deputy check` would. Each block says
// in its first line which file it is.
func load(t *testing.T, files []string) []manifest.Problem {
	t.Helper()
	dir := t.TempDir()
	for _, text := range files {
		first, _, _ := strings.Cut(text, "\n")
		name := strings.TrimPrefix(strings.TrimPrefix(first, "# "), "/etc/deputy/")
		path := filepath.Join(dir, name)
		if !strings.HasSuffix(name, ".toml") {
			t.Errorf("the first line of a block must be the name of its file, not %q", first)
			continue
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("two blocks are %s", name)
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	options := manifest.Options{UID: uint32(os.Geteuid()), Root: true}
	_, err := manifest.CheckFiles([]string{dir}, options)
	var problems *manifest.Problems
	if err != nil && !errors.As(err, &problems) {
		t.Fatal(err)
	}
	if problems == nil {
		return nil
	}
	return *problems
}

func TestFiles(t *testing.T) {
	found := 0
	for _, name := range documents(t) {
		files := blocks(read(t, name), "toml")
		found += len(files)
		if len(files) == 0 {
			continue
		}
		t.Run(filepath.Base(name), func(t *testing.T) {
			for _, p := range load(t, files) {
				if !local.MatchString(p.Message) && !strings.Contains(p.Message, ": there is no user") {
					t.Error(p)
				}
			}
		})
	}
	if found < 5 {
		t.Errorf("only %d files in all documents", found)
	}
	if wrong := load(t, []string{"# modules.d/m.toml\nuser = \"root\"\naction.a.comand = [\"/bin/true\"]\n"}); len(wrong) == 0 {
		t.Error("a wrong file is not noticed")
	}
}
