package userdb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// site is a user database of a test's own.
type site struct {
	*Database
	t      *testing.T
	dir    string
	now    time.Duration
	told   []string
	asked  [][]Question
	answer map[Question]Said
	fails  error
}

const (
	passwdText = "root:x:0:0:root:/root:/bin/bash\nalice:x:1001:1001::/home/alice:/bin/bash\nweb:x:33:33::/var/www:/usr/sbin/nologin\n"
	groupText  = "root:x:0:\nwww:x:33:\nalice:x:1001:\nstaff:x:50:alice,web\n"
)

func newSite(t *testing.T, asks bool) *site {
	s := &site{t: t, dir: t.TempDir(), now: time.Hour, answer: map[Question]Said{}}
	s.write("passwd", passwdText)
	s.write("group", groupText)
	o := Options{
		Passwd: filepath.Join(s.dir, "passwd"), Group: filepath.Join(s.dir, "group"),
		Tell: func(text string) { s.told = append(s.told, text) }, Now: func() time.Duration { return s.now },
	}
	if asks {
		o.Ask = func(questions []Question, _ time.Duration) (map[Question]Said, error) {
			s.asked = append(s.asked, questions)
			said := map[Question]Said{}
			for _, q := range questions {
				if a, ok := s.answer[q]; ok && s.fails == nil {
					said[q] = a
				}
			}
			return said, s.fails
		}
	}
	s.Database = Open(o)
	return s
}

func (s *site) write(name, text string) {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path+".new", []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		s.t.Fatal(err)
	}
}

// adopt puts a policy with these names in force, as a load does.
func (s *site) adopt(users, groups string) {
	s.t.Helper()
	r := s.Read()
	look := func() {
		for _, u := range strings.Fields(users) {
			r.User(u)
		}
		for _, g := range strings.Fields(groups) {
			r.Group(g)
		}
	}
	if look(); r.Await() {
		look()
	}
	s.Adopt(r.Words)
}

// uid is whom a name stands for now, or why for nobody.
func (s *site) uid(name string) string {
	if n, ok := s.View().UID(name); ok {
		return fmt.Sprint(n)
	}
	return s.View().WhyNot(name)
}

func (s *site) want(name, want string) {
	s.t.Helper()
	if got := s.uid(name); !strings.HasPrefix(got, want) {
		s.t.Errorf("%s is %q, want %q", name, got, want)
	}
}

// A name that is deleted, given another number, or whose number another has got,
// grants nothing from the next decision on, without a load.
func TestANumberThatAnotherHasGot(t *testing.T) {
	s := newSite(t, false)
	s.adopt("alice web", "staff")
	s.want("alice", "1001")
	first := s.Version()
	s.write("passwd", strings.Replace(passwdText, "alice", "bob", 1)) // of another inode, of other bytes
	s.want("alice", `there is no user "alice"; create it`)
	s.want("bob", `the user "bob" was not looked up`)
	s.want("web", "33")
	if s.Version() == first {
		t.Error("the version is the same")
	}
	s.write("passwd", passwdText)
	s.want("alice", "1001") // it has the number that it had
	s.write("passwd", strings.Replace(passwdText, "1001", "1002", 1))
	s.want("alice", `the user "alice" has uid 1002 now, and had 1001 when the policy was loaded; if that is who is meant: deputy reload`)
	s.adopt("alice", "")
	s.want("alice", "1002")
	want := []string{
		`there is no user "alice": rules that name it grant nothing, and no task runs as it; create it (useradd --system alice) or correct the name`,
		`the user "alice" is known again`,
		`the user "alice" has uid 1002 now, and had 1001 when the policy was loaded: rules that name it grant nothing, and no task runs as it; if that is who is meant: deputy reload`,
	}
	if !slices.Equal(s.told, want) {
		t.Errorf("told:\n%s", strings.Join(s.told, "\n"))
	}
}

// The same for groups, and for who is in them.
func TestGroupsThatChange(t *testing.T) {
	s := newSite(t, false)
	s.adopt("alice web uid:33", "staff")
	if u := s.View().User("web"); !slices.Equal(u.Groups, []uint32{33, 50}) || u.Shell != "/bin/sh" || s.View().User("uid:33") != u {
		t.Errorf("%+v", u)
	}
	s.write("group", strings.Replace(groupText, "alice,web", "alice", 1))
	if u := s.View().User("web"); !slices.Equal(u.Groups, []uint32{33}) {
		t.Errorf("%+v", u)
	}
	s.write("group", strings.Replace(groupText, "staff:x:50", "staff:x:51", 1))
	if _, ok := s.View().GID("staff"); ok || !strings.Contains(s.View().WhyNotGroup("staff"), "has gid 51 now, and had 50") {
		t.Error(s.View().WhyNotGroup("staff"))
	}
	s.write("group", strings.Replace(groupText, "staff", "stuff", 1))
	if _, ok := s.View().GID("staff"); ok {
		t.Error("a group that is gone has a number")
	}
	for _, text := range []string{"50", "gid:50"} {
		if gid, ok := s.View().GID(text); !ok || gid != 50 {
			t.Errorf("%s is %d, %v", text, gid, ok)
		}
	}
}

// A file that is written in place, with as many bytes, within one tick of the
// clock that stamps it, is seen all the same.
func TestAChangeWithinOneTick(t *testing.T) {
	s := newSite(t, false)
	s.adopt("alice", "")
	path := filepath.Join(s.dir, "passwd")
	for i := range 200 {
		text := passwdText
		if i%2 == 0 {
			text = strings.Replace(passwdText, "alice", "carol", 1)
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte(text), 0); err != nil {
			t.Fatal(err)
		}
		f.Close()
		if _, ok := s.View().UID("alice"); ok != (i%2 == 1) {
			t.Fatalf("change %d was not seen", i)
		}
	}
}

// What cannot be read names nobody, and says why.
func TestFilesThatCannotBeRead(t *testing.T) {
	s := newSite(t, false)
	s.adopt("alice", "staff")
	path := filepath.Join(s.dir, "group")
	for _, spoil := range []func() error{
		func() error { return os.Remove(path) },
		func() error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o755)) },
		func() error { return os.WriteFile(path, make([]byte, maxFile+1), 0o644) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		s.want("alice", `whether there is a user "alice" is not known: cannot`)
		if !s.View().Unknown("alice") {
			t.Error("it is taken for gone")
		}
		os.Remove(path)
		s.write("group", groupText)
		s.want("alice", "1001")
	}
}

// A name that was not known when the policy was loaded gets the first number
// that it has, and keeps that.
func TestANameThatComesLater(t *testing.T) {
	s := newSite(t, false)
	s.adopt("carol", "")
	s.want("carol", "there is no user")
	s.write("passwd", passwdText+"carol:x:1003:1003:::\n")
	s.want("carol", "1003")
	if u := s.View().User("carol"); u.Home != "/" || u.Shell != "/bin/sh" {
		t.Errorf("empty fields are %+v", u)
	}
	s.write("passwd", passwdText+"carol:x:1004:1004:::\n")
	s.want("carol", `the user "carol" has uid 1004 now`)
}

// What the name services say counts for five minutes, and not if it is older.
func TestWhatTheNameServicesSay(t *testing.T) {
	s := newSite(t, true)
	eve := Question{passwd, "eve"}
	s.answer[eve] = Said{Entry: "eve:*:5001:5001:Eve:/home/eve:/bin/zsh", Groups: "5001 5007"}
	s.answer[Question{group, "team"}] = Said{Entry: "team:*:5007:eve"}
	s.answer[Question{passwd, "nosuch"}] = Said{None: true}
	s.adopt("eve nosuch mute alice", "team")
	s.want("eve", "5001")
	s.want("nosuch", `there is no user "nosuch"`)
	s.want("mute", `whether there is a user "mute" is not known: the name services have not answered yet; ask again in a moment`)
	if u := s.View().User("eve"); !slices.Equal(u.Groups, []uint32{5001, 5007}) || u.Shell != "/bin/zsh" {
		t.Errorf("%+v", u)
	}
	if gid, _ := s.View().GID("team"); gid != 5007 {
		t.Errorf("team is %d", gid)
	}
	if slices.ContainsFunc(s.asked[0], func(q Question) bool { return q.Name == "alice" }) {
		t.Error("who is in the local file was asked for")
	}
	if due := s.due(); len(due) != 1 || due[0].Name != "mute" {
		t.Errorf("due at once: %v", due)
	}
	s.now += refreshEvery
	if due := s.due(); len(due) != 4 {
		t.Errorf("due after a minute: %v", due)
	}
	s.fails = fmt.Errorf("the name services have not answered within 20s")
	_ = s.ask(s.due(), roundTime)
	s.want("eve", "5001")
	s.now += staleAfter - refreshEvery - 1
	s.want("eve", "5001")
	s.now++
	s.want("eve", `whether there is a user "eve" is not known: the name services have not answered within 20s`)
	s.fails = nil
	s.answer[eve] = Said{Entry: "eve:*:5002:5001:Eve:/home/eve:/bin/zsh", Groups: "5001"}
	_ = s.ask(s.due(), roundTime)
	s.want("eve", `the user "eve" has uid 5002 now, and had 5001`)
	s.answer[eve] = Said{None: true}
	s.now += refreshEvery
	_ = s.ask(s.due(), roundTime)
	s.want("eve", `there is no user "eve"`)
	// The local file is asked first.
	s.write("passwd", passwdText+"eve:x:1009:1009:::\n")
	s.want("eve", `the user "eve" has uid 1009 now`)
}

// Callers whom no policy names are asked for beside everything else.
func TestCallersOfTheNameServices(t *testing.T) {
	s := newSite(t, true)
	s.answer[Question{passwd, "5001"}] = Said{Entry: "eve:*:5001:5001:Eve:/home/eve:/bin/zsh", Groups: "5001 5007"}
	s.answer[Question{passwd, "5002"}] = Said{None: true}
	if u, known := s.Caller(1001); u == nil || u.Name != "alice" || !known {
		t.Errorf("%+v %v", u, known)
	}
	if s.Name(1001) != "alice" || s.Name(5001) != "" {
		t.Errorf("names are %q and %q", s.Name(1001), s.Name(5001))
	}
	for _, uid := range []uint32{5001, 5002} {
		if u, known := s.Caller(uid); u != nil || known {
			t.Errorf("before it was asked: %+v %v", u, known)
		}
	}
	if err := s.ask(s.strangers(), roundTime); err != nil {
		t.Fatal(err)
	}
	if u, known := s.Caller(5001); u == nil || u.Name != "eve" || !known {
		t.Errorf("%+v %v", u, known)
	}
	if u, known := s.Caller(5002); u != nil || !known {
		t.Errorf("%+v %v", u, known)
	}
	for uid := range uint32(3 * maxCurious) {
		s.Caller(1<<20 + uid)
	}
	if len(s.curious) > maxCurious || len(s.strangers()) != maxOnce {
		t.Errorf("%d are to be asked for", len(s.curious))
	}
}

func BenchmarkView(b *testing.B) {
	d := Open(Options{})
	r := d.Read()
	r.User("root")
	d.Adopt(r.Words)
	for b.Loop() {
		d.View()
	}
}

func BenchmarkStat(b *testing.B) {
	var st unix.Stat_t
	for b.Loop() {
		unix.Stat("/etc/passwd", &st)
	}
}
