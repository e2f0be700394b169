//go:build linux

package packages_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"deputy/test/rig"
	"deputy/test/systemd/machine"
)

// building is how long a build may take on a machine that has other work.
const building = 10 * time.Minute

// A block is what stands in the README as code: its kind, as behind ```, or
// "indented"; and its text.
type block struct{ kind, text string }

var blocks = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$|^((?:    [^\n]*\n)+)")

func readme(t *testing.T) (found []block) {
	t.Helper()
	root, err := rig.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range blocks.FindAllStringSubmatch(string(text), -1) {
		if m[3] != "" {
			found = append(found, block{"indented", regexp.MustCompile(`(?m)^    `).ReplaceAllString(m[3], "")})
		} else {
			found = append(found, block{m[1], m[2]})
		}
	}
	return found
}

// newcomer is a fresh Debian in which somebody reads the README: an ordinary user who
// has a clone of the source, and Go, and may use sudo.
type newcomer struct {
	*machine.Machine
	t *testing.T
}

func newNewcomer(t *testing.T) *newcomer {
	t.Helper()
	rig.NeedRoot(t)
	shared := []machine.Shared{{Here: goenv(t, "GOROOT"), There: "/usr/local/go"}, {Here: goenv(t, "GOMODCACHE"), There: "/srv/go/mod"}, {Here: goenv(t, "GOCACHE"), There: "/srv/go/cache"}}
	n := &newcomer{Machine: machine.BootWith(t, shared, "adduser", "cron", "php-cli", "python3", "make", "git", "curl", "sudo", "nginx-light"), t: t}
	n.Run("useradd", "--create-home", "--shell", "/bin/bash", "newcomer")
	n.Write("/etc/sudoers.d/newcomer", "newcomer ALL=(ALL) NOPASSWD: ALL\n", 0o440)
	n.Run("/bin/sh", "-c", "find /srv/go -maxdepth 2 -type d -exec chown newcomer {} +; chmod o+x /root")
	n.Write("/home/newcomer/.profile", strings.Join([]string{
		"export PATH=/usr/local/go/bin:$PATH GOMODCACHE=/srv/go/mod GOCACHE=/srv/go/cache GOPROXY=off GOFLAGS=-mod=mod GONOSUMDB='*' GONOSUMCHECK=1",
		"export TARGETS=linux/amd64", // of make packages, since time is short
		"cd ~/deputy",
	}, "\n")+"\n", 0o644)
	n.clone()
	return n
}

func goenv(t *testing.T, name string) string {
	t.Helper()
	return strings.TrimSpace(run(t, "go", "env", name))
}

// clone puts a clone of this project into the newcomer's home, with what is not
// committed yet.
func (n *newcomer) clone() {
	n.t.Helper()
	root, err := rig.Root()
	if err != nil {
		n.t.Fatal(err)
	}
	there := filepath.Join(n.t.TempDir(), "deputy")
	run(n.t, "git", "clone", "--quiet", root, there)
	changed := exec.Command("git", "-C", there, "apply", "--allow-empty")
	changed.Stdin = strings.NewReader(run(n.t, "git", "-C", root, "diff", "--binary", "HEAD"))
	if text, err := changed.CombinedOutput(); err != nil {
		n.t.Fatalf("%v\n%s", err, text)
	}
	run(n.t, "cp", "-a", there, n.Path("/home/newcomer/deputy"))
	n.Run("chown", "-R", "newcomer:", "/home/newcomer")
}

// as has a user do lines as they would be typed; what they say is given.
func (n *newcomer) as(user, lines string) string {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), building)
	defer cancel()
	home := "cd ~ 2>/dev/null; export DEBIAN_FRONTEND=noninteractive"
	if user == "newcomer" {
		home = ". ~/.profile"
	}
	cmd := n.Command(ctx, "runuser", "-u", user, "--", "/bin/bash", "-ec", home+"\n"+lines)
	cmd.Env = append(cmd.Env, "HOME="+map[string]string{"newcomer": "/home/newcomer", "root": "/root", "www-data": "/var/www"}[user])
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		n.t.Fatalf("%s does\n%s\n%v, and it says\n%s", user, lines, err, said.String())
	}
	return said.String()
}

// dialogue has each line behind "# " or "$ " done, as root or www-data, and holds
// what is said against what stands below it. It gives how many there were.
func (n *newcomer) dialogue(text string) (steps int) {
	n.t.Helper()
	for _, step := range regexp.MustCompile(`(?m)^([#$]) (.*)\n((?:[^#$].*\n)*)`).FindAllStringSubmatch(text, -1) {
		user := map[string]string{"#": "root", "$": "www-data"}[step[1]]
		if got := n.as(user, step[2]); !matches(got, step[3]) {
			n.t.Fatalf("%s %s\nshows\n%s\nwant\n%s", step[1], step[2], got, step[3])
		}
		steps++
	}
	return steps
}

// The README is done from its first line to its last in a fresh Debian, as it stands,
// and a line that nobody has thought of is not passed over.
func TestReadme(t *testing.T) {
	older.build(t, oldVersion) // the machines build from what this computer has, and have nobody to ask
	all := readme(t)
	source, packaged := newNewcomer(t), newNewcomer(t)
	var example, try string // what counts once a deputy is there; what is one shell's
	tried, done := false, map[string]int{}
	for i, b := range all {
		first, _, _ := strings.Cut(b.text, "\n")
		switch {
		case b.kind == "toml" && strings.HasPrefix(first, "# /etc/deputy/modules.d/"):
			source.Write(strings.TrimPrefix(first, "# "), b.text, 0o644) // where it says
		case b.kind == "console" && i < 2: // asks for that
			example = b.text
		case b.kind == "indented" && strings.HasPrefix(b.text, "make demo"):
			for line := range strings.Lines(b.text) {
				if command, _, _ := strings.Cut(line, "#"); strings.TrimSpace(command) == "make test" {
					source.as("newcomer", "make --dry-run test") // it is what runs this test
				} else {
					source.as("newcomer", command)
				}
			}
		case b.kind == "sh":
			try += b.text
		case b.kind == "php":
			packaged.Write("/var/www/restart.php", b.text, 0o644)
			packaged.Run("chown", "-R", "www-data:", "/var/www")
		case b.kind == "console":
			if !tried {
				source.as("newcomer", try)
				packaged.as("newcomer", "make packages")
				packaged.Run("/bin/sh", "-c", "cp /home/newcomer/deputy/dist/*.deb /root/")
				packaged.Run("rm", "-rf", "/home/newcomer/deputy")
				tried = true
			}
			done["dialogue"] += packaged.dialogue(b.text)
		case b.kind == "indented" && strings.HasPrefix(b.text, "make build && sudo make install"):
			source.as("newcomer", b.text)
			for _, file := range []string{"/usr/share/deputy/clients/Deputy.php", "/usr/share/bash-completion/completions/deputy", "/usr/share/man/man5/deputy.toml.5"} {
				source.Run("test", "-r", file)
			}
			done["dialogue"] += source.dialogue(example)
		default:
			t.Errorf("no test does this of the README:\n%s", b.text)
		}
		done[b.kind]++
	}
	for kind, least := range map[string]int{"toml": 1, "console": 4, "php": 1, "sh": 5, "indented": 2, "dialogue": 10} {
		if done[kind] < least {
			t.Errorf("only %d of %s", done[kind], kind)
		}
	}
	if got := packaged.Run("systemctl", "show", "cron.service", "--property=ActiveState"); !strings.Contains(got, "=active") {
		t.Errorf("cron was restarted, and is %s", got)
	}
	packaged.modules()
}

// modules does what the README says of those that ship: a link enables one.
func (n *newcomer) modules() {
	n.t.Helper()
	n.Run("ln", "-s", "/usr/share/deputy/modules/portscan.toml", "/etc/deputy/modules.d/")
	n.Run("deputy", "check")
	n.Run("deputy", "reload")
	if got := n.Run("deputy", "actions", "--all"); !strings.Contains(got, "portscan/scan") {
		n.t.Errorf("a module that was enabled is not there:\n%s", got)
	}
}
