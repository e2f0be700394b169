//go:build linux

package wine

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// Release is the Debian whose Wine is used: the one before cannot run Go's
// programs.
const Release = "trixie"

// treeEnv names the directory of the tree, if it is not to be the usual one.
const treeEnv = "DEPUTY_WINE"

// tree gives the directory of a Debian with Wine, DIR/root, and of a Wine prefix
// that nothing has run in, DIR/prefix. Both are made once for a machine and never
// written to again.
func tree() (string, error) {
	dir := os.Getenv(treeEnv)
	if dir == "" {
		dir = "/var/tmp/deputy-wine-" + Release
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil { // another run may be making it
		return "", err
	}
	for _, part := range []struct{ name, script string }{{"root", makeRoot}, {"prefix", makePrefix}} {
		if _, err := os.Stat(filepath.Join(dir, part.name)); err == nil {
			continue
		}
		if err := script(dir, part.name, part.script); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// makeRoot takes Debian from where this machine takes its packages, with what
// apt was told here of proxies and the like.
const makeRoot = `
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | sed -nE 's/^(URIs: *|deb (\[[^]]*\] )?)(https?:[^ ]+).*/\3/p' | head -n 1)
rm -rf root.new
debootstrap --variant=minbase ` + Release + ` root.new "$mirror"
for f in $(grep -lsi '^ *acquire' /etc/apt/apt.conf /etc/apt/apt.conf.d/* || true); do cp "$f" root.new/etc/apt/apt.conf.d/; done
cp /etc/resolv.conf /etc/hosts root.new/etc/ 2>/dev/null || true
chroot root.new sh -c 'apt-get -q update && apt-get -q install -y --no-install-recommends wine64 && apt-get clean'
mv root.new root
`

const makePrefix = `
rm -rf prefix.new; mkdir prefix.new
mount --make-rprivate /
mount -t proc proc root/proc
mount --bind /dev root/dev
mount --bind prefix.new root/mnt
chroot root env -i ` + environment + ` WINEPREFIX=/mnt sh -c '/usr/lib/wine/wineserver -p && /usr/lib/wine/wine64 wineboot -i && /usr/lib/wine/wineserver -k && /usr/lib/wine/wineserver -w'
rm -f prefix.new/dosdevices/z:
ln -s / prefix.new/dosdevices/z:
mv prefix.new prefix
`

// environment is that of every program of Wine.
const environment = `PATH=/usr/lib/wine:/usr/bin:/bin HOME=/root LANG=C.UTF-8 XDG_RUNTIME_DIR=/tmp WINEDEBUG=-all WINEDLLOVERRIDES=mscoree,mshtml=`

// script runs in namespaces of its own: what it mounts is gone when it ends, and
// what it started too.
func script(dir, what, text string) error {
	log := filepath.Join(dir, what+".log")
	out, err := os.Create(log)
	if err != nil {
		return err
	}
	defer out.Close()
	c := exec.Command("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-euc", text)
	c.Dir, c.Stdout, c.Stderr = dir, out, out
	if err := c.Run(); err != nil {
		said, _ := os.ReadFile(log)
		return fmt.Errorf("cannot make %s/%s: %w\n%s", dir, what, err, tail(string(said), 40))
	}
	return nil
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
