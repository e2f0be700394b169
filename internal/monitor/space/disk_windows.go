package space

import (
	"os"
	"unsafe"

	"golang.org/x/sys/windows"
)

// fileSystem says how the one stands that path is on, of what we may still take.
func fileSystem(path string) (disk, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return disk{}, err
	}
	var mine, all uint64
	if err := windows.GetDiskFreeSpaceEx(name, &mine, &all, nil); err != nil {
		return disk{}, err
	}
	return disk{total: int64(all), free: int64(mine)}, nil
}

// compressionInfo is FILE_COMPRESSION_INFO.
type compressionInfo struct {
	size   int64 // on the disk
	format uint16
	_      [6]byte
}

const fileCompressionInfo = 8 // FileCompressionInfo of FILE_INFO_BY_HANDLE_CLASS

// allocated is what a file takes on the disk, in bytes, holes left out; 0 if it
// is gone.
func allocated(path string) int64 {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return 0
	}
	h, err := windows.CreateFile(name, windows.FILE_READ_ATTRIBUTES, windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE|windows.FILE_SHARE_DELETE,
		nil, windows.OPEN_EXISTING, windows.FILE_FLAG_OPEN_REPARSE_POINT, 0)
	if err != nil {
		return 0
	}
	f := os.NewFile(uintptr(h), path)
	defer f.Close()
	var info compressionInfo
	if err := windows.GetFileInformationByHandleEx(h, fileCompressionInfo, (*byte)(unsafe.Pointer(&info)), uint32(unsafe.Sizeof(info))); err == nil {
		return info.size
	}
	if stat, err := f.Stat(); err == nil { // a file system without holes
		return stat.Size()
	}
	return 0
}
