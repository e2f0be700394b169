package tcp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// listen is net.Listen without its look at what this machine can, for which
// that binds any port: a confined server may bind none but its own.
func listen(address string) (net.Listener, error) {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	fd, err := bound(a)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", address, err)
	}
	f := os.NewFile(uintptr(fd), address)
	defer f.Close()
	if err := unix.Listen(fd, backlog); err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", address, err)
	}
	return net.FileListener(f)
}

// backlog is cut by the kernel to net.core.somaxconn.
const backlog = 1<<16 - 1

// bound makes a socket of an address. Either address that stands for all takes
// IPv6 and IPv4, where there are both.
func bound(a netip.AddrPort) (int, error) {
	ip, port := a.Addr(), int(a.Port())
	if ip.IsUnspecified() {
		fd, err := bind(unix.AF_INET6, &unix.SockaddrInet6{Port: port})
		if !ip.Is4() || !errors.Is(err, unix.EAFNOSUPPORT) {
			return fd, err
		}
	}
	if ip.Is4() {
		return bind(unix.AF_INET, &unix.SockaddrInet4{Addr: ip.As4(), Port: port})
	}
	zone := uint64(0)
	if ip.Zone() != "" {
		var err error
		if zone, err = strconv.ParseUint(ip.Zone(), 10, 32); err != nil {
			return -1, fmt.Errorf("write the number of the interface %s for its name; ip link shows it", ip.Zone())
		}
	}
	return bind(unix.AF_INET6, &unix.SockaddrInet6{Addr: ip.As16(), Port: port, ZoneId: uint32(zone)})
}

func bind(family int, at unix.Sockaddr) (int, error) {
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, err
	}
	err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if family == unix.AF_INET6 && err == nil {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0)
	}
	if err == nil {
		err = unix.Bind(fd, at)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}
