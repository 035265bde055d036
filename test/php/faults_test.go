package php

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"skein/test/harness"
)

// php-fpm is killed and comes back under load: who asked meanwhile gets a 502 or a broken answer, everybody after it is served,
// and nothing is left behind.
func TestKilledUnderLoad(t *testing.T) {
	t.Parallel()
	f := newFPM(t, "unix", "")
	s := newSite(t, f, filepath.Join(laravel(t), "current/public"), "keepalive = 2\n eject {\n errors = 0\n }\n timeouts {\n first_byte = \"2s\"\n }\n", "")
	s.expect("GET", "/", nil, 200, "home")
	before := s.Usage()
	var good, failed, odd atomic.Int64
	load := harness.Visit(t, s.addr, 4, func(_, _ string, status int, body string) error {
		switch {
		case status == 200 && body == "home":
			good.Add(1)
		case status == 502 || status == 503 || status == 504:
			failed.Add(1)
		default:
			odd.Add(1)
			return fmt.Errorf("status %d %.50q", status, body)
		}
		return nil
	}, "GET /", "POST /")
	for range harness.Count(2, 4, 40) {
		load.More(20)
		f.Kill()
		harness.Eventually(t, harness.Patience, "somebody notices", func() bool { return failed.Load() > 0 })
		f.Start()
		had := good.Load()
		harness.Eventually(t, harness.Patience, "visitors are served again", func() bool { return good.Load() > had+10 })
	}
	load.End()
	load.Good("php-fpm killed again and again")
	t.Logf("%d answers, %d failures", good.Load(), failed.Load())
	s.expect("GET", "/", nil, 200, "home")
	// Two idle connections may be kept to the member now.
	before.Descriptors += 2
	s.Settles(before)
}

// More visitors than php-fpm has children: with max_conns they wait in skein's queue, in order, and all are served.
func TestMaxChildren(t *testing.T) {
	t.Parallel()
	f := newFPM(t, "unix", "")
	s := newSite(t, f, filepath.Join(laravel(t), "current/public"), "max_conns = 4", "")
	var all sync.WaitGroup
	var bad atomic.Int64
	began := time.Now()
	for range 24 {
		all.Go(func() {
			if a, err := try(s.addr, "GET", "/slow", nil); err != nil || a.Body != "slow" {
				bad.Add(1)
			}
		})
	}
	all.Wait()
	if bad.Load() > 0 {
		t.Errorf("%d of 24 were not served", bad.Load())
	}
	if took := time.Since(began); took < 24/4*300*time.Millisecond {
		t.Errorf("24 requests of 300 ms with four children took %v only", took)
	}
	// A short queue refuses the rest at once, and says so.
	s.Reload(config(s.addr, f.Server, s.root, "max_conns = 2\n queue = 1", ""))
	var refused atomic.Int64
	for range 8 {
		all.Go(func() {
			if a, err := try(s.addr, "GET", "/slow", nil); err == nil && a.StatusCode == 503 {
				refused.Add(1)
			}
		})
	}
	all.Wait()
	if refused.Load() == 0 {
		t.Error("nobody was refused")
	}
}

func TestSlowScript(t *testing.T) {
	t.Parallel()
	f := newFPM(t, "unix", "")
	s := newSite(t, f, filepath.Join(laravel(t), "current/public"), "retry {\n tries = 1\n }\n timeouts {\n first_byte = \"100ms\"\n }\n", "")
	if a := s.do("GET", "/slow", nil); a.StatusCode != 504 {
		t.Errorf("a script slower than first_byte = %d %q", a.StatusCode, a.Body)
	}
	s.Reload(config(s.addr, f.Server, s.root, "timeouts {\n first_byte = \"10s\"\n }\n", ""))
	s.expect("GET", "/slow", nil, 200, "slow")
}

// A script that dies within its answer: the client must see that the rest is missing. One that dies before is a 502.
func TestScriptDies(t *testing.T) {
	networks(t, func(t *testing.T, network string, opts ...harness.Option) {
		f := newFPM(t, network, "")
		s := newSite(t, f, filepath.Join(laravel(t), "current/public"), "eject {\n errors = 0\n }\n retry {\n tries = 1\n }\n", "", opts...)
		a, err := try(s.addr, "GET", "/dies", nil)
		if !errors.Is(err, io.ErrUnexpectedEOF) || a.StatusCode != 200 || strings.Trim(a.Body, "x") != "" {
			t.Errorf("a script that dies = %v %d bytes, %v", a.StatusCode, len(a.Body), err)
		}
		if a := s.do("GET", "/dies-at-once", nil); a.StatusCode != 502 {
			t.Errorf("a script that dies at once = %d", a.StatusCode)
		}
		s.expect("GET", "/", nil, 200, "home")
	})
}

// What a script writes to its standard error is one bounded line in our log, and counted.
func TestStderr(t *testing.T) {
	t.Parallel()
	f := newFPM(t, "unix", "")
	s := newSite(t, f, filepath.Join(laravel(t), "current/public"), "", "")
	s.expect("GET", "/stderr", nil, 200, "ok")
	s.expect("GET", "/much-stderr", nil, 200, "ok")
	const event = "a script wrote to its standard error"
	harness.Eventually(t, harness.Patience, "both lines are in the log", func() bool { return strings.Count(s.Log(), event) == 2 })
	for line := range strings.Lines(s.Log()) {
		if !strings.Contains(line, event) {
			continue
		}
		if len(line) > 4096 || strings.ContainsRune(line, 0x1b) || !strings.Contains(line, "script=/index.php") {
			t.Errorf("line of %d bytes: %.300q", len(line), line)
		}
	}
	if !strings.Contains(s.Log(), "line one") || !strings.Contains(s.Log(), "two") {
		t.Errorf("the text is not in the log:\n%s", s.Log())
	}
}
