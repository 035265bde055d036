package cluster

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"skein/pool"
)

func TestDamagedFile(t *testing.T) {
	for _, c := range []struct{ name, text string }{
		{"empty", ""},
		{"cut", `{"version": 1, "drains": [{"server": "web1", "ow`},
		{"not json", "web1\n"},
		{"later version", `{"version": 2, "drains": []}`},
		{"no owner", `{"version": 1, "drains": [{"server": "web1", "since": "2026-01-01T00:00:00Z"}]}`},
		{"twice", `{"version": 1, "drains": [{"server": "web1", "owner": "a"}, {"server": "web1", "owner": "a"}]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "drains.json")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			var logs bytes.Buffer
			s, err := Open(dir, slog.New(slog.NewTextHandler(&logs, nil)))
			if err != nil {
				t.Fatal(err)
			}
			if got := list(s); got != "" {
				t.Errorf("drains %q, want none", got)
			}
			if b, err := os.ReadFile(path + ".bad"); err != nil || string(b) != c.text {
				t.Errorf("moved aside: %q, %v, want the damaged text", b, err)
			}
			if n := strings.Count(logs.String(), "level=WARN"); n != 1 {
				t.Errorf("log has %d warnings, want 1:\n%s", n, logs.String())
			}
			if err := s.Add(Drain{Server: "web1", Owner: "ann"}); err != nil {
				t.Errorf("Add() = %v, want nil", err)
			}
		})
	}
}

type full struct{ *os.File }

func (f full) Write(b []byte) (int, error) {
	n, _ := f.File.Write(b[:10])
	return n, &os.PathError{Op: "write", Path: f.Name(), Err: syscall.ENOSPC}
}

type lazy struct{ *os.File }

func (f lazy) Sync() error { return syscall.EIO }

func TestDiskFails(t *testing.T) {
	killed := errors.New("killed")
	for _, c := range []struct {
		name   string
		change func(*file)
		want   error
	}{
		{"full", func(f *file) {
			create := f.create
			f.create = func(path string) (output, error) {
				o, err := create(path)
				if err != nil {
					return nil, err
				}
				return full{o.(*os.File)}, nil
			}
		}, syscall.ENOSPC},
		{"fails to sync", func(f *file) {
			create := f.create
			f.create = func(path string) (output, error) {
				o, err := create(path)
				if err != nil {
					return nil, err
				}
				return lazy{o.(*os.File)}, nil
			}
		}, syscall.EIO},
		{"read-only", func(f *file) {
			f.create = func(path string) (output, error) {
				return nil, &os.PathError{Op: "open", Path: path, Err: syscall.EROFS}
			}
		}, syscall.EROFS},
		{"fails to rename", func(f *file) {
			f.rename = func(string, string) error { return killed }
		}, killed},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			set := newSet(t, pool.Options{}, "web: web1 web2")
			s.Apply(set)
			if err := s.Add(Drain{Server: "web1", Owner: "ann"}); err != nil {
				t.Fatal(err)
			}
			before, _ := os.ReadFile(s.file.path)
			c.change(s.file)
			for what, err := range map[string]error{
				"Add":    s.Add(Drain{Server: "web2", Owner: "ann"}),
				"Remove": s.Remove("web1", "ann"),
			} {
				if !errors.Is(err, c.want) || !strings.HasPrefix(err.Error(), "cluster: keep drains: ") {
					t.Errorf("%s() = %v, want %v", what, err, c.want)
				}
			}
			if after, _ := os.ReadFile(s.file.path); !bytes.Equal(before, after) {
				t.Errorf("the file was changed to %s", after)
			}
			if got := list(s) + ", " + drained(set); got != "web1/ann, web/web1" {
				t.Errorf("drains and members are %q, want those from before", got)
			}
			if _, err := os.Stat(s.file.path + ".tmp"); err == nil {
				t.Error("the temporary file was left behind")
			}
		})
	}
}

func TestExpiryOnFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := open(t, dir)
		if err := s.Add(Drain{Server: "web1", Owner: "ann", Expires: time.Now().Add(time.Minute)}); err != nil {
			t.Fatal(err)
		}
		s.file.create = func(string) (output, error) { return nil, syscall.ENOSPC }
		go s.Run(t.Context())
		time.Sleep(time.Minute)
		synctest.Wait()
		if s.Drained("web1") || open(t, dir).Drained("web1") {
			t.Error("web1 is drained after its drain expired")
		}
	})
}

func TestKilledBeforeRename(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := s.Add(Drain{Server: "web1", Owner: "ann"}); err != nil {
		t.Fatal(err)
	}
	s.file.rename = func(string, string) error { panic("killed") }
	func() {
		defer func() { recover() }()
		s.Add(Drain{Server: "web2", Owner: "ann"})
	}()
	if b, err := os.ReadFile(s.file.path + ".tmp"); err != nil || !bytes.Contains(b, []byte("web2")) {
		t.Fatalf("temporary file: %q, %v, want what was written", b, err)
	}
	s = open(t, dir)
	if got := list(s); got != "web1/ann" {
		t.Errorf("drains after the kill: %q, want web1/ann", got)
	}
	if err := s.Add(Drain{Server: "web3", Owner: "ann"}); err != nil {
		t.Error(err)
	}
	if got := list(open(t, dir)); got != "web1/ann web3/ann" {
		t.Errorf("drains after the next write: %q, want web1/ann web3/ann", got)
	}
}

func TestNoDirectory(t *testing.T) {
	notDir := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(notDir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(notDir, "state")
	s, err := Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("Open() = %v, want nil", err)
	}
	if err := s.Add(Drain{Server: "web1", Owner: "ann"}); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("Add() = %v, want %v", err, syscall.ENOTDIR)
	}
	if s.Drained("web1") {
		t.Error("a refused drain stands")
	}
}

func TestUnreadableFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "drains.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("Open() = nil, want the error of reading: the drains are unknown")
	}
}
