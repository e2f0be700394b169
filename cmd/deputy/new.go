package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"deputy/client"
	"deputy/internal/monitor/manifest"
	"deputy/internal/rootonly"
)

func newNew(a *app) *cobra.Command {
	d := &draft{}
	var config string
	var dry bool
	cmd := &cobra.Command{
		Use:   "new MODULE/ACTION -- PROGRAM [ARGUMENT …]",
		Short: "Declare an action: writes a commented manifest, checks and reloads it",
		Long: `Declare an action: writes a commented manifest, checks and reloads it.

Everything after -- is the command that will run; it is never given to a shell.
"{name}" in an argument stands for the value of a param: one whole value, which
can never become two arguments; "{names...}" alone stands for several. Say what
each may be: --param 'unit=nginx.service|unbound.service' lists its values,
--param 'unit=^[a-z]+$' gives a pattern; at a terminal you are asked. An action
is added to a module's manifest that is there already. If the check finds
anything, the files are left as they were.`,
		Example: `  deputy new panel/restart --allow panel --param 'unit=nginx|php-fpm' \
    -- /usr/bin/systemctl restart '{unit}'
  deputy new disk/usage --allow group:staff --param 'dirs=/srv|/home' \
    -- /usr/bin/du -sh -- '{dirs...}'
  deputy new ping/host --print --param 'host=^[a-z.]+$' -- /usr/bin/ping '{host}'`,
		Annotations: map[string]string{exitStatus: plainStatus},
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.ArgsLenAtDash() != 1 || len(args) < 2 {
				return usage("deputy new takes MODULE/ACTION, then -- and the command; see: deputy new --help")
			}
			if err := d.name(args[0], args[1:]); err != nil {
				return err
			}
			if d.user == "" && a.uid == 0 {
				d.user = "root" // a root install wants it said
			}
			if err := a.askBounds(d); err != nil {
				return err
			}
			if dry {
				text, err := d.manifest(true)
				fmt.Fprint(a.out, text)
				return err
			}
			return newVerb(cmd.Context(), a, d, config)
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&d.allow, "allow", nil, "who may have it: a `USER`, uid:N, group:NAME or key:NAME (may be repeated)")
	f.StringArrayVar(&d.types, "param", nil, "`NAME=one|two`, NAME=^PATTERN$ or NAME:TYPE of a param")
	f.StringVar(&d.user, "user", "", "the `USER` that the command runs as")
	f.StringVar(&d.description, "description", "", "one `SENTENCE` for those who look for it")
	f.StringVar(&config, "config", "", "the `DIR` that holds modules.d; otherwise the daemon's")
	f.BoolVar(&dry, "print", false, "print the manifest and write nothing")
	return cmd
}

// askBounds asks what each param may be that is not said to be any text, where
// somebody can answer.
func (a *app) askBounds(d *draft) error {
	if !a.inTerm || !a.errTerm || a.json {
		return nil
	}
	answers := bufio.NewReader(a.in)
	for i, p := range d.params {
		if !p.unbounded() || slices.ContainsFunc(d.types, func(t string) bool { return strings.HasPrefix(t, p.name+":") }) {
			continue
		}
		fmt.Fprintf(a.err, "What may {%s} be? Its values as one|two|three, or a pattern like ^[a-z0-9.-]+$ (nothing: any text): ", p.name)
		answer, err := answers.ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("cannot read your answer: %w", err)
		}
		d.params[i].bound = strings.TrimSpace(answer)
	}
	return nil
}

func newVerb(ctx context.Context, a *app, d *draft, config string) error {
	c := a.connect()
	config = a.configDir(ctx, c, config)
	path := filepath.Join(config, "modules.d", d.module+".toml")
	o := a.options(config)
	o.Look = lookers()
	defer o.Look.Close()
	if err := answering(o.Look, append(declared(o), path)...); err != nil {
		return err
	}
	undo, err := d.write(path)
	if err != nil {
		return err
	}
	_, warnings, err := manifest.Load(o)
	if err != nil {
		return errors.Join(fmt.Errorf("nothing was changed, for this would be wrong:\n%w", err), undo())
	}
	a.warn(warnings)
	return a.enforce(ctx, c, d, path, undo)
}

// enforce has the daemon, if there is one, take up the new action, and shows
// how it is asked for.
func (a *app) enforce(ctx context.Context, c *client.Client, d *draft, path string, undo func() error) error {
	say := func(format string, args ...any) {
		if !a.json {
			fmt.Fprintf(a.out, format+"\n", args...)
		}
	}
	say("wrote %s", path)
	digest, err := c.Reload(ctx)
	switch unreachable := (*client.UnreachableError)(nil); {
	case err == nil:
		say("in force: %.12s", digest)
	case errors.As(err, &unreachable):
		say("no daemon answers; it will be in force once one runs")
	default:
		return reloadFailed(err, path, undo)
	}
	if a.json {
		return a.printJSON(map[string]string{"file": path, "module": d.module, "action": d.action, "digest": digest})
	}
	fmt.Fprint(a.out, d.calls(socketOf(a, c), path))
	return nil
}

// reloadFailed takes the file back where the daemon found mistakes in it. One
// who is not an operator has written a good file that only waits.
func reloadFailed(err error, path string, undo func() error) error {
	var refused *client.Error
	if errors.As(err, &refused) && refused.Status == 422 {
		return errors.Join(err, undo())
	}
	return fmt.Errorf("%s is written, but is not in force: %w", path, err)
}

func socketOf(a *app, c *client.Client) string {
	if s := c.Socket(); s != "" {
		return s
	}
	list := a.sockets()
	return list[len(list)-1]
}

// write adds the action to the manifest, which may be there already, and gives
// a function that takes it back.
func (d *draft) write(path string) (undo func() error, err error) {
	folder, err := rootonly.Open(filepath.Dir(path), 0o755)
	if err != nil {
		return nil, fmt.Errorf("cannot make the folder of the manifest: %w", err)
	}
	defer folder.Close()
	name := filepath.Base(path)
	before, err := folder.Read(name)
	fresh := errors.Is(err, fs.ErrNotExist)
	if err != nil && !fresh {
		return nil, fmt.Errorf("cannot read the manifest: %w", err)
	}
	if strings.Contains(string(before), "[action."+d.action+"]") {
		return nil, fmt.Errorf("%s/%s is declared already, in %s; edit it there", d.module, d.action, path)
	}
	text, err := d.manifest(fresh)
	if err != nil {
		return nil, err
	}
	// A daemon that reloads meanwhile sees the old file or the new one.
	if err := folder.Replace(name, append(before, text...), 0o644); err != nil {
		return nil, fmt.Errorf("cannot write the manifest: %w", err)
	}
	return func() error {
		if !fresh {
			return rootonly.Write(path, before, 0o644, 0)
		}
		folder, err := rootonly.Open(filepath.Dir(path), 0)
		if err != nil {
			return err
		}
		defer folder.Close()
		return folder.Remove(name)
	}, nil
}
