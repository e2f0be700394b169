package reception

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

// Nothing is read from a connection here, and nothing written to it: who is there is
// read from the client's token, and all else is the server's. The pipe's name is ours
// from its first instance on, or we do not listen.

const (
	sweepEvery = time.Second
	// firstWithin is how long a client may take to say anything: only then does
	// Windows tell who it is.
	firstWithin = 5 * time.Second
	// silentMax is how many clients may be that silent at once, and silentEach
	// how many of them one process.
	silentMax, silentEach = 256, 16
	ready                 = 8 // ends of the pipe that wait for a client
	pipeBuffer            = 64 << 10
)

// pipeRights let every local user connect, and nobody make an instance of the
// pipe but us: its owner, the system and administrators. Clients of other
// machines are refused by PIPE_REJECT_REMOTE_CLIENTS, too.
// 0x12019b is FILE_GENERIC_READ and FILE_GENERIC_WRITE without FILE_CREATE_PIPE_INSTANCE.
const pipeRights = "D:P(D;;GA;;;NU)(A;;GA;;;SY)(A;;GA;;;BA)(A;;GA;;;OW)(A;;0x12019b;;;AU)"

var (
	advapi32          = windows.NewLazySystemDLL("advapi32.dll")
	procImpersonate   = advapi32.NewProc("ImpersonateNamedPipeClient")
	kernel32          = windows.NewLazySystemDLL("kernel32.dll")
	procPeekNamedPipe = kernel32.NewProc("PeekNamedPipe")
)

// SIDs that prove nobody: ANONYMOUS LOGON and NULL.
const anonymousSID, nullSID = "S-1-5-7", "S-1-0-0"

// Reception makes every instance of the local pipe itself, reads from the
// client's token who is at the other end, gives the connection a number that is
// never used again, and passes it on through the door. It keeps its own handle,
// to see the peer go.
type Reception struct {
	connections
	change sync.Cond      // a server lives, or we are closed; of mu
	closed bool           // guarded by mu
	silent map[uint32]int // clients that have said nothing yet, by process; guarded by mu
	ended  chan struct{}  // closed by Close
	waits  chan struct{}  // holds one when a connection waits for its turn
}

// New makes one that listens nowhere yet. account says whose connections a caller's
// are; nil: its own.
func New(account func(deputy.Caller) deputy.Caller) *Reception {
	r := &Reception{silent: map[uint32]int{}, ended: make(chan struct{}), waits: make(chan struct{}, 1)}
	r.begin(account, closeHandle)
	r.change.L = &r.mu
	return r
}

// Prepare finds how many handles there may be.
func (r *Reception) Prepare() (err error) {
	r.capacity, err = findCapacity()
	return err
}

// Open begins to accept, for a server at the other end of door.
func (r *Reception) Open(door *wall.Door) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.door, r.retiring = door, false
	r.change.Broadcast()
	return nil
}

// Retire closes the door behind the last connection that went through it.
func (r *Reception) Retire() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.retiring = true
	if r.door != nil {
		r.door.Close()
	}
}

// Shut stops accepting and forgets every connection: their numbers die with the
// server they were passed to.
func (r *Reception) Shut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.door, r.retiring = nil, false
	r.forget()
}

// Run watches until Close is called.
func (r *Reception) Run() error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	turn := time.NewTimer(sweepEvery)
	defer turn.Stop()
	for {
		select {
		case <-tick.C:
			r.look()
			r.sweep()
		case <-r.waits:
			turn.Reset(r.passLate(sweepEvery))
		case <-turn.C:
			turn.Reset(r.passLate(sweepEvery))
		case <-r.ended:
			return nil
		}
	}
}

func (r *Reception) Close() {
	r.Shut()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.closed = true
		close(r.ended)
		r.change.Broadcast()
	}
}

// look sees which peers have gone. Nothing tells of it: the server reads, and
// disconnects the pipe when it is done with a connection.
func (r *Reception) look() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for fd, c := range r.byFD {
		if there, _, _ := procPeekNamedPipe.Call(uintptr(fd), 0, 0, 0, 0, 0); there == 0 {
			r.drop(fd, c)
		}
	}
}

func closeHandle(handle int) { windows.CloseHandle(windows.Handle(handle)) }

// Listen makes the first instance of the pipe, which says that the name is ours.
func (r *Reception) Listen(path string) error {
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
func (r *Reception) accept(path string, h windows.Handle) {
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
func (r *Reception) receive(h windows.Handle) {
	var pid uint32
	if windows.GetNamedPipeClientProcessId(h, &pid) != nil || !r.await(pid) {
		windows.CloseHandle(h)
		return
	}
	o, err := overlapped(h, uint32(firstWithin/time.Millisecond), func(o *operation) error { return windows.ReadFile(h, o.byte[:], nil, &o.Overlapped) })
	var who policy.Identity
	if err == nil {
		who, err = clientOf(h)
	}
	r.mu.Lock()
	r.heard(pid)
	var c *connection
	now := false
	if err == nil {
		c = r.admit(int(h), who)
	}
	if c != nil {
		c.first = o.byte[0]
		now = r.passes(c)
	}
	r.mu.Unlock()
	switch {
	case c == nil:
		windows.CloseHandle(h)
	case now:
		r.pass(c)
	default:
		r.parked()
	}
}

// parked has Run look at those that wait for their turn.
func (r *Reception) parked() {
	select {
	case r.waits <- struct{}{}:
	default:
	}
}

// await counts a client that has said nothing yet, and has it wait until a
// server lives; false: it is one too many, or we are closed.
func (r *Reception) await(pid uint32) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := 0
	for _, n := range r.silent {
		all += n
	}
	if all >= silentMax || r.silent[pid] >= silentEach {
		return false
	}
	r.silent[pid]++
	for (r.door == nil || r.retiring) && !r.closed {
		r.change.Wait()
	}
	return !r.closed
}

// heard uncounts it; mu is held.
func (r *Reception) heard(pid uint32) {
	if r.silent[pid]--; r.silent[pid] <= 0 {
		delete(r.silent, pid)
	}
}

// clientOf says who the client of a pipe is, from its own token.
func clientOf(h windows.Handle) (policy.Identity, error) {
	runtime.LockOSThread()
	if ok, _, err := procImpersonate.Call(uintptr(h)); ok == 0 {
		runtime.UnlockOSThread()
		return policy.Identity{}, fmt.Errorf("cannot tell who a client is: %w", err)
	}
	var token windows.Token
	err := windows.OpenThreadToken(windows.CurrentThread(), windows.TOKEN_QUERY, true, &token)
	if revert := windows.RevertToSelf(); revert != nil {
		panic("cannot become ourselves again: " + revert.Error()) // nothing may go on as the client
	}
	runtime.UnlockOSThread()
	if err != nil {
		return policy.Identity{}, fmt.Errorf("cannot tell who a client is: %w", err)
	}
	defer token.Close()
	return identityIn(token)
}

// identityIn reads the user and the groups that count out of a token.
func identityIn(token windows.Token) (policy.Identity, error) {
	user, err := token.GetTokenUser()
	if err != nil {
		return policy.Identity{}, err
	}
	groups, err := token.GetTokenGroups()
	if err != nil {
		return policy.Identity{}, err
	}
	sid := user.User.Sid.String()
	if sid == "" || sid == anonymousSID || sid == nullSID {
		return policy.Identity{}, errors.New("cannot tell who a client is: it is nobody")
	}
	id := policy.Identity{Caller: deputy.SIDCaller(sid)}
	for _, g := range groups.AllGroups() {
		if g.Attributes&windows.SE_GROUP_ENABLED != 0 && g.Attributes&windows.SE_GROUP_USE_FOR_DENY_ONLY == 0 {
			id.GroupSIDs = append(id.GroupSIDs, g.Sid.String())
		}
	}
	return id, nil
}
