package manifest

import (
	"testing"
	"time"
)

func TestUnits(t *testing.T) {
	check := func(what, text string, got any, err error, want any) {
		t.Helper()
		if want == nil && err == nil {
			t.Errorf("%s %q was read as %v", what, text, got)
		} else if want != nil && (err != nil || got != want) {
			t.Errorf("%s %q: got %v, %v; want %v", what, text, got, err, want)
		}
	}
	for text, want := range map[string]any{
		"90s": 90 * time.Second, "2h": 2 * time.Hour, "1h30m": 90 * time.Minute, "90d": 2160 * time.Hour, "1500ms": 1500 * time.Millisecond,
		"0s": time.Duration(0), "": nil, "5": nil, "-1s": nil, "+1s": nil, "1.5d": nil, "-1d": nil, "d": nil, "36526d": nil, "1 h": nil, "9999999h": nil,
	} {
		got, err := duration(text)
		check("duration", text, got, err, want)
	}
	for text, want := range map[string]any{"none": time.Duration(0), "2h": 2 * time.Hour, "0s": nil, "0": nil, "None": nil} {
		got, err := timeout(text)
		check("timeout", text, got, err, want)
	}
	for text, want := range map[string]any{
		"1": int64(1), "512B": int64(512), "64KiB": int64(64 << 10), "8MiB": int64(8 << 20), "1GiB": int64(1 << 30), "2TiB": int64(2 << 40),
		"": nil, "0": nil, "-1": nil, "8M": nil, "8MB": nil, "8kB": nil, "8KB": nil, "KiB": nil, "8 MiB": nil, "8iB": nil, "8BB": nil, "9999999TiB": nil, "99999999999999999999": nil,
	} {
		got, err := size(text)
		check("size", text, got, err, want)
	}
	for text, want := range map[string]any{
		"10%": Amount{Percent: 10}, "7.5%": Amount{Percent: 7.5}, "100%": Amount{Percent: 100}, "1GiB": Amount{Bytes: 1 << 30},
		"0%": nil, "101%": nil, "-5%": nil, "NaN%": nil, "%": nil, "10": Amount{Bytes: 10},
	} {
		got, err := amount(text)
		check("amount", text, got, err, want)
	}
	for text, want := range map[string]any{"100/s": Rate{100, time.Second}, "30/m": Rate{30, time.Minute}, "36/h": Rate{36, time.Hour}, "4294967296/s": nil, "100": nil, "0/s": nil, "1/d": nil, "-1/s": nil, "1/s/s": nil} {
		got, err := rate(text)
		check("rate", text, got, err, want)
	}
	for text, want := range map[string]any{"0666": uint32(0o666), "660": uint32(0o660), "1777": nil, "9": nil, "rw": nil, "": nil} {
		got, err := mode(text)
		check("mode", text, got, err, want)
	}
	for text, want := range map[string]any{"SIGTERM": 15, "SIGKILL": 9, "TERM": nil, "15": nil, "sigterm": nil} {
		got, err := signal(text)
		check("signal", text, got, err, want)
	}
	for text, want := range map[string]any{
		"127.0.0.1:80": "127.0.0.1:80", "127.9.9.9:0": "127.9.9.9:0", "[::1]:80": "[::1]:80", "0.0.0.0:80": nil, "10.0.0.1:80": nil,
		"[::]:80": nil, ":80": nil, "localhost:80": nil, "127.0.0.1": nil, "127.0.0.1:65536": nil, "[::ffff:10.0.0.1]:80": nil,
	} {
		got, err := address(text, true)
		check("loopback address", text, got, err, want)
	}
}
