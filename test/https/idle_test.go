package https

import (
	"crypto/tls"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"skein/test/harness"
)

// Ten thousand visitors who have asked once over TLS and stay cost little, and are served when they ask again.
func TestIdleVisitors(t *testing.T) {
	t.Parallel()
	n := harness.Count(1000, 10_000, 10_000)
	if harness.Raced() {
		n = min(n, 2000)
	}
	var files syscall.Rlimit // skein raises its own; Go has raised ours
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	if room := int(files.Cur) - 1000; n > room {
		t.Logf("%d visitors instead of %d: this process may have %d files open", room, n, files.Cur)
		n = room
	}
	for name, version := range versions() {
		t.Run(name, func(t *testing.T) {
			s := start(t, hello(t), "timeouts {\n idle = \"10m\"\n}", "")
			config := s.client()
			config.MinVersion, config.MaxVersion = version, version
			config.ClientSessionCache = tls.NewLRUClientSessionCache(1) // handshakes of the test's own cost it half as much
			for range 20 {
				s.fine()
			}
			before := s.Memory()
			all := crowdOf(t, n, func() (*visitor, error) { return tryDial(s.addr, config) })
			defer func() {
				for _, v := range all {
					_ = v.tcp.SetLinger(0) // ten thousand sockets in TIME_WAIT would be no good neighbours
					v.tcp.Close()
				}
			}()
			cost := int((s.Memory() - before) / int64(n))
			t.Logf("TLS %s: %d idle visitors cost %d bytes each", name, n, cost)
			// Most of it is garbage of handshakes, of which the collector leaves four times what lives (see cli): 13 KB live.
			if bound := 40<<10 + 16<<20/n; cost > bound && !harness.Raced() {
				t.Errorf("an idle visitor costs %d bytes, want at most %d", cost, bound)
			}
			for _, v := range all[:min(n, 200)] {
				v.t = t
				v.get("/")
			}
			s.fine()
			s.Signal(syscall.SIGTERM) // they all end at once
			s.Stopped(10 * time.Second)
		})
	}
}

// crowdOf connects n visitors, some at a time, each of whom asks once.
func crowdOf(t testing.TB, n int, connect func() (*visitor, error)) []*visitor {
	t.Helper()
	all := make([]*visitor, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	failed := make(chan error, 16)
	for range 16 {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				v, err := connect()
				if err == nil {
					all[i] = v
					if _, err = v.Write([]byte(get(host, "/"))); err == nil {
						_, err = v.try("GET")
					}
				}
				if err != nil {
					failed <- fmt.Errorf("visitor %d of %d: %w", i, n, err)
					return
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-failed:
		t.Fatal(err)
	default:
	}
	return all
}
