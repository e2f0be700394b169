package clock

import (
	"crypto/rand"
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
)

// As everywhere, the clock never goes back while the machine is up, and goes on while it
// sleeps; and each boot has another name. Where the registry does not answer there is no
// name, and no guess.

const (
	bootKey      = `SOFTWARE\deputy-boot`
	bootValue    = "id"
	volatileKey  = 1 // REG_OPTION_VOLATILE
	createdFresh = 1 // REG_CREATED_NEW_KEY
)

// Boot names this boot of the machine: by a random text in a volatile key of
// the registry, which lives until the machine is shut down. An ordinary user's
// deputy has a key of its own.
func Boot() (string, error) {
	id, err := bootUnder(registry.LOCAL_MACHINE)
	if errors.Is(err, windows.ERROR_ACCESS_DENIED) {
		id, err = bootUnder(registry.CURRENT_USER)
	}
	return id, err
}

func bootUnder(root registry.Key) (string, error) {
	key, fresh, err := createVolatile(root, bootKey)
	if err != nil {
		return "", fmt.Errorf("cannot use the registry: %w", err)
	}
	defer key.Close()
	if id, _, err := key.GetStringValue(bootValue); err == nil && !fresh {
		return id, nil
	}
	id := rand.Text()
	return id, key.SetStringValue(bootValue, id)
}

// createVolatile is RegCreateKeyEx with REG_OPTION_VOLATILE, which package
// registry does not offer.
func createVolatile(root registry.Key, path string) (key registry.Key, fresh bool, err error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return 0, false, err
	}
	var handle windows.Handle
	var disposition uint32
	code, _, _ := windows.NewLazySystemDLL("advapi32.dll").NewProc("RegCreateKeyExW").Call(uintptr(root), uintptr(unsafe.Pointer(name)), 0, 0,
		volatileKey, registry.QUERY_VALUE|registry.SET_VALUE, 0, uintptr(unsafe.Pointer(&handle)), uintptr(unsafe.Pointer(&disposition)))
	if code != 0 {
		return 0, false, syscall.Errno(code)
	}
	return registry.Key(handle), disposition == createdFresh, nil
}

// Now reads a clock in nanoseconds that goes on also while the machine
// sleeps (GetTickCount64, to 16 ms).
func Now() int64 { return int64(windows.DurationSinceBoot()) }
