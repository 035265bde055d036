package admin

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skein/config"
)

func TestSocket(t *testing.T) {
	path := filepath.Join(shortDir(t), "x", "skein.sock")
	l, err := listenSocket(t.Context(), new(net.ListenConfig).Listen, path)
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]os.FileMode{path: os.ModeSocket | 0o660, filepath.Dir(path): os.ModeDir | 0o750} {
		if info, err := os.Stat(p); err != nil || info.Mode() != want {
			t.Errorf("mode of %s = %v, %v, want %v", p, info.Mode(), err, want)
		}
	}

	// A living one stays its owner's.
	go func(alive net.Listener) {
		for {
			c, err := alive.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}(l)
	if _, err := listenSocket(t.Context(), new(net.ListenConfig).Listen, path); err == nil || !strings.Contains(err.Error(), "another skein is running") {
		t.Errorf("a socket that is listened on: %v", err)
	}

	// A process that dies leaves its socket behind.
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	l, err = listenSocket(t.Context(), new(net.ListenConfig).Listen, path)
	if err != nil {
		t.Fatalf("a dead process's socket: %v", err)
	}
	l.Close()
	if _, err := os.Stat(path); err == nil {
		t.Error("the socket is still there after its end")
	}

	// What is no socket is not removed.
	if err := os.WriteFile(path, []byte("dear"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listenSocket(t.Context(), new(net.ListenConfig).Listen, path); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("a file in the way: %v", err)
	}
	if b, _ := os.ReadFile(path); string(b) != "dear" {
		t.Error("the file in the way was changed")
	}
	if _, err := listenSocket(t.Context(), new(net.ListenConfig).Listen, "/"+strings.Repeat("x", 108)); err == nil || !strings.Contains(err.Error(), "hint") {
		t.Errorf("a long path: %v", err)
	}
}

// TestListeners follows the listeners through reloads.
func TestListeners(t *testing.T) {
	f := newFake(t)
	dir := shortDir(t)
	with := func(socket, listen string) *config.Config {
		return &config.Config{Admin: config.Admin{Socket: filepath.Join(dir, socket), Listen: listen}}
	}
	prepare := func(c *config.Config) (commit, discard func()) {
		t.Helper()
		commit, discard, err := f.Prepare(t.Context(), c, f.set)
		if err != nil {
			t.Fatal(err)
		}
		return commit, discard
	}
	commit, _ := prepare(with("a", ""))
	commit()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	if _, err := NewClient(filepath.Join(dir, "a")).Status(t.Context()); err != nil {
		t.Fatal(err)
	}

	// What is discarded leaves nothing.
	_, discard := prepare(with("b", "127.0.0.1:0"))
	discard()
	if _, err := os.Stat(filepath.Join(dir, "b")); err == nil {
		t.Error("a discarded socket is still there")
	}

	// A loopback listener comes, and the socket moves.
	commit, _ = prepare(with("b", "127.0.0.1:0"))
	commit()
	if _, err := NewClient(filepath.Join(dir, "b")).Status(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := NewClient(filepath.Join(dir, "a")).Status(t.Context()); err == nil || !strings.Contains(err.Error(), "not running") {
		t.Errorf("the socket that was left: %v", err)
	}
	url := "http://" + f.opened.loopback.Addr().String() + "/healthz"
	if resp, err := http.Get(url); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("loopback: %v %v", resp, err)
	} else {
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}

	// An unchanged configuration opens nothing.
	before := f.opened
	commit, _ = prepare(with("b", "127.0.0.1:0"))
	commit()
	if f.opened != before {
		t.Error("an unchanged listener was opened again")
	}

	// An address that is taken: an error, and nothing is left open.
	if _, _, err := f.Prepare(t.Context(), with("c", before.loopback.Addr().String()), f.set); err == nil {
		t.Error("a taken address was no error")
	}
	if _, err := os.Stat(filepath.Join(dir, "c")); err == nil {
		t.Error("a socket is left of a Prepare that failed")
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := http.Get(url); err == nil {
		t.Error("the loopback listener lives on")
	}
	if _, err := os.Stat(filepath.Join(dir, "b")); err == nil {
		t.Error("the socket is left after the end")
	}
}
