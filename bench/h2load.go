package main

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"
)

// driveH2 runs nghttp2's h2load, a quick client in C. It cannot say when it has warmed up, so one short run comes before the
// one that counts; connecting is a part of that, a handful of handshakes among many thousand requests.
func driveH2(load Load) (Result, error) {
	m, err := newMeter(load.Group, load.Origin)
	if err != nil {
		return Result{}, err
	}
	if _, err := h2load(load, max(time.Second, load.Warmup)); err != nil {
		return Result{}, err
	}
	if err := m.start(); err != nil {
		return Result{}, err
	}
	r, err := h2load(load, max(time.Second, load.Time.Round(time.Second)))
	if err != nil {
		return Result{}, err
	}
	return r, m.stop(&r)
}

// h2load runs the program for d, which it takes in whole seconds, and reads what it did. It does not compare bodies; the
// other scenarios do.
func h2load(load Load, d time.Duration) (Result, error) {
	argv := []string{
		"-c", strconv.Itoa(load.Conns), "-m", strconv.Itoa(load.Streams), "-t", "1", "-D", strconv.Itoa(int((d + time.Second - 1) / time.Second)),
		"-H", "user-agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
		"-H", "accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8",
		"-H", "accept-language: en-US,en;q=0.5",
		"-H", "cookie: session=6f1ed002ab5595859014ebf0951522d9",
		"https://" + load.Address + load.Path,
	}
	out, err := exec.Command("h2load", argv...).CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return Result{}, errors.New("h2load is missing: apt install nghttp2-client")
	}
	if err != nil {
		return Result{}, fmt.Errorf("run h2load: %w: %s", err, bytes.TrimSpace(out))
	}
	// requests: 52910 total, 53010 started, 52910 done, 52910 succeeded, 0 failed, 0 errored, 0 timeout
	summary := regexp.MustCompile(`requests: (\d+) total, \d+ started, \d+ done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout`)
	s := summary.FindSubmatch(out)
	if s == nil {
		return Result{}, fmt.Errorf("h2load said no summary: %s", bytes.TrimSpace(out))
	}
	var n [4]int64
	for i, at := range []int{2, 3, 4, 5} {
		n[i], _ = strconv.ParseInt(string(s[at]), 10, 64)
	}
	r := Result{Requests: n[0], Errors: n[1] + n[2] + n[3]}
	if r.Errors > 0 {
		r.Error = string(s[0])
	}
	return r, nil
}
