package main

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/spf13/cobra"

	"deputy/internal/monitor/manifest"
	"deputy/internal/rootonly"
)

func newKey(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Make signing keys, for callers that are not on this machine's Unix socket",
		Long: `Make signing keys, for callers that are not on this machine's Unix socket.

A key is a file in the keys folder of the configuration, readable by its owner
alone. The file is the key: each of its lines is one live secret. What a caller
with the key NAME may ask for is said by rules with keys = ["NAME"].`,
		Example:     `  deputy key new panel`,
		Annotations: map[string]string{exitStatus: plainStatus},
	}
	cmd.AddCommand(newKeyNew(a))
	return cmd
}

func newKeyNew(a *app) *cobra.Command {
	var config string
	cmd := &cobra.Command{
		Use:   "new NAME",
		Short: "Make a secret of 256 bits, and print it once",
		Long: `Make a secret of 256 bits, and print it once.

If the key exists the new secret is added to it, so that it can be rotated: give
the new one to the caller, then delete the old line from the file and reload.
A key has at most two live secrets.`,
		Example: `  deputy key new panel
  deputy key new panel > panel.key`,
		Annotations: map[string]string{exitStatus: plainStatus},
		Args:        exactly(1, "the NAME of the key"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !manifest.KeyName(args[0]) {
				return usage("a key's name has letters, digits and . _ -, at most 63, and begins with a letter or a digit")
			}
			c := a.connect()
			path := filepath.Join(a.configDir(cmd.Context(), c, config), "keys", args[0])
			secret, err := addSecret(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(a.err, "wrote %s\n", path)
			if _, err := c.Reload(cmd.Context()); err != nil {
				fmt.Fprintf(a.err, "it is not in force yet: %v\n", err)
			}
			if a.json {
				return a.printJSON(map[string]string{"key": args[0], "file": path, "secret": secret})
			}
			fmt.Fprintln(a.out, secret)
			return nil
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "the `DIR` that holds keys; otherwise the daemon's")
	return cmd
}

// addSecret appends a fresh secret to a key file, which it makes if need be.
// The file is replaced whole: a daemon that reads it sees all or nothing of it.
func addSecret(path string) (string, error) {
	keys, err := rootonly.Open(filepath.Dir(path), 0o700)
	if err != nil {
		return "", fmt.Errorf("cannot make the folder of keys: %w", err)
	}
	defer keys.Close()
	name := filepath.Base(path)
	before, err := keys.Read(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("cannot read the key: %w", err)
	}
	if bytes.Count(bytes.TrimRight(before, "\n"), []byte{'\n'}) >= 1 {
		return "", fmt.Errorf("cannot add a secret: %s has two live ones; delete the line of the old one first", path)
	}
	if n := len(before); n > 0 && before[n-1] != '\n' {
		before = append(before, '\n')
	}
	var random [32]byte
	rand.Read(random[:])
	secret := hex.EncodeToString(random[:])
	if err := keys.Replace(name, append(before, secret+"\n"...), 0o600); err != nil {
		return "", fmt.Errorf("cannot write the key: %w", err)
	}
	return secret, nil
}
