package schema

import (
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
	case "date-time": // RFC 3339; time.Parse alone also takes "T5:04" and ",5"
		_, err := time.Parse(time.RFC3339, s)
		return err == nil && dateTimeText.MatchString(s)
	case "duration":
		return durationText.MatchString(s)
	case "bytes":
		return bytesText.MatchString(s)
	case "path":
		return path.Clean(s) == s && strings.HasPrefix(s, beneath(p.Under)) && s != p.Under
	}
	return false
}

var (
	uuidText     = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)
	dateTimeText = regexp.MustCompile(`^[0-9-]{10}T[0-9:]{8}(\.[0-9]+)?(Z|[+-][0-9:]{5})$`)
)

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

// Durations are written as in manifests ("90s", "1h30m", "7d"), sizes too
// ("512", "64KiB", "8MiB").
const (
	durationPattern = `^([0-9]{1,9}(ms|s|m|h|d))+$`
	bytesPattern    = `^[0-9]{1,15}(B|KiB|MiB|GiB|TiB)?$`
)

var (
	durationText = regexp.MustCompile(durationPattern)
	bytesText    = regexp.MustCompile(bytesPattern)
)
