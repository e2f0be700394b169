package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

const (
	maxNetwork = 256       // addresses of one network
	maxProbes  = 1_000_000 // addresses × ports of one scan
)

// target is one address to scan, and the host it was asked for by.
type target struct {
	host    string
	address netip.Addr
}

// resolve gives the addresses of all hosts, each once, in the order of hosts,
// and the names that have none, each with why. The error is of a network that
// cannot be scanned.
func resolve(ctx context.Context, hosts []string) (targets []target, unresolved map[string]error, err error) {
	seen := map[netip.Addr]bool{}
	unresolved = map[string]error{}
	for _, host := range hosts {
		var addresses []netip.Addr
		if strings.Contains(host, "/") {
			addresses, err = networkAddresses(host)
			if err != nil {
				return nil, nil, err
			}
		} else if addresses, err = hostAddresses(ctx, host); err != nil {
			unresolved[host] = err
		}
		for _, address := range addresses {
			if !seen[address] {
				seen[address] = true
				targets = append(targets, target{host, address})
			}
		}
	}
	return targets, unresolved, nil
}

// hostAddresses gives the addresses of an address or a name.
func hostAddresses(ctx context.Context, host string) ([]netip.Addr, error) {
	if address, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{address.Unmap()}, nil
	}
	addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	for i := range addresses {
		addresses[i] = addresses[i].Unmap()
	}
	return addresses, err
}

func networkAddresses(text string) ([]netip.Addr, error) {
	network, err := netip.ParsePrefix(text)
	if err != nil {
		return nil, fmt.Errorf("cannot read the network %q: write it like 192.0.2.0/24", text)
	}
	if bits := network.Addr().BitLen() - network.Bits(); bits > 8 {
		return nil, fmt.Errorf("cannot scan %s: it has more than %d addresses; name smaller networks", text, maxNetwork)
	}
	var addresses []netip.Addr
	for address := network.Masked().Addr(); network.Contains(address); address = address.Next() {
		addresses = append(addresses, address)
	}
	return addresses, nil
}

func checkAmount(addresses, ports int) error {
	if addresses*ports > maxProbes {
		return fmt.Errorf("cannot scan %d addresses × %d ports: at most %d probes in one scan; ask for fewer ports", addresses, ports, maxProbes)
	}
	return nil
}
