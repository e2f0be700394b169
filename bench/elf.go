//go:build linux

package main

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
)

// The children that are measured do nothing but what their name says, so that
// what remains is the cost of starting them. For amd64 they are programs of a
// few dozen bytes, written here; elsewhere they are made of the system's own.
const (
	childExit  = "exit"  // exits with 0
	childPause = "pause" // waits for a signal
	childTree  = "tree"  // makes treeSize processes, writes one byte, and waits
)

// treeSize is how many processes a tree has beside its first. Each is in
// a session of its own, and its parent is gone.
const treeSize = 1000

const (
	elfAddress = 0x400000
	elfHeaders = 64 + 56 // one ELF header, one program header
)

// writeChildren writes the programs into dir.
func writeChildren(dir string) error {
	texts := map[string][]byte{
		childExit:  []byte("#!/bin/true\n"),
		childPause: []byte("#!/bin/sh\nexec sleep 100000\n"),
		childTree: []byte("#!/bin/sh\nfor i in $(seq 1000); do setsid sh -c 'sleep 100000 &'; done\n" +
			"printf x\nexec sleep 100000\n"),
	}
	if runtime.GOARCH == "amd64" {
		texts = map[string][]byte{childExit: elf(codeExit), childPause: elf(codePause), childTree: elf(codeTree())}
	}
	for name, text := range texts {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o755); err != nil {
			return err
		}
	}
	return nil
}

var codeExit = []byte{
	0x31, 0xff, // xor edi, edi
	0xb8, 60, 0, 0, 0, // mov eax, exit
	0x0f, 0x05, // syscall
}

var codePause = []byte{
	0xb8, 34, 0, 0, 0, // mov eax, pause
	0x0f, 0x05, // syscall
	0xeb, 0xf7, // jmp to the first
}

// codeTree forks treeSize children one after another and waits for each. Each
// begins a session, forks a child that pauses, and exits.
func codeTree() []byte {
	var c []byte
	c = append(c, 0xbb)
	c = binary.LittleEndian.AppendUint32(c, treeSize) // mov ebx, treeSize
	next := len(c)
	c = append(c,
		0xb8, 57, 0, 0, 0, // mov eax, fork
		0x0f, 0x05, // syscall
		0x85, 0xc0, // test eax, eax
		0x74, 0, // jz child
	)
	toChild := len(c) - 1
	c = append(c,
		0x83, 0xcf, 0xff, // or edi, -1
		0x31, 0xf6, // xor esi, esi
		0x31, 0xd2, // xor edx, edx
		0x45, 0x31, 0xd2, // xor r10d, r10d
		0xb8, 61, 0, 0, 0, // mov eax, wait4
		0x0f, 0x05, // syscall
		0xff, 0xcb, // dec ebx
		0x75, 0, // jnz next
	)
	c[len(c)-1] = byte(next - len(c))
	c = append(c,
		0xb8, 1, 0, 0, 0, // mov eax, write
		0xbf, 1, 0, 0, 0, // mov edi, 1
		0xbe, 1, 0, 0x40, 0, // mov esi, elfAddress+1: the E of ELF
		0xba, 1, 0, 0, 0, // mov edx, 1
		0x0f, 0x05, // syscall
	)
	pause := len(c)
	c = append(c, codePause...)
	c[toChild] = byte(len(c) - toChild - 1)
	c = append(c,
		0xb8, 112, 0, 0, 0, // mov eax, setsid
		0x0f, 0x05, // syscall
		0xb8, 57, 0, 0, 0, // mov eax, fork
		0x0f, 0x05, // syscall
		0x85, 0xc0, // test eax, eax
		0x74, 0, // jz pause
	)
	c[len(c)-1] = byte(pause - len(c))
	return append(c, codeExit...)
}

// elf makes a static program of code: the smallest file that elf(5) allows
// without tricks, one segment that holds headers and code.
func elf(code []byte) []byte {
	le := binary.LittleEndian
	b := append([]byte{0x7f, 'E', 'L', 'F', 2, 1, 1}, make([]byte, 9)...) // 64 bits, little endian, version 1
	b = le.AppendUint16(b, 2)                                             // ET_EXEC
	b = le.AppendUint16(b, 62)                                            // EM_X86_64
	b = le.AppendUint32(b, 1)
	b = le.AppendUint64(b, elfAddress+elfHeaders) // entry
	b = le.AppendUint64(b, 64)                    // program headers
	b = le.AppendUint64(b, 0)                     // no section headers
	b = le.AppendUint32(b, 0)
	for _, n := range []uint16{64, 56, 1, 0, 0, 0} { // sizes and counts of headers
		b = le.AppendUint16(b, n)
	}
	size := uint64(elfHeaders + len(code))
	b = le.AppendUint32(b, 1) // PT_LOAD
	b = le.AppendUint32(b, 5) // readable, executable
	for _, n := range []uint64{0, elfAddress, elfAddress, size, size, 0x1000} {
		b = le.AppendUint64(b, n)
	}
	return append(b, code...)
}
