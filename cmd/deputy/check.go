package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"deputy/client"
	"deputy/internal/doctor"
	"deputy/internal/monitor/manifest"
	"deputy/internal/monitor/userdb"
)

func newCheck(a *app) *cobra.Command {
	var config string
	cmd := &cobra.Command{
		Use:   "check [FILE|DIR …]",
		Short: "Say what is wrong in manifests, rules and settings, and the remedy",
		Long: `Say what is wrong in manifests, rules and settings, and the remedy, each with
file:line:column, as a reload would. No daemon is needed. Without a file it checks
the daemon's whole configuration: --config, else what the running daemon names,
else /etc/deputy.`,
		Example: `  deputy check
  deputy check ./scan.toml
  deputy check --config ./deputy && deputy reload`,
		Annotations: map[string]string{exitStatus: `0    nothing is wrong
1    something is; it is told on stderr
2    the command line is wrong`},
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := a.configDir(cmd.Context(), a.connect(), config)
			return a.check(dir, args)
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "the `DIR` with deputy.toml, modules.d and allow.d")
	return cmd
}

// rootConfig is the configuration of a root install; vendorModules are the
// manifests that packages bring.
const (
	rootConfig    = "/etc/deputy"
	vendorModules = "/usr/lib/deputy/modules.d"
)

// configDir finds the configuration: the one named, the running daemon's, or
// that of a root install.
func (a *app) configDir(ctx context.Context, c *client.Client, named string) string {
	if named != "" {
		if whole, err := filepath.Abs(named); err == nil {
			return whole
		}
		return named
	}
	if h, err := c.Health(ctx); err == nil && h.ConfigDir != "" {
		return h.ConfigDir
	}
	return rootConfig
}

// options says what the files in dir must hold. Those of a root install must
// hold more, and belong to root.
func (a *app) options(dir string) manifest.Options {
	o := manifest.Options{
		ConfigFile: filepath.Join(dir, "deputy.toml"),
		ModuleDirs: []string{filepath.Join(dir, "modules.d")},
		AllowDir:   filepath.Join(dir, "allow.d"),
		KeysDir:    filepath.Join(dir, "keys"),
		UID:        uint32(a.uid),
		Users:      userdb.Open(userdb.Options{Ask: userdb.Here()}),
	}
	if filepath.Clean(dir) == rootConfig {
		o.ModuleDirs = append([]string{vendorModules}, o.ModuleDirs...)
		o.UID, o.Root = 0, true
	}
	return o
}

// check reads what paths name, or all of dir.
func (a *app) check(dir string, paths []string) error {
	o := a.options(dir)
	o.Look = lookers()
	defer o.Look.Close()
	if err := answering(o.Look, append(declared(o), paths...)...); err != nil {
		return err
	}
	if len(paths) > 0 && a.uid != 0 {
		o.Root, o.UID = false, uint32(a.uid) // files that are still being written, by me
	}
	var warnings []string
	var err error
	if len(paths) == 0 {
		var set *manifest.Policy
		if set, warnings, err = manifest.Load(o); err == nil {
			err = a.unreadable(o, set)
		}
	} else {
		warnings, err = manifest.CheckFiles(paths, o)
	}
	if a.json {
		return a.checkJSON(warnings, err)
	}
	a.warn(warnings)
	var problems *manifest.Problems
	switch {
	case errors.As(err, &problems):
		fmt.Fprintln(a.err, problems)
		return silent(statusFailed)
	case err != nil:
		return err
	}
	fmt.Fprintln(a.out, "nothing is wrong")
	return nil
}

// unreadable says what the server will need of files, and cannot read.
func (a *app) unreadable(o manifest.Options, set *manifest.Policy) error {
	tls := set.Config.TLS
	if err := answering(o.Look, slices.DeleteFunc([]string{tls.Certificate, tls.Key, tls.ClientCA}, func(path string) bool { return path == "" })...); err != nil {
		return err
	}
	if found := manifest.Problems(doctor.Unreadable(set)); len(found) > 0 {
		return &found
	}
	return nil
}

// warn tells what is no mistake, and should be known all the same.
func (a *app) warn(warnings []string) {
	for _, w := range warnings {
		fmt.Fprintln(a.err, a.style(a.errTerm, yellow, "warning:"), w)
	}
}

// problem is one line of `check --json`.
type problem struct {
	File    string `json:"file"`
	Line    int    `json:"line"` // 0: the whole file
	Column  int    `json:"column"`
	Message string `json:"message"`
	Remedy  string `json:"remedy"`
}

func (a *app) checkJSON(warnings []string, err error) error {
	found := []problem{}
	var problems *manifest.Problems
	if errors.As(err, &problems) {
		for _, p := range *problems {
			found = append(found, problem{p.Pos.File, p.Pos.Line, p.Pos.Col, p.Message, p.Remedy})
		}
	} else if err != nil {
		return err
	}
	if err := a.printJSON(map[string]any{"problems": found, "warnings": append([]string{}, warnings...)}); err != nil {
		return err
	}
	if len(found) > 0 {
		return silent(statusFailed)
	}
	return nil
}
