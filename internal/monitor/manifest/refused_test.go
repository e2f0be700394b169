package manifest

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the .golden files anew")

// TestRefused holds every refusal against its exact message, place and remedy.
func TestRefused(t *testing.T) {
	files, err := filepath.Glob("testdata/refused/*/*.toml")
	if err != nil || len(files) < 100 {
		t.Fatalf("cannot find the cases: %d, %v", len(files), err)
	}
	for _, file := range files {
		kind, name := filepath.Base(filepath.Dir(file)), filepath.Base(file)
		t.Run(kind+"/"+name, func(t *testing.T) {
			t.Parallel()
			o := site(t)
			switch kind {
			case "module":
				write(t, filepath.Join(o.ModuleDirs[1], name), read(t, file))
			case "rule":
				write(t, filepath.Join(o.AllowDir, name), read(t, file))
				write(t, filepath.Join(o.ModuleDirs[1], "good.toml"), read(t, "testdata/good/modules.d/good.toml"))
			case "config":
				write(t, o.ConfigFile, read(t, file))
			}
			set, _, err := Load(o)
			if err == nil || set != nil {
				t.Fatalf("was accepted: %v", set)
			}
			if _, ok := err.(*Problems); !ok {
				t.Fatalf("the error is a %T", err)
			}
			got := strings.ReplaceAll(err.Error(), filepath.Dir(o.ConfigFile)+"/", "") + "\n"
			golden := strings.TrimSuffix(file, ".toml") + ".golden"
			if *update {
				write(t, golden, got)
			}
			if diff := cmp.Diff(read(t, golden), got); diff != "" {
				t.Errorf("the refusal changed (-want +got):\n%s", diff)
			}
		})
	}
}

// site is an empty root install in a folder of its own, owned by whoever tests.
func site(t testing.TB) Options {
	t.Helper()
	dir := t.TempDir()
	o := Options{
		ConfigFile: filepath.Join(dir, "deputy.toml"), ModuleDirs: []string{filepath.Join(dir, "vendor", "modules.d"), filepath.Join(dir, "modules.d")},
		AllowDir: filepath.Join(dir, "allow.d"), KeysDir: filepath.Join(dir, "keys"), Socket: filepath.Join(dir, "deputy.sock"),
		Root: true, UID: uint32(os.Getuid()),
	}
	for _, d := range append(o.ModuleDirs, o.AllowDir, o.KeysDir) {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, o.ConfigFile, "[server]\nuser = \"sys\"\n")
	return o
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
