//go:build unix

package process

// Credential is whom an attempt runs as. Groups are all its supplementary ones.
type Credential struct {
	UID, GID uint32
	Groups   []uint32
}
