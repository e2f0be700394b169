package manifest

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// duration reads "90s", "2h", "1h30m" and days: "90d"; at most a hundred years,
// so that it can be added to any clock.
func duration(text string) (time.Duration, error) {
	const day, century = 24 * time.Hour, 36525
	d, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16)
		d = time.Duration(n) * day
	}
	if err != nil || d < 0 || d > century*day || strings.HasPrefix(text, "+") {
		return 0, advise(`write a duration like "90s", "2h", "1h30m" or "90d"`, "cannot read %q as a duration", text)
	}
	return d, nil
}

// period is a duration of more than nothing.
func period(text string) (time.Duration, error) {
	d, err := duration(text)
	if err == nil && d == 0 {
		err = advise("write a longer time", "%q is no time at all", text)
	}
	return d, err
}

// timeout is a period, or "none", which is 0.
func timeout(text string) (time.Duration, error) {
	switch text {
	case "none":
		return 0, nil
	case "0", "0s":
		return 0, advise(`write "none" for no limit`, "%q is no time at all", text)
	}
	return period(text)
}

// size reads a number of bytes: "8MiB", "64KiB", "512".
func size(text string) (int64, error) {
	digits := strings.TrimRight(text, "KMGTiB")
	shift, ok := map[string]int{"": 0, "B": 0, "KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40}[text[len(digits):]]
	n, err := strconv.ParseUint(digits, 10, 63-shift)
	if err != nil || !ok || n == 0 {
		return 0, advise(`write a number and B, KiB, MiB, GiB or TiB: "8MiB"`, "cannot read %q as a number of bytes", text)
	}
	return int64(n) << shift, nil
}

// maxBody is the largest body that goes over the wall between server and monitor.
const maxBody = 16 << 20

func bodySize(text string) (int64, error) {
	n, err := size(text)
	if err == nil && n > maxBody {
		return 0, advise(`write at most "16MiB"; more belongs into a file, which stdin_file hands over`, "a body of %q is too large", text)
	}
	return n, err
}

// amount reads a size or a share of the file system: "10%".
func amount(text string) (Amount, error) {
	share, ok := strings.CutSuffix(text, "%")
	if !ok {
		bytes, err := size(text)
		return Amount{Bytes: bytes}, err
	}
	percent, err := strconv.ParseFloat(share, 64)
	if err != nil || !(percent > 0 && percent <= 100) {
		return Amount{}, advise(`write a share from "1%" to "100%", or bytes like "10GiB"`, "cannot read %q as a percentage", text)
	}
	return Amount{Percent: percent}, nil
}

// rate reads "100/s", "30/m" or "5/h".
func rate(text string) (Rate, error) {
	number, unit, _ := strings.Cut(text, "/")
	n, err := strconv.ParseUint(number, 10, 31)
	span := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[unit]
	if err != nil || n == 0 || span == 0 {
		return Rate{}, advise(`write a number for each second, minute or hour: "100/s"`, "cannot read %q as a rate", text)
	}
	return Rate{int(n), span}, nil
}

// mode reads permission bits: "0666".
func mode(text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 8, 32)
	if err != nil || n > 0o777 || len(text) < 3 {
		return 0, advise(`write the permission bits in octal: "0660"`, "cannot read %q as a mode", text)
	}
	return uint32(n), nil
}

// signal reads a name like "SIGTERM".
func signal(text string) (int, error) {
	n := signalNumber(text)
	if n == 0 {
		return 0, advise(`write a signal's name: "SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1"`, "there is no signal %q", text)
	}
	return n, nil
}

// absolute reads an absolute path.
func absolute(text string) (string, error) {
	if !filepath.IsAbs(text) || strings.ContainsRune(text, 0) {
		return "", advise("write the path from / on", "%q is not an absolute path", text)
	}
	return filepath.Clean(text), nil
}

// address reads "127.0.0.1:7667"; with loopback nothing that others can reach.
func address(text string, loopback bool) (string, error) {
	a, err := netip.ParseAddrPort(text)
	if err != nil {
		return "", advise(`write an IP address and a port: "127.0.0.1:7667" or "[::1]:7667"`, "cannot read %q as an address", text)
	}
	if loopback && !a.Addr().IsLoopback() {
		return "", advise("write 127.0.0.1 or [::1] here, and what others may reach under https",
			"%s is not a loopback address: what is sent there could be read on the way", a.Addr())
	}
	return a.String(), nil
}

// oneOf reads one of a few words.
func oneOf[T ~string](words ...T) func(string) (T, error) {
	return func(text string) (T, error) {
		var known []string
		for _, w := range words {
			if string(w) == text {
				return w, nil
			}
			known = append(known, fmt.Sprintf("%q", string(w)))
		}
		return "", advise("write "+strings.Join(known, " or "), "%q is not known here", text)
	}
}

// named reads a name of the form that expression gives.
func named(form, what string) func(string) (string, error) {
	return func(text string) (string, error) {
		if !regexp.MustCompile("^" + form + "$").MatchString(text) {
			return "", advise("the form of names is "+form, "%q cannot name %s", text, what)
		}
		return text, nil
	}
}

// The forms of names.
const (
	moduleName = "[A-Za-z][A-Za-z0-9_-]{0,30}" // of actions too
	paramName  = "[a-z][a-z0-9_]{0,62}"
	keyName    = "[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
	envName    = "[A-Za-z_][A-Za-z0-9_]{0,254}"
)

// KeyName says whether a rule can name a signing key so.
func KeyName(text string) bool {
	_, err := named(keyName, "a key")(text)
	return err == nil
}
