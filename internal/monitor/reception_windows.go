package monitor

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"

	"deputy"
	"deputy/internal/monitor/policy"
	"deputy/internal/wall"
)

const (
	numberLife = 5 * time.Second // of a connection's number after its peer has closed
	sweepEvery = time.Second
	// firstWithin is how long a client may take to say anything: only then does
	// Windows tell who it is.
	firstWithin = 5 * time.Second
	// pendingMax is how many clients may be that silent at once, and pendingEach
	// how many of them one process.
	pendingMax, pendingEach = 256, 16
	ready                   = 8 // ends of the pipe that wait for a client
	pipeBuffer              = 64 << 10
)

// pipeRights let every local user connect, and nobody make an instance of the
// pipe but us: its owner, the system and administrators. Clients of other
// machines are refused by PIPE_REJECT_REMOTE_CLIENTS, too.
// 0x12019b is FILE_GENERIC_READ and FILE_GENERIC_WRITE without FILE_CREATE_PIPE_INSTANCE.
const pipeRights = "D:P(D;;GA;;;NU)(A;;GA;;;SY)(A;;GA;;;BA)(A;;GA;;;OW)(A;;0x12019b;;;AU)"

var (
	advapi32               = windows.NewLazySystemDLL("advapi32.dll")
	procImpersonate        = advapi32.NewProc("ImpersonateNamedPipeClient")
	kernel32               = windows.NewLazySystemDLL("kernel32.dll")
	procPeekNamedPipe      = kernel32.NewProc("PeekNamedPipe")
)

// SIDs that prove nobody: ANONYMOUS LOGON and NULL.
const anonymousSID, nullSID = "S-1-5-7", "S-1-0-0"

// reception makes every instance of the local pipe itself, reads from the
// client's token who is at the other end, gives the connection a number that is
// never used again, and passes it on through the door. It keeps a duplicate of
// the handle, to see the peer go.
type reception struct {
	limit func() int
	ended chan struct{} // closed by close

	mu       sync.Mutex // guards what follows
	serves   sync.Cond  // the door was opened, or we are closed
	door     *wall.Door // nil: no server lives, clients wait
	retiring bool
	closed   bool
	last     uint64
	byNumber map[uint64]*connection
	perUser  map[string]int // connections by SID
	pending  map[uint32]int // silent clients, by process
}

type connection struct {
	number uint64
	handle windows.Handle // 0 once the peer has closed
	who    account
	gone   time.Time // when the peer closed
}

// account is who a token speaks for.
type account struct {
	sid    string
	groups []string // SIDs of the groups that are enabled
}

// newReception makes one that listens nowhere yet. limit gives how many
// connections one user may have.
func newReception(limit func() int) (*reception, error) {
	r := &reception{
		limit: limit, ended: make(chan struct{}),
		byNumber: map[uint64]*connection{}, perUser: map[string]int{}, pending: map[uint32]int{},
		// Numbers of an earlier monitor are not used again either: the clock is ahead of them.
		last: uint64(time.Now().UnixNano()),
	}
	r.serves.L = &r.mu
	return r, nil
}

// open begins to accept, for a server at the other end of door.
func (r *reception) open(door *wall.Door) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.door, r.retiring = door, false
	r.serves.Broadcast()
	return nil
}

// retire closes the door behind the last connection that went through it.
func (r *reception) retire() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.retiring = true
	if r.door != nil {
		r.door.Close()
	}
}

// shut stops accepting and forgets every connection: their numbers die with the
// server they were passed to.
func (r *reception) shut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.door, r.retiring = nil, false
	for _, c := range r.byNumber {
		r.drop(c)
	}
	clear(r.byNumber)
}

// drop closes our duplicate; mu is held.
func (r *reception) drop(c *connection) {
	if c.handle == 0 {
		return
	}
	windows.CloseHandle(c.handle)
	c.handle, c.gone = 0, time.Now()
	if r.perUser[c.who.sid]--; r.perUser[c.who.sid] <= 0 {
		delete(r.perUser, c.who.sid)
	}
}

// identity says who is at the other end of a connection, if its number lives.
func (r *reception) identity(number uint64) (policy.Identity, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.byNumber[number]
	if c == nil || c.handle == 0 && time.Since(c.gone) > numberLife {
		return policy.Identity{}, false
	}
	return policy.Identity{Caller: deputy.SIDCaller(c.who.sid), SIDs: c.who.groups}, true
}

// run accepts and watches until close is called.
func (r *reception) run() error {
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	for {
		select {
		case <-sweep.C:
			r.sweep()
		case <-r.ended:
			return nil
		}
	}
}

func (r *reception) close() {
	r.shut()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.closed = true
		close(r.ended)
		r.serves.Broadcast()
	}
}

// sweep sees which peers have gone, and forgets numbers that have died.
func (r *reception) sweep() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for number, c := range r.byNumber {
		if c.handle != 0 {
			if peeked, _, _ := procPeekNamedPipe.Call(uintptr(c.handle), 0, 0, 0, 0, 0); peeked == 0 {
				r.drop(c)
			}
		}
		if c.handle == 0 && time.Since(c.gone) > numberLife {
			delete(r.byNumber, number)
		}
	}
}

// listen makes the first instance of the pipe, which says that the name is ours.
func (r *reception) listen(path string) error {
	first, err := instance(path, windows.FILE_FLAG_FIRST_PIPE_INSTANCE)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w; another program may have taken the name", path, err)
	}
	go r.accept(path, first)
	for range ready - 1 {
		more, err := instance(path, 0)
		if err != nil {
			return fmt.Errorf("cannot listen on %s: %w", path, err)
		}
		go r.accept(path, more)
	}
	return nil
}

// instance makes one more end of the pipe for one client to connect to.
func instance(path string, flags uint32) (windows.Handle, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return 0, err
	}
	sd, err := windows.SecurityDescriptorFromString(pipeRights)
	if err != nil {
		return 0, err
	}
	attributes := windows.SecurityAttributes{Length: uint32(unsafe.Sizeof(windows.SecurityAttributes{})), SecurityDescriptor: sd}
	return windows.CreateNamedPipe(name, windows.PIPE_ACCESS_DUPLEX|windows.FILE_FLAG_OVERLAPPED|flags,
		windows.PIPE_TYPE_BYTE|windows.PIPE_REJECT_REMOTE_CLIENTS, windows.PIPE_UNLIMITED_INSTANCES, pipeBuffer, pipeBuffer, 0, &attributes)
}

// accept lets one client after another connect to an end of the pipe.
func (r *reception) accept(path string, h windows.Handle) {
	for {
		_, err := overlapped(h, windows.INFINITE, func(o *operation) error { return windows.ConnectNamedPipe(h, &o.Overlapped) })
		if err == nil || errors.Is(err, windows.ERROR_PIPE_CONNECTED) {
			go r.receive(h)
		} else {
			windows.CloseHandle(h)
		}
		for h, err = instance(path, 0); err != nil; h, err = instance(path, 0) {
			select { // no memory or no handle: what there is serves on
			case <-r.ended:
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
}

// operation is one that the kernel works on while we wait: it must not move.
type operation struct {
	windows.Overlapped
	byte [1]byte
}

// overlapped waits for an operation on h, which start begins, at most so many ms.
func overlapped(h windows.Handle, atMost uint32, start func(*operation) error) (*operation, error) {
	event, err := windows.CreateEvent(nil, 1, 0, nil)
	if err != nil {
		return nil, err
	}
	defer windows.CloseHandle(event)
	o := &operation{Overlapped: windows.Overlapped{HEvent: event}}
	var pinner runtime.Pinner
	pinner.Pin(o)
	defer pinner.Unpin()
	if err = start(o); !errors.Is(err, windows.ERROR_IO_PENDING) {
		return o, err
	}
	if state, _ := windows.WaitForSingleObject(event, atMost); state != windows.WAIT_OBJECT_0 {
		_ = windows.CancelIoEx(h, &o.Overlapped) // it may have ended just now
	}
	var n uint32
	return o, windows.GetOverlappedResult(h, &o.Overlapped, &n, true)
}

// receive waits for a client's first byte, identifies it and passes the
// connection on. The token of whoever wrote last is what Windows lends us, so
// nobody can be told before.
func (r *reception) receive(h windows.Handle) {
	var pid uint32
	if windows.GetNamedPipeClientProcessId(h, &pid) != nil || !r.admit(pid) {
		windows.CloseHandle(h)
		return
	}
	o, err := overlapped(h, uint32(firstWithin/time.Millisecond), func(o *operation) error { return windows.ReadFile(h, o.byte[:], nil, &o.Overlapped) })
	var who account
	if err == nil {
		who, err = clientOf(h)
	}
	r.mu.Lock()
	if r.pending[pid]--; r.pending[pid] <= 0 {
		delete(r.pending, pid)
	}
	limit, open := r.limit(), r.perUser[who.sid]
	if err != nil || r.door == nil || open >= 2*limit { // the first limit is told so by the server, the second is not
		r.mu.Unlock()
		windows.CloseHandle(h)
		return
	}
	r.last++
	c := &connection{number: r.last, handle: h, who: who}
	r.byNumber[c.number] = c
	r.perUser[who.sid]++
	door := r.door
	r.mu.Unlock()
	if err := door.Send(wall.Connection{Number: c.number, SID: who.sid, Over: open >= limit, First: o.byte[0]}, uintptr(h)); err != nil {
		r.mu.Lock()
		r.drop(c) // the server is going; the peer is told by the close
		r.mu.Unlock()
	}
}

// admit counts a client that has said nothing yet, and has it wait until a
// server lives; false: it is one too many, or we are closed.
func (r *reception) admit(pid uint32) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.pending) >= pendingMax || r.pending[pid] >= pendingEach {
		return false
	}
	r.pending[pid]++
	for (r.door == nil || r.retiring) && !r.closed {
		r.serves.Wait()
	}
	return !r.closed
}

// clientOf says who the client of a pipe is, from its own token.
func clientOf(h windows.Handle) (account, error) {
	runtime.LockOSThread()
	if ok, _, err := procImpersonate.Call(uintptr(h)); ok == 0 {
		runtime.UnlockOSThread()
		return account{}, fmt.Errorf("cannot tell who a client is: %w", err)
	}
	var token windows.Token
	err := windows.OpenThreadToken(windows.CurrentThread(), windows.TOKEN_QUERY, true, &token)
	if revert := windows.RevertToSelf(); revert != nil {
		panic("cannot become ourselves again: " + revert.Error()) // nothing may go on as the client
	}
	runtime.UnlockOSThread()
	if err != nil {
		return account{}, fmt.Errorf("cannot tell who a client is: %w", err)
	}
	defer token.Close()
	return accountOf(token)
}

// accountOf reads the user and the groups that count out of a token.
func accountOf(token windows.Token) (account, error) {
	user, err := token.GetTokenUser()
	if err != nil {
		return account{}, err
	}
	groups, err := token.GetTokenGroups()
	if err != nil {
		return account{}, err
	}
	a := account{sid: user.User.Sid.String()}
	if a.sid == "" || a.sid == anonymousSID || a.sid == nullSID {
		return account{}, errors.New("a client that is nobody")
	}
	for _, g := range groups.AllGroups() {
		if g.Attributes&windows.SE_GROUP_ENABLED != 0 && g.Attributes&windows.SE_GROUP_USE_FOR_DENY_ONLY == 0 {
			a.groups = append(a.groups, g.Sid.String())
		}
	}
	return a, nil
}
