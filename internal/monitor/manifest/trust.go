package manifest

import "deputy/internal/monitor/look"

// Trust says whose files may decide what runs: root's, and those of UIDs.
type Trust struct {
	UIDs  []uint32
	Alike bool // what is not there and what may not be looked at are told alike: who asks may be anybody
}

// Trusted says why a file cannot be trusted: it, each folder above it, and all
// that its symbolic links lead through must belong to root or one of uids, and
// nobody else may write there.
func Trusted(path string, uids ...uint32) error { return Trust{UIDs: uids}.Check(path) }

// Check is Trusted for several absolute paths. It asks the kernel anew each time,
// and waits as long as that takes.
func (t Trust) Check(paths ...string) error { return t.CheckBy((*look.Pool)(nil).Open(""), paths...) }

// CheckBy is Check by eyes that do not wait. Where nothing can be seen the error
// is theirs.
func (t Trust) CheckBy(eyes *look.Eyes, paths ...string) error {
	for _, path := range paths {
		s, err := eyes.See(look.Want{Path: path})
		if err != nil {
			return err
		}
		if err := t.sight(path, &s); err != nil {
			return err
		}
	}
	return nil
}

// sight is the verdict on what was seen at a path, which must be there.
func (t Trust) sight(path string, s *look.Sight) error {
	err := t.judge(path, s)
	if err == nil {
		err = t.unseen(s)
	}
	if err == nil {
		return nil
	}
	message, remedy := split(err)
	return advise(remedy, "cannot trust %s: %s", path, message)
}
