package manifest

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"deputy/internal/monitor/look"
	"deputy/test/rig"
)

// TestMain has this program be a looker, too.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "--role" && os.Args[2] == "look" {
		os.Exit(look.Main())
	}
	os.Exit(m.Run())
}

// TestSilent: a load waits for no file system. An action whose program lies where
// nothing answers cannot be had, and all else is as it was; a file of the policy
// itself is refused.
func TestSilent(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: run as root")
	}
	o := site(t)
	o.Look = look.NewPool([]string{"/proc/self/exe", "--role", "look"})
	t.Cleanup(o.Look.Close)
	dir := filepath.Dir(o.ConfigFile) + "/mnt"
	write(t, dir+"/under", "")
	mount := rig.NewMount(t, dir, 0, map[string]string{"prog": "#!/bin/sh\n", "x.py": ""})
	write(t, filepath.Join(o.ModuleDirs[1], "m.toml"), `user = "root"
[action.program]
command = ["MNT/prog"]
[action.script]
command = ["/usr/bin/python3", "MNT/x.py"]
[action.data]
command = ["/bin/ls", "MNT/none"]
[action.good]
command = ["/bin/ls", "-l"]
`)
	path := filepath.Join(o.ModuleDirs[1], "m.toml")
	write(t, path, strings.ReplaceAll(read(t, path), "MNT", dir))
	p, _ := load(t, o)
	for name, a := range p.Modules["m"].Actions {
		if a.Unusable != "" {
			t.Errorf("%s: %s", name, a.Unusable)
		}
	}
	mount.Hang()
	began := time.Now()
	p, warnings := load(t, o)
	if took := time.Since(began); took > 4*look.Patience {
		t.Errorf("the load took %v", took)
	}
	for name, a := range p.Modules["m"].Actions {
		want := map[string]string{"program": dir + "/prog", "script": dir + "/x.py", "data": dir + "/none"}[name]
		if want != "" {
			want = "cannot check " + want + ": it did not answer within 1s, from " + dir + " on; is its file system mounted and alive?, then: deputy reload"
		}
		if a.Unusable != want {
			t.Errorf("%s:\n got %s\nwant %s", name, a.Unusable, want)
		}
	}
	if len(warnings) != 3 || !strings.HasPrefix(warnings[0], path+":2:9: m/program cannot be had: cannot check "+dir) {
		t.Errorf("the warnings are %q", warnings)
	}
	a := p.Modules["m"].Actions
	trust := Trust{UIDs: []uint32{o.UID}}
	if err := trust.CheckCode(a["good"], o.Look.Open("")); err != nil {
		t.Errorf("the start of another action: %v", err)
	}
	if _, silent := errors.AsType[*look.SilentError](trust.CheckCode(a["program"], o.Look.Open(""))); !silent {
		t.Error("the start of what cannot be seen was checked")
	}
	if err := os.Symlink(dir+"/x.toml", filepath.Join(o.AllowDir, "x.toml")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Load(o); err == nil || !strings.Contains(err.Error(), "/allow.d/x.toml: cannot check ") {
		t.Errorf("a file of rules that does not answer: %v", err)
	}
}
