package manifest

import (
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"deputy/internal/monitor/look"
)

// defaultConfig is what holds without a line of deputy.toml.
func (l *loader) defaultConfig() *Config {
	name, _ := os.Hostname()
	c := &Config{
		Listen: Listen{Unix: UnixListen{Path: l.Socket, Mode: 0o666, GID: -1}},
		Keys:   map[string]CallerSettings{}, Users: map[string]CallerSettings{},
		Server: ServerSettings{Name: name, Confine: true},
		Default: Defaults{
			Timeout: 24 * time.Hour, StartWithin: 24 * time.Hour, Grace: 10 * time.Second, OutputCap: 8 << 20,
			Live: 256, Rate: Rate{100, time.Second}, Connections: 256,
		},
		Storage: Storage{MaxUse: Amount{Percent: 10}, KeepFree: Amount{Percent: 15}, Keep: 90 * 24 * time.Hour},
	}
	if l.Root {
		c.Listen.Line = []string{"127.0.0.1:6667"}
	}
	return c
}

// readConfig reads deputy.toml over the defaults; root is nil if there is none.
func (l *loader) readConfig(root *node) {
	c := l.config
	serverUser := defaultServerUser
	if root != nil {
		path := inFolder(filepath.Dir(root.src.path))
		d := &c.Default
		l.table(root, "deputy.toml", fields{
			"listen": func(n *node) {
				l.table(n, "listen", fields{
					"unix":  l.unixListen(&c.Listen.Unix, path),
					"http":  list(l, &c.Listen.HTTP, func(s string) (string, error) { return address(s, true) }),
					"https": list(l, &c.Listen.HTTPS, func(s string) (string, error) { return address(s, false) }),
					"line": list(l, &c.Listen.Line, func(s string) (string, error) {
						if strings.Contains(s, "/") {
							return path(s)
						}
						return address(s, false)
					}),
				})
			},
			"tls": func(n *node) {
				l.table(n, "tls", fields{
					"certificate": into(l, &c.TLS.Certificate, path), "key": into(l, &c.TLS.Key, path), "client_ca": into(l, &c.TLS.ClientCA, path),
				})
			},
			"key":  l.keySettings,
			"user": l.userSettings,
			"server": func(n *node) {
				l.table(n, "server", fields{"user": into(l, &serverUser, sameText), "name": into(l, &c.Server.Name, audience), "confine": l.flag(&c.Server.Confine)})
			},
			"queue": l.queueTables(true),
			"defaults": func(n *node) {
				l.table(n, "defaults", fields{
					"timeout": into(l, &d.Timeout, timeout), "start_within": into(l, &d.StartWithin, timeout), "grace": into(l, &d.Grace, duration),
					"output": func(n *node) { l.table(n, "output", fields{"cap": into(l, &d.OutputCap, size)}) },
					"per_caller": func(n *node) {
						const most = 1 << 20
						l.table(n, "per_caller", fields{"live": whole(l, &d.Live, 1, most), "rate": into(l, &d.Rate, rate), "connections": whole(l, &d.Connections, 1, most)})
					},
				})
			},
			"storage": func(n *node) {
				s := &c.Storage
				l.table(n, "storage", fields{"max_use": into(l, &s.MaxUse, amount), "keep_free": into(l, &s.KeepFree, amount), "keep": into(l, &s.Keep, period)})
			},
		})
		l.checkListen(root)
	}
	if l.Root {
		l.serverUser(root, serverUser)
	}
}

// inFolder makes a reader of paths that may be relative to a folder.
func inFolder(folder string) func(string) (string, error) {
	return func(text string) (string, error) {
		if !filepath.IsAbs(text) && text != "" {
			text = filepath.Join(folder, text)
		}
		return absolute(text)
	}
}

func (l *loader) unixListen(u *UnixListen, path func(string) (string, error)) func(*node) {
	return func(n *node) {
		if n.kind != isTable {
			into(l, &u.Path, path)(n)
			return
		}
		l.table(n, "unix", fields{
			"path":  into(l, &u.Path, path),
			"mode":  into(l, &u.Mode, mode),
			"group": l.socketGroup(u),
		})
	}
}

// callerSettings reads what one caller may beyond its rules.
func (l *loader) callerSettings(n *node, key bool) CallerSettings {
	var s CallerSettings
	f := fields{"names_end_user": l.flag(&s.NamesEndUser), "auditor": l.flag(&s.Auditor), "operator": l.flag(&s.Operator)}
	if key {
		f["legacy"] = l.flag(&s.Legacy)
	}
	l.table(n, "a caller", f)
	return s
}

func (l *loader) keySettings(n *node) {
	for _, c := range l.members(n) {
		_, err := named(keyName, "a key")(c.key)
		l.wrongKey(c, err)
		s := l.callerSettings(c, true)
		l.config.Keys[c.key] = s
		if s.Legacy {
			l.warn(c, "whoever sees a message of key %s can send it again: legacy = true", c.key)
		}
	}
}

// audience is a name that signatures are made for.
func audience(text string) (string, error) {
	return named("[!-~]{1,255}", "a server")(text)
}

// checkListen holds the front doors against the keys and certificates.
func (l *loader) checkListen(root *node) {
	c := l.config
	if n := root.get("tls"); n != nil && (c.TLS.Certificate == "" || c.TLS.Key == "") {
		l.failKey(n, `write certificate = "cert.pem" and key = "key.pem"`, "[tls] needs a certificate and its key")
	}
	for key, path := range map[string]string{"certificate": c.TLS.Certificate, "key": c.TLS.Key, "client_ca": c.TLS.ClientCA} {
		if path == "" {
			continue
		}
		switch s, err := l.eyes.See(look.Want{Path: path}); {
		case err != nil:
			l.fail(root.find("tls."+key), "mend that, or correct the path", "%v", err)
		case missing(&s):
			l.fail(root.find("tls."+key), "correct the path", "there is no file %s", path)
		}
	}
	listen := root.get("listen")
	if listen == nil {
		return
	}
	if n := listen.get("https"); n != nil && len(c.Listen.HTTPS) > 0 && c.TLS.Certificate == "" {
		l.fail(n, "write [tls] with certificate and key", "https needs a certificate")
	}
	n := listen.get("line")
	for name, s := range c.Keys {
		for i, text := range c.Listen.Line {
			a, err := netip.ParseAddrPort(text)
			if s.Legacy && err == nil && !a.Addr().IsLoopback() && n != nil {
				l.fail(n.children[i], "listen on 127.0.0.1, or remove legacy from [key."+name+"]",
					"key %q has legacy = true, which is for loopback addresses only", name)
			}
		}
	}
}

// serverUser settles whom the server runs as, in a root install.
func (l *loader) serverUser(root *node, name string) {
	at := &node{src: &source{path: l.ConfigFile}}
	if root != nil {
		at = root.find("server.user")
	}
	if name == "" { // the system has an account for it
		return
	}
	u, err := l.user(name)
	if err == nil && privileged(u) {
		err = advise(`write the name of a user of its own: user = "deputy"`, "the server must not run as root: it reads what the network sends")
	}
	if err != nil {
		message, remedy := split(err)
		if at.key != "user" {
			l.failFile(l.ConfigFile, advise(remedy+"; the setting is [server] user", "%s", message))
			return
		}
		l.fail(at, remedy, "%s", message)
	}
	l.config.Server.User = u
}

// idText is a user id as the user database has it.
func idText(uid uint32) string { return strconv.FormatUint(uint64(uid), 10) }
