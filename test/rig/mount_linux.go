package rig

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Mount is a file system whose server can stop to answer, as that of a network
// that has gone, or of a user who wants it so (FUSE, see linux/fuse.h). It holds
// one folder of files.
type Mount struct {
	Dir   string
	dev   *os.File
	names []string
	texts []string
	asked chan struct{} // gets one for each question that is left without an answer, as far as there is room
	valid uint64        // seconds for which the kernel may remember what it was told
	begun chan struct{} // closed: the kernel knows it

	mu      sync.Mutex // guards what follows
	hung    bool
	waiting [][]byte // questions that were left without an answer
	closed  bool
}

// Hang mounts a file system over dir that answers nothing, as a dead server's does,
// until mend is called or the test ends: then each question fails. Who asks sleeps
// meanwhile, and not even SIGKILL ends that.
func Hang(t testing.TB, dir string) (mend func()) {
	t.Helper()
	m := NewMount(t, dir, 0, nil)
	m.Hang()
	return m.close
}

// NewMount mounts files, by name, at dir, until the test ends. The kernel may
// remember what it is told for so many seconds.
func NewMount(t testing.TB, dir string, remembered int, files map[string]string) *Mount {
	t.Helper()
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	m := &Mount{Dir: dir, asked: make(chan struct{}, 64), valid: uint64(remembered), begun: make(chan struct{})}
	for name, text := range files {
		m.names, m.texts = append(m.names, name), append(m.texts, text)
	}
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fd)
	if err := unix.Mount("rig", dir, "fuse.rig", unix.MS_NODEV|unix.MS_NOSUID, options); err != nil {
		unix.Close(fd)
		t.Fatal(err)
	}
	m.dev = os.NewFile(uintptr(fd), "/dev/fuse") // before the mount it cannot be polled
	go m.serve()
	t.Cleanup(m.close)
	<-m.begun
	return m
}

// Hang has it take each question from now on, and answer none. Who asks cannot
// be killed before it is answered, or the test ends.
func (m *Mount) Hang() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hung = true
}

// Answer has it answer again, first what was asked meanwhile.
func (m *Mount) Answer() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hung = false
	for _, question := range m.waiting {
		m.say(question)
	}
	m.waiting = nil
}

// Asked gets one when a question was left without an answer.
func (m *Mount) Asked() <-chan struct{} { return m.asked }

// close gives everybody who waits an error: the connection ends with its only
// descriptor.
func (m *Mount) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	m.closed = true
	_ = unix.Unmount(m.Dir, unix.MNT_FORCE|unix.MNT_DETACH) // by force: all who wait are told
	m.dev.Close()
}

// The questions that are answered, by FUSE's numbers.
const (
	lookup, forget, getattr, open, read, statfs = 1, 2, 3, 14, 15, 17
	release, flush, initialize, opendir         = 18, 25, 26, 27
	batchForget, interrupt                      = 42, 36
)

func (m *Mount) serve() {
	for buffer := make([]byte, 1<<17); ; {
		n, err := m.dev.Read(buffer)
		if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.EINTR) { // it was taken back
			continue
		}
		if err != nil || n < 40 {
			return
		}
		switch binary.NativeEndian.Uint32(buffer[4:]) {
		case forget, batchForget, interrupt: // have no answer
			continue
		}
		m.mu.Lock()
		if m.hung {
			m.waiting = append(m.waiting, bytes.Clone(buffer[:n]))
			select {
			case m.asked <- struct{}{}:
			default:
			}
		} else {
			m.say(buffer[:n])
		}
		m.mu.Unlock()
	}
}

// say answers a question; mu is held.
func (m *Mount) say(question []byte) {
	opcode, unique, node := binary.NativeEndian.Uint32(question[4:]), question[8:16], binary.NativeEndian.Uint64(question[16:])
	body, errno := m.answer(opcode, node, question[40:])
	head := binary.NativeEndian.AppendUint32(nil, uint32(16+len(body)))
	head = append(binary.NativeEndian.AppendUint32(head, uint32(-int32(errno))), unique...)
	_, _ = m.dev.Write(append(head, body...)) // who asked may be gone
	if opcode == initialize {
		close(m.begun)
	}
}

func (m *Mount) answer(opcode uint32, node uint64, body []byte) (reply []byte, errno syscall.Errno) {
	add32 := func(values ...uint32) {
		for _, v := range values {
			reply = binary.NativeEndian.AppendUint32(reply, v)
		}
	}
	add64 := func(values ...uint64) {
		for _, v := range values {
			reply = binary.NativeEndian.AppendUint64(reply, v)
		}
	}
	attributes := func(node uint64) {
		mode, size := uint32(unix.S_IFDIR|0o755), uint64(0)
		if node > 1 {
			mode, size = unix.S_IFREG|0o755, uint64(len(m.texts[node-2]))
		}
		add64(node, size, 1, 1, 1, 1)             // inode, size, blocks, times
		add32(0, 0, 0, mode, 1, 0, 0, 0, 4096, 0) // their nanoseconds, mode, links, owner, group, device, block size, flags
	}
	switch opcode {
	case initialize:
		const severalAtOnce = 1 << 18            // FUSE_PARALLEL_DIROPS
		add32(7, 31, 0, severalAtOnce, 0, 1<<16) // version, read-ahead, flags, background, longest write
		reply = append(reply, make([]byte, 64-len(reply))...)
	case lookup:
		for i, name := range m.names {
			if name+"\x00" == string(body) {
				add64(uint64(i+2), 0, m.valid, m.valid)
				add32(0, 0)
				attributes(uint64(i + 2))
				return reply, 0
			}
		}
		return nil, syscall.ENOENT
	case getattr:
		add64(m.valid)
		add32(0, 0)
		attributes(node)
	case open, opendir:
		add64(0)
		add32(0, 0)
	case read:
		text := m.texts[node-2]
		from := min(binary.NativeEndian.Uint64(body[8:]), uint64(len(text)))
		reply = []byte(text[from:])
	case flush, release:
	case statfs:
		reply = make([]byte, 80)
	default:
		return nil, syscall.ENOSYS
	}
	return reply, 0
}
