package main

import (
	"path/filepath"

	"deputy/internal/monitor/look"
	"deputy/internal/monitor/manifest"
)

// lookers see what stands at paths. What hangs is one of them, deputyd in that role,
// and not this program: while a file system does not answer it could not even be
// ended. Without a deputyd there are none, and it waits for as long as it takes.
func lookers() *look.Pool {
	daemon, err := findDaemon()
	if err != nil {
		return nil
	}
	return look.NewPool([]string{daemon, "--role", "look"})
}

// declared is where a policy is read from.
func declared(o manifest.Options) []string {
	return append([]string{o.ConfigFile, o.AllowDir, o.KeysDir}, o.ModuleDirs...)
}

// answering says which of some paths does not answer. What else is wrong with them
// those say who use them.
func answering(p *look.Pool, paths ...string) error {
	for _, path := range paths {
		whole, err := filepath.Abs(path)
		if path == "" || err != nil {
			continue
		}
		if err := p.Silent(whole); err != nil {
			return err
		}
	}
	return nil
}
