//go:build linux || darwin

package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"deputy/internal/monitor/manifest"
	"deputy/internal/rootonly"
	"deputy/packaging"
)

// file is one that install writes, unless a package or an administrator has.
type file struct {
	source string // its name in packaging.Files
	path   string
	mode   os.FileMode
	mark   string // the line by which a file that install wrote is known
}

// mark is in every file that install writes; the comment around it is the file's.
const mark = "Written by: deputy service install"

// serverUser is whom deputy-server runs as, unless deputy.toml says otherwise.
const serverUser = "deputy"

// data is what outlives the service: what is declared, and what was recorded.
var data = []string{"/etc/deputy", "/var/lib/deputy", "/var/lib/deputy-server"}

// runtimeDir holds the sockets.
const runtimeDir = "/run/deputy"

// plainPath is one that needs no quoting in any of the files.
var plainPath = regexp.MustCompile(`^/[A-Za-z0-9/._+-]+$`)

// checkPrograms: what the service manager starts as root may be root's alone.
func (s *Service) checkPrograms(context.Context, *Report) error {
	if err := needRoot(); err != nil {
		return err
	}
	server := filepath.Join(filepath.Dir(s.programs.Daemon), "deputy-server")
	for _, path := range []string{s.programs.Daemon, server, s.programs.Command} {
		if !plainPath.MatchString(path) {
			return fmt.Errorf("the path %q has characters that service managers read in their own way; install deputy's programs elsewhere", path)
		}
		if err := manifest.Trusted(path, 0); err != nil {
			return fmt.Errorf("%w\nit would run as root; install deputy's programs where root alone can write, like /usr/sbin", err)
		}
	}
	return nil
}

func (s *Service) addUser(ctx context.Context, r *Report) error {
	if _, err := user.Lookup(serverUser); err == nil {
		return nil
	}
	for _, commands := range [][][]string{
		{{"useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/", "--shell", "/usr/sbin/nologin", serverUser}},
		{{"systemd-sysusers", "--inline", "u " + serverUser + ` - "deputy-server" / /usr/sbin/nologin`}},
		{{"addgroup", "-S", serverUser}, {"adduser", "-S", "-D", "-H", "-h", "/", "-s", "/sbin/nologin", "-G", serverUser, serverUser}},
	} {
		if _, err := exec.LookPath(commands[0][0]); err != nil {
			continue
		}
		r.did("made the user " + serverUser + ", whom the server runs as")
		return runAll(ctx, commands)
	}
	return fmt.Errorf("there is no user %s, whom the server runs as, and no program that makes one; make it, or name another as [server] user in /etc/deputy/deputy.toml", serverUser)
}

// makeFolders makes them so that it is seen where files belong.
func (s *Service) makeFolders(_ context.Context, r *Report) error {
	for _, dir := range []struct {
		path string
		mode os.FileMode
	}{{"/etc/deputy/modules.d", 0o755}, {"/etc/deputy/allow.d", 0o755}, {"/etc/deputy/keys", 0o700}} {
		if _, err := os.Stat(dir.path); err == nil {
			continue
		}
		if err := rootonly.Check(filepath.Dir(dir.path), 0o755); err != nil {
			return err
		}
		if err := rootonly.Check(dir.path, dir.mode); err != nil {
			return err
		}
		r.did("made " + dir.path)
	}
	return nil
}

// foreign is the file of a package or an administrator by which the manager
// knows deputy; "" if there is none.
func (m *manager) foreign() string {
	for _, path := range append(slices.Clone(m.vendor), m.files[0].path) {
		if text, err := os.ReadFile(path); err == nil && !bytes.Contains(text, []byte(mark)) {
			return path
		}
	}
	return ""
}

func (s *Service) writeFiles(_ context.Context, r *Report) error {
	if path := s.manager.foreign(); path != "" {
		r.did("kept " + path + ", which was there")
		return nil
	}
	for _, f := range s.manager.files {
		text, err := packaging.Files.ReadFile(f.source)
		if err != nil {
			return err
		}
		// In packaging the programs are where packages put them.
		text = bytes.ReplaceAll(text, []byte("/usr/sbin/deputyd"), []byte(s.programs.Daemon))
		text = bytes.ReplaceAll(text, []byte("/usr/bin/deputy"), []byte(s.programs.Command))
		text = append(text, "\n"+f.mark+"\n"...)
		if err := rootonly.Write(f.path, text, f.mode, 0o755); err != nil {
			return err
		}
		r.did("wrote " + f.path)
	}
	return nil
}

func (s *Service) remove(ctx context.Context, r *Report) error {
	now, err := s.Status(ctx)
	if err != nil {
		return err
	}
	if !now.Installed {
		r.did("the service was not installed")
		return nil
	}
	if err := runAll(ctx, s.manager.disable); err != nil {
		return err
	}
	r.did("stopped it; it starts with the machine no more")
	if path := s.manager.foreign(); path != "" {
		r.did("kept " + path + ", which deputy service install did not write; it goes with its package")
		return nil
	}
	for _, f := range s.manager.files {
		if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		r.did("deleted " + f.path)
	}
	if err := os.RemoveAll(runtimeDir); err != nil {
		return err
	}
	return runAll(ctx, s.manager.forget)
}

// purge deletes what remove keeps.
func (s *Service) purge(ctx context.Context, r *Report) error {
	for _, path := range existing(append(slices.Clone(data), s.manager.more...)) {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
		r.did("deleted " + path)
	}
	if _, err := user.Lookup(serverUser); err != nil {
		return nil
	}
	for _, command := range [][]string{{"userdel", serverUser}, {"deluser", serverUser}} {
		if _, err := exec.LookPath(command[0]); err == nil {
			r.did("deleted the user " + serverUser)
			return run(ctx, command)
		}
	}
	return nil
}

func existing(paths []string) (found []string) {
	for _, path := range paths {
		if _, err := os.Lstat(path); err == nil {
			found = append(found, path)
		}
	}
	return found
}

func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

func runAll(ctx context.Context, commands [][]string) error {
	for _, command := range commands {
		if err := run(ctx, command); err != nil {
			return err
		}
	}
	return nil
}

func run(ctx context.Context, command []string) error {
	_, err := output(ctx, command)
	return err
}

// output gives what a command printed on stdout. Its error says what it was, and
// what it said.
func output(ctx context.Context, command []string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if err == nil {
		return stdout.String(), nil
	}
	err = fmt.Errorf("%s: %w", strings.Join(command, " "), err)
	if said := bytes.TrimSpace(append(stdout.Bytes(), stderr.Bytes()...)); len(said) > 0 {
		err = fmt.Errorf("%w: %s", err, said)
	}
	return stdout.String(), err
}
