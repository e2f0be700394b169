package reception

// capacity shares out the descriptors that the kernel lets one process have
// (RLIMIT_NOFILE, setrlimit(2)), so that none of what needs them takes those of
// another: journal, births and the start of a server always find some.
type capacity struct {
	tasks       int // live tasks: one each, a pidfd
	connections int // of the Unix sockets, operators' too: one each, and two in the server, where output is read
}

// ownDescriptors is kept for everything else.
const ownDescriptors = 64

// capacityOf shares out limit descriptors.
func capacityOf(limit uint64) capacity {
	n := int(min(limit, 1<<24))
	c := capacity{connections: max(n/4, 16)}
	c.tasks = max(n-ownDescriptors-c.connections, 16)
	return c
}

// ordinary is how many connections there may be until only operators are served.
func (c capacity) ordinary() int { return c.connections * 3 / 4 }

// told is how many there may be until whoever else comes is not even told so.
func (c capacity) told() int { return c.connections * 7 / 8 }
