package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The pages say what the document does; go generate ./packaging/pages writes them anew.
func TestPagesAreCurrent(t *testing.T) {
	document, err := os.ReadFile("../../docs/manifest.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range Pages(string(document)) {
		got, err := os.ReadFile(filepath.Join("../../docs/man", name))
		if err != nil || string(got) != want {
			t.Errorf("%s is not what docs/manifest.md says (%v): go generate ./packaging/pages", name, err)
		}
		if strings.Contains(want, "\n|") || strings.Contains(want, "```") || strings.Contains(want, "<!--") {
			t.Errorf("%s has marks of the document in it", name)
		}
	}
}

// man(1) finds nothing wrong with them.
func TestPagesCanBeShown(t *testing.T) {
	groff, err := exec.LookPath("groff")
	if err != nil {
		t.Fatal("groff is not here; install groff-base")
	}
	for _, name := range []string{"deputy.toml.5", "deputy-manifest.5"} {
		said, err := exec.Command(groff, "-ww", "-man", "-Kutf8", "-Tutf8", "-z", filepath.Join("../../docs/man", name)).CombinedOutput()
		if err != nil || len(said) > 0 {
			t.Errorf("%s: %v\n%s", name, err, said)
		}
	}
}
