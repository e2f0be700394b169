//go:build linux

package manifest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"deputy/internal/monitor/manifest/template"
)

const bob = 1 // daemon's number: somebody whose files are not root's

// trusted makes a folder with what can be trusted, and what cannot.
func trustedSite(t *testing.T) (Options, string) {
	t.Helper()
	o := site(t)
	dir := filepath.Join(filepath.Dir(o.ConfigFile), "code")
	for path, text := range map[string]string{
		"root/run.py": "", "root/run.sh": "#!/bin/sh\n", "root/app/__main__.py": "", "root/mixed/__main__.py": "", "root/mixed/lib.py": "",
		"bob/run.py": "", "bob/mod.py": "", "bob/pkg/__init__.py": "", "root/pkg/mod.py": "", "root/bobs.py": "", "root/Makefile": "all:\n", "root/make/Makefile": "",
		"root/by-bob": "#!DIR/bob/interpreter\n", "bob/interpreter": "", "root/by-env": "#!/usr/bin/env -S awk -f\n", "root/by-bobs-script": "#! /bin/sh DIR/bob/run.py \n",
		"root/by-script": "#!DIR/root/by-bob -x\n", "root/by-none": "#!DIR/root/none\n", "root/by-itself": "#!DIR/root/by-itself\n", "root/by-tmp": "#!/tmp/none-such\n",
		"open/x": "",
	} {
		write(t, filepath.Join(dir, path), strings.ReplaceAll(text, "DIR", dir))
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(exec.Command("cp", "/bin/true", dir+"/bob/true").Run())
	must(os.Symlink("/usr/bin/awk", dir+"/root/tool"))
	must(os.Symlink("/bin/sh", dir+"/bob/sh"))
	must(os.Symlink("../bob/run.py", dir+"/root/mixed/link.py"))
	must(unix.Mkfifo(dir+"/root/fifo", 0o600))
	must(unix.Mkfifo(dir+"/bob/fifo", 0o600))
	must(filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		must(err)
		if strings.HasPrefix(filepath.Base(path), "by-") {
			must(os.Chmod(path, 0o755))
		}
		if strings.HasPrefix(path, dir+"/bob") || strings.HasSuffix(path, "/bobs.py") || strings.HasSuffix(path, "mixed/lib.py") {
			must(os.Lchown(path, bob, bob))
		}
		return nil
	}))
	must(os.Chmod(dir+"/open", 0o777|os.ModeSticky))
	return o, dir
}

// TestCode: whatever decides what runs must be root's, and whatever does not may
// be anybody's. Each case is the body of an action of root's.
func TestCode(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: run as root")
	}
	o, dir := trustedSite(t)
	const (
		x    = "params.x = { type = \"string\", enum = [\"a\"] }\n"
		dash = "params.x = { type = \"string\", enum = [\"a\"], allow_dash = true }\n"
		opt  = "params.x = { type = \"string\", enum = [\"a\"], optional = true }\n"
		list = "params.x = { type = \"array\", items = { type = \"string\" } }\n"
		lib  = "its folder DIR/bob belongs to user daemon"
		what = ": its value would decide what runs"
		read = " reads as a program: its value could become commands"
	)
	for _, c := range []struct{ body, want string }{
		// Files, folders, FIFOs and nothing at all, as what an interpreter runs.
		{`command = ["/usr/bin/python3", "DIR/root/run.py", "{x}"]` + "\n" + x, ""},
		{`command = ["/usr/bin/python3", "DIR/bob/run.py"]`, lib},
		{`command = ["/usr/bin/python3", "DIR/root/bobs.py"]`, "it belongs to user daemon"},
		{`command = ["/usr/bin/python3", "DIR/root/app"]`, ""},
		{`command = ["/usr/bin/python3", "DIR/bob"]`, "it belongs to user daemon"},
		{`command = ["/usr/bin/python3", "DIR/root/mixed"]`, "what it leads to, DIR/"},
		{`command = ["/bin/sh", "DIR/bob/fifo"]`, lib},
		{`command = ["/bin/sh", "DIR/root/fifo"]`, ""},
		{`command = ["/bin/sh", "DIR/root/none"]`, ""},
		{`command = ["/bin/sh", "DIR/bob/none"]`, lib},
		{`command = ["/bin/sh", "DIR/open/none"]`, "it is not there, and everyone can make it in DIR/open"},
		{`command = ["/bin/sh", "/tmp/none-such/x"]`, "it is not there, and everyone can make it in /tmp"},
		{`command = ["/bin/sh", "DIR/bob/none"]` + "\nshell = true", lib},
		// The same is data to another program, unless it is a regular file.
		{`command = ["/usr/bin/tar", "-cf", "/dev/null", "DIR/bob"]`, ""},
		{`command = ["/bin/cat", "DIR/bob/fifo", "DIR/bob/none", "/tmp/none-such/x"]`, ""},
		{`command = ["/bin/cat", "DIR/bob/run.py"]`, lib},
		{`command = ["/bin/cat", "run.py"]` + "\ndirectory = \"DIR/bob\"", lib},
		// "#!".
		{`command = ["DIR/root/by-bob"]`, "cannot trust DIR/bob/interpreter: " + lib},
		{`command = ["DIR/root/by-script"]`, "cannot trust DIR/bob/interpreter: " + lib},
		{`command = ["DIR/root/by-bobs-script"]`, "cannot trust DIR/bob/run.py: " + lib},
		{`command = ["DIR/root/by-env"]`, ""},
		{`command = ["DIR/root/by-none"]`, ""},
		{`command = ["DIR/root/by-tmp"]`, "it is not there, and everyone can make it in /tmp"},
		{`command = ["DIR/root/by-itself"]`, "one program leads to another more than 8 times"},
		{`command = ["/usr/bin/env", "DIR/root/by-bob"]`, "cannot trust DIR/bob/interpreter: " + lib},
		// The folder, where something is looked for in it.
		{`command = ["/usr/bin/python3", "run.py"]` + "\ndirectory = \"DIR/bob\"", lib},
		{`command = ["/usr/bin/python3", "none.py"]` + "\ndirectory = \"DIR/bob\"", lib},
		{`command = ["/usr/bin/python3", "-m", "mod"]` + "\ndirectory = \"DIR/bob\"", "cannot trust DIR/bob: it belongs to user daemon"},
		{`command = ["/usr/bin/python3", "-Im", "http.server"]`, ""},
		{`command = ["/usr/bin/python3", "-m", "mixed"]` + "\ndirectory = \"DIR/root\"", "cannot trust DIR/root/mixed: "},
		{`command = ["/usr/bin/python3", "-m", "bobs"]` + "\ndirectory = \"DIR/root\"", "cannot trust DIR/root/bobs.py: it belongs to user daemon"},
		{`command = ["/usr/bin/python3", "-c", "import os"]` + "\ndirectory = \"DIR/bob\"", "cannot trust DIR/bob: it belongs to user daemon"},
		{`command = ["/usr/bin/python3", "-m", "{x}"]` + "\n" + x, "{x} is what python3 runs" + what},
		{`command = ["/bin/ls"]` + "\ndirectory = \"DIR/bob\"", ""},
		{`command = ["/bin/sh", "-c", "echo x"]` + "\ndirectory = \"DIR/bob\"", ""},
		// Options, and what they take.
		{`command = ["/usr/bin/python3", "-IW", "ignore", "-X", "dev", "--check-hash-based-pycs", "never", "DIR/bob/none"]`, lib},
		{`command = ["/usr/bin/python3", "-W", "DIR/bob/none", "DIR/root/run.py"]`, ""},
		{`command = ["/usr/bin/python3", "-WDIR/bob/none", "DIR/root/run.py", "{x}"]` + "\n" + x, ""},
		{`command = ["/usr/bin/python3", "--new", "DIR/root/run.py", "DIR/bob/none"]`, lib}, // it may take an argument, or not
		{`command = ["/usr/bin/python3", "-Z", "DIR/root/run.py", "{x}"]` + "\n" + x, "{x} is what python3 runs" + what},
		{`command = ["/usr/bin/python3", "-{x}", "DIR/root/run.py"]` + "\n" + x, "{x} is an option of python3" + what},
		{`command = ["/usr/bin/python3", "{x}", "DIR/root/run.py"]` + "\n" + dash, "{x} is what python3 runs" + what},
		{`command = ["/bin/bash", "-euo", "pipefail", "DIR/bob/none"]`, lib},
		{`command = ["/bin/bash", "-euo", "pipefail", "DIR/root/run.sh", "{x}"]` + "\n" + x, ""},
		{`command = ["/bin/bash", "--rcfile", "DIR/bob/none", "-c", "true"]`, lib},
		{`command = ["/bin/bash", "+O", "extglob", "-", "DIR/bob/none"]`, lib},
		{`command = ["/usr/bin/perl", "-T", "-wI", "DIR/bob/none", "DIR/root/run.py"]`, lib},
		{`command = ["/usr/bin/perl", "-pi.bak", "-e", "s/a/b/", "{x}", "DIR/bob"]` + "\n" + x, ""},
		{`command = ["/usr/bin/perl", "-M{x}", "-e", "1"]` + "\n" + x, "{x} stands in what perl" + read},
		{`command = ["/usr/bin/awk", "-v", "a={x}", "-F", ":", "{{ print a }}", "{x}"]` + "\n" + x, ""},
		{`command = ["/usr/bin/awk", "-f", "DIR/bob/none", "{x}"]` + "\n" + x, lib},
		{`command = ["/usr/bin/awk", "-f", "DIR/root/none", "{x}", "DIR/bob"]` + "\n" + x, ""},
		{`command = ["/usr/bin/awk", "{x}"]` + "\n" + x, "{x} stands in what awk" + read},
		{`command = ["/usr/bin/sed", "-n", "s/{x}/b/p", "/etc/hostname"]` + "\n" + x, "{x} stands in what sed" + read},
		{`command = ["/usr/bin/sed", "-ne", "p", "{x}"]` + "\n" + x, ""},
		{`command = ["/usr/bin/sed", "p", "/etc/hostname", "-e{x}"]` + "\n" + x, "{x} stands in what sed" + read},
		{`command = ["/usr/bin/sed", "--file=DIR/bob/none", "{x}"]` + "\n" + x, lib},
		// Without what others have installed, only the name counts.
		{`command = ["DIR/root/by-none", "x"]`, ""},
		{`command = ["DIR/root/tool", "{x}"]` + "\n" + x, "reads as a program"},
		{`command = ["DIR/bob/sh", "-c", "true"]`, lib},
		// Values and stdin as programs.
		{`command = ["/bin/sh", "{x}"]` + "\n" + x, "{x} is what sh runs" + what},
		{`command = ["/bin/sh", "{x}"]` + "\nshell = true\n" + x, ""},
		{`command = ["/bin/sh", "DIR/root/{x}.sh"]` + "\n" + x, "{x} is what sh runs" + what},
		{`command = ["/bin/sh", "{x...}"]` + "\n" + list, "{x...} is what sh runs" + what},
		{`command = ["/bin/sh", "-c", "echo {x}"]` + "\n" + x, "{x} stands in what sh" + read},
		{`command = ["/bin/sh", "-c", "echo {x}"]` + "\nshell = true\n" + x, ""},
		{`command = ["/bin/sh", "-ec", "echo $1", "sh", "{x}"]` + "\n" + x, ""},
		{`command = ["/bin/sh", "-c", "-e", "echo {x}"]` + "\n" + x, "{x} stands in what sh" + read},
		{`command = ["/bin/sh", ["-x", "{x}"], "DIR/root/run.sh"]` + "\n" + opt, "{x} is what sh runs" + what},
		{`command = ["/bin/sh", "DIR/root/run.sh", ["-x", "{x}"]]` + "\n" + opt, ""},
		{`command = ["/usr/bin/python3", ["-W", "{x}"], "DIR/bob/none"]` + "\n" + opt, lib},
		{`command = ["/usr/bin/python3", ["-W", "{x}"], "DIR/root/run.py"]` + "\n" + opt, ""},
		{`command = ["/bin/sh"]`, ""},
		{`command = ["/bin/sh"]` + "\nstdin = \"{x}\"\n" + x, "sh runs what it reads, and the request brings that"},
		{`command = ["/bin/sh"]` + "\nstdin = \"{x}\"\nshell = true\n" + x, ""},
		{`command = ["/bin/sh", "-s", "arg"]` + "\nstdin = \"{x}\"\n" + x, "sh runs what it reads"},
		{`command = ["/usr/bin/python3", "-"]` + "\nstdin = \"{x}\"\n" + x, "python3 runs what it reads"},
		{`command = ["/bin/sh", "/dev/stdin"]` + "\nstdin = \"{x}\"\n" + x, "sh runs what it reads"},
		{`command = ["/bin/sh", "DIR/root/run.sh"]` + "\nstdin = \"{x}\"\n" + x, ""},
		{`command = ["/usr/bin/python3"]` + "\nstdin_file = \"{x}\"\nparams.x = { type = \"string\", format = \"path\", under = \"/srv\" }\n", "python3 runs what it reads"},
		{`command = ["/bin/sh", "{x}"]` + "\nparams.x = { type = \"string\", format = \"path\", under = \"/srv\", file = true }\n", "{x} is what sh runs" + what},
		{`command = ["/bin/cat", "{x}"]` + "\nparams.x = { type = \"string\", format = \"path\", under = \"/srv\", file = true }\n", ""},
		// Programs that execute another.
		{`command = ["/usr/bin/timeout", "-k", "5", "10", "/bin/sh", "DIR/bob/none"]`, lib},
		{`command = ["/usr/bin/timeout", "--signal=KILL", "10", "/usr/bin/nice", "-n", "5", "/usr/bin/nohup", "/bin/sh", "DIR/bob/none"]`, lib},
		{`command = ["/usr/bin/timeout", "{x}", "/bin/sleep", "9"]` + "\n" + x, ""},
		{`command = ["/usr/bin/timeout", "5", "{x}"]` + "\n" + x, "{x} is a program that is executed" + what},
		{`command = ["/usr/bin/timeout", "{x...}", "/bin/sleep"]` + "\n" + list, "{x...} is what timeout is told first, and what it runs" + what},
		{`command = ["/usr/bin/nice", "-5", "DIR/bob/true"]`, lib},
		{`command = ["/usr/bin/env", "-i", "A={x}", "LANG=C", "sh", "DIR/bob/none"]` + "\n" + x, lib},
		{`command = ["/usr/bin/env", "PATH={x}", "ls"]` + "\n" + x, "{x} is the variable PATH" + what},
		{`command = ["/usr/bin/env", "-C", "DIR/bob", "python3", "none"]`, lib},
		{`command = ["/usr/bin/env", "-S", "sh DIR/bob/none"]`, lib},
		{`command = ["/usr/bin/env", "-S", "sh 'x'"]`, "cannot tell which arguments env makes of"},
		{`command = ["/usr/bin/env", "ls", "DIR/bob"]`, ""},
		{`command = ["/usr/bin/env", "bobs-tool"]` + "\nenv = { PATH = \"DIR/bob:/bin\" }", "cannot trust DIR/bob: it belongs to user daemon"},
		{`command = ["/usr/bin/setsid", "-w", "/bin/sh", "-c", "{x}"]` + "\n" + x, "{x} stands in what sh" + read},
		{`command = ["/usr/bin/flock", "-n", "/run/x.lock", "/bin/sh", "DIR/bob/none"]`, lib},
		{`command = ["/usr/bin/flock", "/run/x.lock", "-c", "echo {x}"]` + "\n" + x, "{x} stands in what flock" + read},
		{`command = ["/usr/bin/flock", "/run/x.lock", "/bin/grep", "-c", "{x}", "/etc/hosts"]` + "\n" + x, ""},
		{`command = ["/usr/bin/xargs", "-0", "/bin/sh", "DIR/bob/none"]`, lib},
		{`command = ["/usr/bin/xargs", "sh"]` + "\nstdin = \"{x}\"\n" + x, "{what xargs reads} is what sh runs" + what},
		{`command = ["/usr/bin/xargs", "-I", "R", "sh", "-c", "echo R"]` + "\nstdin = \"{x}\"\n" + x, "{what xargs reads} stands in what sh" + read},
		{`command = ["/usr/bin/xargs", "-i", "sh", "-c", "echo {{}}"]` + "\nstdin = \"{x}\"\n" + x, "{what xargs reads} stands in what sh" + read},
		{`command = ["/usr/bin/xargs", "-n", "1", "/bin/echo"]` + "\nstdin = \"{x}\"\n" + x, ""},
		{`command = ["/usr/bin/find", "{x}", "-name", "*.log", "-delete"]` + "\n" + x, ""},
		{`command = ["/usr/bin/find", "/srv", "-exec", "/bin/echo", "{x}", ";"]` + "\n" + x, "{x} stands in what find -exec" + read},
		{`command = ["/usr/bin/find", "/srv", "-exec", "/bin/gzip", "{{}}", "+"]`, ""},
		{`command = ["/usr/bin/find", "/srv", "-execdir", "/bin/sh", "{{}}", ";"]`, "{what find finds} is what sh runs" + what},
		{`command = ["/usr/bin/find", "/srv", "-exec", "sh", "DIR/bob/none", ";"]`, lib},
		{`command = ["/usr/bin/setpriv", "--reuid", "1", "--clear-groups", "/bin/sh", "DIR/bob/none"]`, lib},
		{`command = ["/usr/sbin/runuser", "-u", "daemon", "--", "/bin/sh", "DIR/bob/none"]`, lib},
		{`command = ["/usr/sbin/runuser", "-u", "daemon", "--", "/bin/grep", "-c", "{x}", "/etc/hosts"]` + "\n" + x, ""},
		{`command = ["/bin/su", "-", "daemon", "-c", "echo {x}"]` + "\n" + x, "{x} stands in what su" + read},
		// Variables that decide what runs.
		{`command = ["/bin/ls"]` + "\nenv = { LD_PRELOAD = \"{x}\" }\n" + x, "{x} is what LD_PRELOAD says" + what},
		{`command = ["/bin/ls"]` + "\nenv = { LD_PRELOAD = \"DIR/bob/x.so\" }", "cannot trust DIR/bob/x.so: " + lib},
		{`command = ["/bin/ls"]` + "\nenv = { HOME = \"DIR/bob\", X = \"{x}\" }\n" + x, ""},
	} {
		module := filepath.Join(o.ModuleDirs[1], "m.toml")
		write(t, module, strings.ReplaceAll("user = \"root\"\n[action.a]\n"+c.body+"\n", "DIR", dir))
		_, _, err := Load(o)
		got, want := strings.ReplaceAll(text(err), dir, "DIR"), c.want
		if (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s\n got %s\nwant %s", c.body, got, want)
		}
	}
}

// TestOwnCode: what a task of an ordinary user runs may be that user's own, as
// long as the action adds nothing that the user has not.
func TestOwnCode(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: run as root")
	}
	o, dir := trustedSite(t)
	for _, c := range []struct{ body, want string }{
		{`user = "daemon"`, ""},
		{`user = "daemon"` + "\n" + `groups = ["daemon"]`, ""},
		{`user = "daemon"` + "\n" + `groups = ["daemon", "gid:4"]`, "its folder DIR/bob belongs to user daemon"},
		{`user = "bin"`, "its folder DIR/bob belongs to user daemon"},
		{`user = "root"`, "its folder DIR/bob belongs to user daemon"},
	} {
		for _, command := range []string{`["/usr/bin/python3", "DIR/bob/none"]`, `["DIR/bob/true"]`} {
			write(t, filepath.Join(o.ModuleDirs[1], "m.toml"), strings.ReplaceAll("[action.a]\n"+c.body+"\ncommand = "+command+"\n", "DIR", dir))
			_, _, err := Load(o)
			got := strings.ReplaceAll(text(err), dir, "DIR")
			if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("%s %s\n got %s\nwant %s", c.body, command, got, c.want)
			}
		}
	}
}

// TestNames: programs are known by their name, whatever their version.
func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		"/usr/bin/python3.11": "python pypy pythonw", "/usr/bin/python3.12-dbg": "python pypy pythonw", "/bin/php8.2-cgi": "php php-cgi php-cli phpdbg", "/bin/php8.3": "php php-cgi php-cli phpdbg",
		"/bin/lua5.4": "lua luajit texlua", "/usr/bin/perl5.36.0": "perl", "/bin/bash": "sh bash", "/bin/ls": "", "/bin/shred": "", "/bin/awk": "awk gawk", "/usr/bin/nodejs": "node nodejs",
		"/bin/7z": "", "/bin/[": "", "/": "",
	} {
		_, known := interpreterOf(name, name)
		if (known == nil) != (want == "") || known != nil && !strings.HasPrefix(known.names, want) {
			t.Errorf("%s: %+v, want %q", name, known, want)
		}
	}
	if name, known := interpreterOf("/opt/scan", "/usr/bin/python3.11"); known == nil || name != "python3.11" {
		t.Errorf("a link to python: %s, %v", name, known)
	}
	if _, known := interpreterOf("/bin/ls", "/bin/busybox"); known != nil {
		t.Errorf("a link to busybox is none of its shells: %v", known)
	}
	for _, i := range interpreters {
		for option := range strings.FieldsSeq(i.options) {
			name, kind, ok := strings.Cut(option, ":")
			if !ok || name == "" || name[0] != '-' && name[0] != '+' || kind == "" {
				t.Errorf("%s: option %q", i.names, option)
			}
		}
	}
}

// FuzzCode: whatever stands in a command, it is read to an end, and what is
// refused has its place.
func FuzzCode(f *testing.F) {
	o := site(f)
	for _, seed := range []string{"-c", "-euo pipefail x", "-I R sh -c R", "{x} -x", "-S sh\x00-c", "--rcfile=x", "-", "-- x", "+O x", "-exec sh {{}} ;"} {
		for i := range interpreters {
			f.Add(uint8(i), seed, false)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, arguments string, group bool) {
		known := interpreters[int(which)%len(interpreters)]
		name, _, _ := strings.Cut(known.names, " ")
		elements := []any{"/none/" + name}
		for _, word := range strings.Fields(arguments) {
			if group {
				elements = append(elements, []any{word, "{x}"})
			} else {
				elements = append(elements, word)
			}
		}
		command, err := template.ParseCommand(elements)
		if err != nil {
			return
		}
		a := &Action{Command: command, Directory: "/", User: &User{}}
		c := Trust{UIDs: []uint32{o.UID}}.code(a, o.Look.Open(""))
		items := []item{}
		for i, e := range command.Elements() {
			items = append(items, item{e, i, ""})
		}
		c.read(name, &known, items[1:], "/", 0)
		for _, found := range c.faults {
			if found.element >= len(items) || found.err == nil {
				t.Errorf("%q: %+v", elements, found)
			}
		}
	})
}
