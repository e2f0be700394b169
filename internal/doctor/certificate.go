package doctor

import (
	"context"
	"fmt"

	"deputy/internal/monitor/manifest"
)

// Unreadable says which files of [tls] the server, which reads them itself, cannot read,
// and why. Who may not find that out finds nothing.
func Unreadable(set *manifest.Policy) (list []manifest.Problem) {
	c := set.Config
	if len(c.Listen.HTTPS) == 0 {
		return nil
	}
	for _, f := range []struct{ setting, path string }{{"certificate", c.TLS.Certificate}, {"key", c.TLS.Key}, {"client_ca", c.TLS.ClientCA}} {
		if f.path == "" {
			continue
		}
		err := readableBy(c.Server.User, f.path)
		if err == nil {
			continue
		}
		who := "the server"
		if c.Server.User != nil {
			who += ", which runs as " + c.Server.User.Name + ","
		}
		list = append(list, manifest.Problem{Pos: manifest.Pos{File: f.path}, Message: fmt.Sprintf("%s cannot read [tls] %s: %v", who, f.setting, err),
			Remedy: "let it read the file, and enter the folders above: chgrp, chmod g+r, or setfacl"})
	}
	return list
}

// certificateFiles are those of [tls].
func (m *Machine) certificateFiles() (paths []string) {
	if m.policy == nil {
		return nil
	}
	for _, path := range []string{m.policy.Config.TLS.Certificate, m.policy.Config.TLS.Key, m.policy.Config.TLS.ClientCA} {
		if path != "" {
			paths = append(paths, path)
		}
	}
	return paths
}

// certificates looks for what TLS would be refused for.
func certificates(m *Machine, _ context.Context) (list []Finding) {
	if m.policy == nil || len(m.policy.Config.Listen.HTTPS) == 0 {
		return nil
	}
	for _, p := range Unreadable(m.policy) {
		list = append(list, Finding{Level: Wrong, What: place(p.Pos) + p.Message, Follows: "TLS is refused on every https address", Remedy: p.Remedy})
	}
	if list == nil {
		return ok("the server can read the certificate")
	}
	return list
}
