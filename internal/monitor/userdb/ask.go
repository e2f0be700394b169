package userdb

import (
	"errors"
	"slices"
	"strings"
	"time"
)

// Question is a name that the local files lack.
type Question struct {
	Kind Kind
	Name string // of a user also a number
}

// Kind is a database of the name services, as getent(1) calls it.
type Kind string

const (
	passwd Kind = "passwd"
	group  Kind = "group"
)

// answer is what the name services said of a question. Neither a user nor a
// group: there is none.
type answer struct {
	user    *User
	gid     uint32
	isGroup bool
	at      time.Duration
}

// attempt is when something was last asked, and why it is not known all the same.
type attempt struct {
	at  time.Duration
	why string
}

// Asker asks the name services in turn, for as long as patience lasts. What it has
// not come to by then is not in the map; the error says why.
type Asker func(questions []Question, patience time.Duration) (map[Question]Said, error)

// Said is what getent and id have written. It comes from a process without
// privilege and from whoever serves the names: nothing in it is sure.
type Said struct {
	Failed string // why this name could not be asked for; "": it could
	None   bool   // there is no such name
	Entry  string // the line of getent
	Groups string // of a user: the line of id -G
}

// CanName says whether a text can be the name of a user or a group.
func CanName(text string) bool {
	return text != "" && len(text) <= maxName && printable(text) && !strings.ContainsAny(text, ":/,") &&
		!strings.ContainsAny(text[:1], "-+#~ ") && !strings.HasSuffix(text, " ")
}

// askable says whether it can be asked: getent would take a group's name of digits
// for a number.
func (q Question) askable() bool {
	return CanName(q.Name) && (q.Kind == passwd || strings.Trim(q.Name, "0123456789") != "")
}

const (
	rounds     = 2                // at the same time
	loadTime   = 3 * time.Second  // that a load waits for the name services
	roundTime  = 20 * time.Second // that a refresh does
	minPause   = 5 * time.Second  // between refreshes while something is not known that was
	lookEvery  = time.Second      // at the files, when nobody asks for a decision
	maxAtATime = 4096             // questions of one round
	maxName    = 256              // bytes
)

var errBusy = errors.New("too many ask the name services at this moment")

// ask asks the name services and keeps what they say.
func (d *Database) ask(questions []Question, patience time.Duration) error {
	questions = slices.DeleteFunc(questions, func(q Question) bool { return !q.askable() })
	if d.o.Ask == nil || len(questions) == 0 {
		return nil
	}
	select {
	case d.asking <- struct{}{}:
		defer func() { <-d.asking }()
	default:
		return errBusy
	}
	began := d.o.Now()
	said, err := d.o.Ask(questions[:min(len(questions), maxAtATime)], patience)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.trouble, d.view = "", nil
	close(d.told)
	d.told = make(chan struct{})
	if err != nil {
		d.trouble = err.Error()
	}
	all := err
	stuck := false // at the first of which nothing was said: the next round begins with others
	for _, q := range questions {
		s, ok := said[q]
		if !ok {
			if err != nil && !stuck {
				stuck, d.tried[q] = true, attempt{began, err.Error()}
			}
			continue
		}
		a, wrong := q.read(s)
		if d.tried[q] = (attempt{at: began}); wrong != nil {
			d.tried[q] = attempt{began, wrong.Error()}
			all = errors.Join(all, wrong)
			continue
		}
		a.at = began
		d.known[q] = a
	}
	return all
}
