package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// parseDuration reads "2s", "500ms", "1h30m" and "1d": what time.ParseDuration takes, and days.
func parseDuration(s string) (time.Duration, error) {
	if s == "" {
		return 0, fmt.Errorf("the text is empty")
	}
	if strings.HasPrefix(s, "-") {
		return 0, fmt.Errorf("a time cannot be negative")
	}
	var days time.Duration
	rest := s
	if d, after, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.ParseUint(d, 10, 16)
		if err != nil {
			return 0, fmt.Errorf("%q is not a time", shorten(s))
		}
		days, rest = time.Duration(n)*24*time.Hour, after
	}
	if rest == "" {
		return days, nil
	}
	if _, err := strconv.ParseFloat(rest, 64); err == nil && days == 0 {
		return 0, fmt.Errorf("the unit is missing: %q may be %q or %q", shorten(s), shorten(rest)+"s", shorten(rest)+"ms")
	}
	t, err := time.ParseDuration(rest)
	if err != nil || strings.HasPrefix(rest, "+") || strings.HasPrefix(rest, "-") {
		return 0, fmt.Errorf("%q is not a time", shorten(s))
	}
	if t > math.MaxInt64-days {
		return 0, fmt.Errorf("%q is too long", shorten(s))
	}
	return days + t, nil
}

// showDuration is how a limit is written in an error: "1h", not "1h0m0s".
func showDuration(t time.Duration) string {
	s := t.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	if h, ok := strings.CutSuffix(s, "h"); ok {
		if n, err := strconv.Atoi(h); err == nil && n >= 48 && n%24 == 0 {
			return strconv.Itoa(n/24) + "d"
		}
	}
	return s
}

// parseShare reads "20%".
func parseShare(s string) (float64, error) {
	n, ok := strings.CutSuffix(s, "%")
	if !ok {
		return 0, fmt.Errorf("a share is written %q or as a number from 0 to 1", "20%")
	}
	f, err := strconv.ParseFloat(strings.TrimSpace(n), 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return 0, fmt.Errorf("%q is not a share", shorten(s))
	}
	return f / 100, nil
}

// sizes are the units of a number of bytes. KB is 1000 as everywhere outside of memory chips, KiB is 1024.
func sizes() map[string]int64 {
	return map[string]int64{
		"": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
		"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
	}
}

// parseSize reads "16KiB", "10MB" and "512".
func parseSize(s string) (int64, error) {
	i := len(s)
	for j, c := range s {
		if (c < '0' || c > '9') && c != '.' {
			i = j
			break
		}
	}
	digits, unit := s[:i], strings.TrimSpace(s[i:])
	f, err := strconv.ParseFloat(digits, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a size", shorten(s))
	}
	factor, ok := sizes()[unit]
	if !ok {
		return 0, fmt.Errorf("%q is not a unit of size; the units are B, KB, KiB, MB, MiB, GB, GiB, TB and TiB", shorten(unit))
	}
	if f *= float64(factor); f > 1<<53 || f != math.Trunc(f) {
		return 0, fmt.Errorf("%q is not a whole number of bytes below 8 PiB", shorten(s))
	}
	return int64(f), nil
}

// showSize is how a limit is written in an error.
func showSize(n int64) string {
	for _, u := range []string{"TiB", "GiB", "MiB", "KiB"} {
		if f := sizes()[u]; n >= f && n%f == 0 {
			return strconv.FormatInt(n/f, 10) + u
		}
	}
	return strconv.FormatInt(n, 10)
}
