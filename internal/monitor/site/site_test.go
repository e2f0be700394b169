package site

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func tree(t *testing.T) Paths {
	p := Under(filepath.Join(t.TempDir(), "etc"), filepath.Join(t.TempDir(), "var"))
	socket := filepath.Join(p.State, "run", "deputy.sock")
	if err := p.MakeDirectories(Access{ServerUID: os.Geteuid(), ServerGID: os.Getegid(), Inherited: true}, socket); err != nil {
		t.Fatal(err)
	}
	return p
}

// The directories are made anew where they are missing, and left alone where they are not.
func TestDirectoriesAreMadeAsOftenAsAsked(t *testing.T) {
	p := tree(t)
	if err := p.MakeDirectories(Access{ServerUID: os.Geteuid(), ServerGID: os.Getegid(), Inherited: true}, filepath.Join(p.State, "deputy.sock")); err != nil {
		t.Error(err)
	}
	for _, dir := range []string{p.Journal(), p.Tasks(), p.History} {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

// A copy of the journal's folder is not the journal, on Linux; one without the file that
// says where it is, is none anywhere.
func TestACopyOfTheJournalIsToldFromIt(t *testing.T) {
	p := tree(t)
	if why, err := p.Restored(); err != nil || why == "" {
		t.Errorf("without the file: %q, %v", why, err)
	}
	if err := p.NotePlace(); err != nil {
		t.Fatal(err)
	}
	if why, err := p.Restored(); err != nil || why != "" {
		t.Errorf("where it was noted: %q, %v", why, err)
	}
	copied := Under(p.Config, filepath.Join(t.TempDir(), "copy"))
	if err := os.CopyFS(copied.State, os.DirFS(p.State)); err != nil {
		t.Fatal(err)
	}
	if why, err := copied.Restored(); err != nil || runtime.GOOS == "linux" && why == "" {
		t.Errorf("of a copy: %q, %v", why, err)
	}
}

// The seal of an installation stays the same from start to start, and is another's nowhere.
func TestTheSealIsTheInstallationsOwn(t *testing.T) {
	p, other := tree(t), tree(t)
	first, fresh, err := p.OpenSeal()
	if err != nil || !fresh {
		t.Fatalf("the first time: fresh %v, %v", fresh, err)
	}
	again, fresh, err := p.OpenSeal()
	if err != nil || fresh {
		t.Fatalf("the second time: fresh %v, %v", fresh, err)
	}
	foreign, _, err := other.OpenSeal()
	if err != nil {
		t.Fatal(err)
	}
	if first("x") != again("x") || first("x") == foreign("x") || first("x") == first("y") {
		t.Error("a seal is not the text's and the installation's")
	}
	if first.OfTask("1")("pin", "x") == first.OfTask("2")("pin", "x") || first.OfTask("1")("pin", "x") == first.OfTask("1")("code", "x") {
		t.Error("equal values of two tasks, or of two params, look the same")
	}
}
