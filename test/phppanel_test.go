//go:build linux

package test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"deputy"
	"deputy/test/rig"
)

// panel is examples/php-panel under a real php-fpm and nginx. Its pool runs as
// the web server's user, and only that user may ask.
func panel(t *testing.T) (*web, *rig.Deputy) {
	t.Helper()
	root, err := rig.Root()
	if err != nil {
		t.Fatal(err)
	}
	w := newServer(t)
	d := prepare(t, fmt.Sprintf(`name = "SCAN_MODULE"
params.task_ids = { type = "array", items = { type = "integer", minimum = 1, maximum = 999999 }, minItems = 1, maxItems = 1 }
[allow]
users = ["uid:%d"]
[action.start]
for_each = "task_id in task_ids"
lock     = "{task_id}"
command  = ["/usr/bin/python3", "WORK/scan.py", "-t", "{task_id}", "--interval", "0.2", "--steps", "500", "--children", "2"]
grace    = "500ms"
[action.stop]
for_each = "task_id in task_ids"
stops    = "start"
lock     = "{task_id}"
`, w.uid), rig.Files{"deputy.toml": fmt.Sprintf("%s[user.\"uid:%d\"]\nnames_end_user = true\n", wide, w.uid)})
	w.place(d)
	scan, err := os.ReadFile(filepath.Join(root, "modules/scan/scan.py"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.Work, "scan.py"), scan, 0o644); err != nil {
		t.Fatal(err)
	}
	d.Start()
	for _, file := range []string{"examples/php-panel/index.php", "clients/php/Deputy.php"} {
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		w.file(filepath.Base(file), string(text), 0o644)
	}
	w.file("users", "alice:{PLAIN}secret\n<i>eve:{PLAIN}secret\n", 0o644)
	w.fpm(d)
	w.serve(`location / {
			auth_basic           panel;
			auth_basic_user_file DIR/users;
			include              /etc/nginx/fastcgi_params;
			fastcgi_param SCRIPT_FILENAME DIR/index.php;
			fastcgi_pass  unix:DIR/php.sock;
		}`)
	w.answering("tcp", w.address)
	w.url = "http://" + w.address
	return w, d
}

// fpm starts php-fpm with one pool, as root if root tests.
func (w *web) fpm(d *rig.Deputy) {
	w.t.Helper()
	programs, _ := filepath.Glob("/usr/sbin/php-fpm*")
	if len(programs) == 0 {
		w.t.Fatal("php-fpm is not installed: test/run installs it")
	}
	user := ""
	if w.uid != os.Geteuid() {
		user = "user = www-data\nlisten.owner = www-data\n"
	}
	w.file("fpm.conf", fmt.Sprintf(`[global]
daemonize = no
error_log = %[1]s/fpm.log
[panel]
%[2]slisten = %[1]s/php.sock
pm = static
pm.max_children = 4
catch_workers_output = yes
env[DEPUTY_SOCKET] = %[3]s
php_admin_value[session.save_path] = %[1]s
php_admin_flag[display_errors] = on
`, w.dir, user, d.Socket), 0o644)
	master := *w
	master.uid = os.Geteuid()
	master.run(programs[len(programs)-1], "-F", "-n", "-y", w.dir+"/fpm.conf")
	w.answering("unix", w.dir+"/php.sock")
}

// visitor is a person with a browser that keeps cookies and follows nothing.
type visitor struct {
	*web
	name string
	http *http.Client
}

func (w *web) visitor(name string) *visitor {
	jar, _ := cookiejar.New(nil)
	return &visitor{w, name, &http.Client{Jar: jar, Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

func (v *visitor) do(method, target string, form url.Values) rig.Answer {
	v.t.Helper()
	req, err := http.NewRequest(method, v.url+"/"+target, strings.NewReader(form.Encode()))
	if err != nil {
		v.t.Fatal(err)
	}
	if v.name != "" {
		req.SetBasicAuth(v.name, "secret")
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	answer, err := v.http.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	for _, bad := range []string{"Warning:", "Notice:", "Deprecated:", "Fatal error:"} {
		if strings.Contains(string(text), bad) {
			v.t.Errorf("%s %s: PHP says %s", method, target, text)
		}
	}
	return rig.Answer{Status: answer.StatusCode, Header: answer.Header, Body: text}
}

func (v *visitor) get(target string) rig.Answer { v.t.Helper(); return v.do("GET", target, nil) }

// token takes the token from a page's form.
func (v *visitor) token(target string) string {
	v.t.Helper()
	a := v.get(target)
	m := regexp.MustCompile(`name="token" value="([0-9a-f]{64})"`).FindSubmatch(a.Body)
	if a.Status != 200 || m == nil {
		v.t.Fatalf("no form on %q: %d %s", target, a.Status, a.Body)
	}
	return string(m[1])
}

// start starts a scan and gives its id.
func (v *visitor) start(number string) string {
	v.t.Helper()
	a := v.do("POST", "", url.Values{"do": {"start"}, "number": {number}, "token": {v.token("")}})
	id, ok := strings.CutPrefix(a.Header.Get("Location"), "?task=")
	if a.Status != 303 || !ok {
		v.t.Fatalf("start is answered %d %v %s", a.Status, a.Header, a.Body)
	}
	return id
}

func TestPHPPanel(t *testing.T) {
	w, d := panel(t)
	alice := w.visitor("alice")
	id := alice.start("7")

	// Its output comes while it runs.
	var part struct {
		Text, State string
		Next        int64
	}
	out := ""
	for !strings.Contains(out, "step 2 of 500") {
		alice.get(fmt.Sprintf("?output=%s&offset=%d", id, part.Next)).Read(t, 200, &part)
		out += part.Text
		if int64(len(out)) != part.Next || part.State != "queued" && part.State != "running" {
			t.Fatalf("%d bytes, next %d, state %s: %q", len(out), part.Next, part.State, out)
		}
	}
	page := alice.get("?task=" + id)
	for _, want := range []string{"Scan 7", `id="state">running<`, "step 2 of 500", `value="stop"`, `const task = {"id":"` + id} {
		if !strings.Contains(string(page.Body), want) {
			t.Errorf("the page has no %q: %s", want, page.Body)
		}
	}
	if csp := page.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
		t.Errorf("Content-Security-Policy: %q", csp)
	}
	if living := rig.Living(id); len(living) < 5 {
		t.Errorf("only %d processes of the scan live", len(living))
	}

	stopped := alice.do("POST", "", url.Values{"do": {"stop"}, "task": {id}, "token": {alice.token("")}})
	if stopped.Status != 303 || stopped.Header.Get("Location") != "?task="+id {
		t.Fatalf("stop is answered %d %s", stopped.Status, stopped.Body)
	}
	if living := rig.Living(id); len(living) > 0 {
		t.Errorf("%d processes live after the stop", len(living))
	}
	task := d.Self().Task(id)
	if task.State != deputy.Stopped || task.Caller != deputy.UIDCaller(uint32(w.uid)) || task.EndUser == nil || *task.EndUser != "alice" {
		t.Errorf("the task is %+v", task)
	}
	page = alice.get("?task=" + id)
	if !strings.Contains(string(page.Body), "Nothing of it lives") || !strings.Contains(string(page.Body), "stopped by uid:") || strings.Contains(string(page.Body), "<script") {
		t.Errorf("the page is %s", page.Body)
	}
	if list := alice.get(""); !strings.Contains(string(list.Body), "?task="+id) {
		t.Errorf("the list has not the scan: %s", list.Body)
	}
}

// Nothing is started by who is nobody, by a form of another page, or by another
// local user; and nobody sees another person's scan.
func TestPHPPanelRefuses(t *testing.T) {
	w, d := panel(t)
	alice, eve := w.visitor("alice"), w.visitor("<i>eve")
	if a := w.visitor("").get(""); a.Status != 401 {
		t.Errorf("nobody sees %d", a.Status)
	}
	token := alice.token("")
	for _, form := range []url.Values{
		{"do": {"start"}, "number": {"1"}},
		{"do": {"start"}, "number": {"1"}, "token": {""}},
		{"do": {"start"}, "number": {"1"}, "token": {strings.Repeat("0", 64)}},
		{"do": {"start"}, "number": {"1"}, "token": {eve.token("")}},
		{"do": {"start"}, "number": {"1"}, "token[]": {token}},
	} {
		if a := alice.do("POST", "", form); a.Status != 403 {
			t.Errorf("%v is answered %d %s", form, a.Status, a.Body)
		}
	}
	if a := w.visitor("alice").do("POST", "", url.Values{"do": {"start"}, "number": {"1"}, "token": {token}}); a.Status != 403 {
		t.Errorf("a token without its cookie is answered %d", a.Status)
	}
	for _, number := range []string{"0", "-1", "1; id", "<script>alert(1)</script>", "", "99999999999999999999"} {
		a := alice.do("POST", "", url.Values{"do": {"start"}, "number": {number}, "token": {token}})
		if a.Status != 422 || strings.Contains(string(a.Body), "<script") {
			t.Errorf("number %q is answered %d %s", number, a.Status, a.Body)
		}
	}
	if n := len(d.Events(deputy.Accepted)); n != 0 {
		t.Fatalf("%d requests were accepted", n)
	}
	if w.uid != os.Geteuid() {
		d.Self().Call("SCAN_MODULE/start", `{"task_ids":[1]}`).Refused(t, 403, deputy.NotAllowed)
	}

	id := alice.start("1")
	for _, target := range []string{"?task=" + id, "?output=" + id, "?task=..%2Factions", "?task="} {
		if a := eve.get(target); a.Status != 404 || strings.Contains(string(a.Body), "step") {
			t.Errorf("another sees at %q: %d %s", target, a.Status, a.Body)
		}
	}
	if a := eve.do("POST", "", url.Values{"do": {"stop"}, "task": {id}, "token": {eve.token("")}}); a.Status != 404 {
		t.Errorf("another's stop is answered %d %s", a.Status, a.Body)
	}
	if list := string(eve.get("").Body); strings.Contains(list, id) || strings.Contains(list, "<i>") || !strings.Contains(list, "&lt;i&gt;eve") {
		t.Errorf("another's list is %s", list)
	}
	alice.do("POST", "", url.Values{"do": {"stop"}, "task": {id}, "token": {alice.token("")}})
	var last struct{ State string }
	if err := json.Unmarshal(alice.get("?output="+id+"&offset=0").Body, &last); err != nil || last.State != "stopped" {
		t.Errorf("state %q, %v", last.State, err)
	}
}
