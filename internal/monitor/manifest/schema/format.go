package schema

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Formats lists the values that `format` may have.
func Formats() []string {
	return []string{"ipv4", "ipv6", "cidr", "hostname", "host", "port", "email", "uuid", "date-time", "duration", "bytes", "path"}
}

// hasFormat holds a string of one line against a format.
func (p *Param) hasFormat(format, s string) bool {
	switch format {
	case "ipv4":
		a, err := netip.ParseAddr(s)
		return err == nil && a.Is4()
	case "ipv6": // RFC 4291, without a zone
		a, err := netip.ParseAddr(s)
		return err == nil && a.Is6() && a.Zone() == ""
	case "cidr":
		_, err := netip.ParsePrefix(s)
		return err == nil
	case "hostname":
		return isHostname(s)
	case "host":
		return p.hasFormat("ipv4", s) || p.hasFormat("ipv6", s) || isHostname(s)
	case "port":
		n, err := strconv.ParseUint(s, 10, 16)
		return err == nil && n > 0 && s[0] != '0'
	case "email":
		return isEmail(s)
	case "uuid": // RFC 9562
		return uuidText.MatchString(s)
	case "date-time": // RFC 3339, strictly
		var t time.Time
		return t.UnmarshalText([]byte(s)) == nil
	case "duration":
		_, err := ParseDuration(s)
		return err == nil
	case "bytes":
		_, err := ParseBytes(s)
		return err == nil
	case "path":
		return path.Clean(s) == s && strings.HasPrefix(s, beneath(p.Under)) && s != p.Under
	}
	return false
}

var uuidText = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)

// beneath is what every path beneath a directory begins with.
func beneath(directory string) string { return strings.TrimSuffix(directory, "/") + "/" }

// isHostname follows RFC 1123. A name whose last label is a number is none: a
// resolver would read "127.1" or "0x7f000001" as an address.
func isHostname(s string) bool {
	if len(s) > 253 {
		return false
	}
	labels := strings.Split(s, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' || strings.ContainsFunc(l, notInLabel) {
			return false
		}
	}
	return !numericLabel.MatchString(labels[len(labels)-1])
}

var numericLabel = regexp.MustCompile(`^([0-9]+|0[xX][0-9A-Fa-f]*)$`)

func notInLabel(r rune) bool { return !isAlphanumeric(r) && r != '-' }

func isAlphanumeric(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}

// isEmail takes RFC 5322's dot-atom before the @ and a host name after it, in
// the lengths of RFC 5321; no quoted local part, no address literal.
func isEmail(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	if !ok || len(s) > 254 || len(local) > 64 || !isHostname(domain) {
		return false
	}
	return !slices.ContainsFunc(strings.Split(local, "."), func(atom string) bool {
		return atom == "" || strings.ContainsFunc(atom, func(r rune) bool {
			return !isAlphanumeric(r) && !strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r)
		})
	})
}

const durationPattern = `^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$`

var (
	durationText = regexp.MustCompile(durationPattern)
	durationPart = regexp.MustCompile(`([0-9.]+)(ms|s|m|h|d)`)
)

// ParseDuration reads a duration as deputy writes it: "90s", "1h30m", "90d".
func ParseDuration(s string) (time.Duration, error) {
	if !durationText.MatchString(s) {
		return 0, fmt.Errorf("%s is not a duration like \"90s\", \"1h30m\" or \"7d\"", clip(s))
	}
	units := map[string]time.Duration{"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}
	var total float64 // ns; exact up to 104 days, beyond that to a microsecond
	for _, part := range durationPart.FindAllStringSubmatch(s, -1) {
		n, err := strconv.ParseFloat(part[1], 64)
		if err != nil {
			return 0, err
		}
		total += n * float64(units[part[2]])
	}
	if total >= math.MaxInt64 {
		return 0, errors.New("a duration cannot pass 292 years")
	}
	return time.Duration(math.Round(total)), nil
}

var bytesText = regexp.MustCompile(`^([0-9]+)(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)?$`)

// ParseBytes reads a number of bytes: "64KiB", "8MiB", "2GB", "512".
func ParseBytes(s string) (int64, error) {
	m := bytesText.FindStringSubmatch(s)
	if m == nil {
		return 0, fmt.Errorf("%s is not a size like \"64KiB\", \"8MiB\" or \"512\"", clip(s))
	}
	units := map[string]int64{"": 1, "B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil || n > math.MaxInt64/units[m[2]] {
		return 0, fmt.Errorf("%s is more bytes than deputy can count", clip(s))
	}
	return n * units[m[2]], nil
}
