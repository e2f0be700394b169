package schema

import (
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// format is one value that `format` may have, for strings of one line.
type format struct {
	name, wants string // wants goes on from "must be "; that of path is followed by the directory
	holds       func(p *Param, s string) bool
}

// Durations are written as in manifests ("90s", "1h30m", "7d"), sizes too
// ("512", "64KiB", "8MiB").
const (
	durationPattern = `^([0-9]{1,9}(ms|s|m|h|d))+$`
	bytesPattern    = `^[0-9]{1,15}(B|KiB|MiB|GiB|TiB)?$`
)

var (
	portText     = regexp.MustCompile(`^[1-9][0-9]{0,4}$`)
	uuidText     = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`) // RFC 9562
	dateTimeText = regexp.MustCompile(`^([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]+)?([Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])$`)
	durationText = regexp.MustCompile(durationPattern)
	bytesText    = regexp.MustCompile(bytesPattern)
	numericLabel = regexp.MustCompile(`^([0-9]+|0[xX][0-9A-Fa-f]*)$`)
)

var formats = []format{
	{"ipv4", "an IPv4 address", func(_ *Param, s string) bool { return isIP(s) && !strings.Contains(s, ":") }},
	{"ipv6", "an IPv6 address", func(_ *Param, s string) bool { return isIP(s) && strings.Contains(s, ":") }},
	{"cidr", "a network like 192.0.2.0/24", func(_ *Param, s string) bool { _, err := netip.ParsePrefix(s); return err == nil }},
	{"hostname", "a host name", func(_ *Param, s string) bool { return isHostname(s) }},
	{"host", "a host name or an IP address", func(_ *Param, s string) bool { return isIP(s) || isHostname(s) }},
	{"port", "a port from 1 to 65535", func(_ *Param, s string) bool {
		return portText.MatchString(s) && (len(s) < 5 || s <= "65535")
	}},
	{"email", "an e-mail address", func(_ *Param, s string) bool { return isEmail(s) }},
	{"uuid", "a UUID", func(_ *Param, s string) bool { return uuidText.MatchString(s) }},
	{"date-time", "a time like 2006-01-02T15:04:05Z", func(_ *Param, s string) bool { return isDateTime(s) }},
	{"duration", "a duration like 90s or 1h30m", func(_ *Param, s string) bool { return durationText.MatchString(s) }},
	{"bytes", "a size like 512 or 8MiB", func(_ *Param, s string) bool { return bytesText.MatchString(s) }},
	{"path", `a path without "..", "." or "//" beneath `, func(p *Param, s string) bool {
		return path.Clean(s) == s && strings.HasPrefix(s, beneath(p.Under)) && s != p.Under
	}},
}

// Formats lists the values that `format` may have.
func Formats() []string {
	names := make([]string, len(formats))
	for i, f := range formats {
		names[i] = f.name
	}
	return names
}

// formats are those that p declares, any one of which must hold.
func (p *Param) formats() []format {
	return slices.DeleteFunc(slices.Clone(formats), func(f format) bool { return !slices.Contains(p.Formats, f.name) })
}

// isDateTime follows RFC 3339, section 5.6: T and Z in either case, offsets below a
// day, and a second 60 where it may be, at the end of a month of UTC.
func isDateTime(s string) bool {
	m := dateTimeText.FindStringSubmatch(s)
	if m == nil {
		return false
	}
	clock, leaps := strings.CutSuffix(m[2], ":60")
	if leaps {
		clock += ":59"
	}
	t, err := time.Parse("2006-01-02T15:04:05Z07:00", m[1]+"T"+clock+strings.ToUpper(m[4]))
	if err != nil || !leaps {
		return err == nil
	}
	next := t.UTC().Add(time.Second)
	return next.Day() == 1 && next.Hour() == 0 && next.Minute() == 0 && next.Second() == 0
}

// isIP takes an address without a zone.
func isIP(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Zone() == ""
}

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
