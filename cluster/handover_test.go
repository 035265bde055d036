package cluster

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// Two processes at one directory: the heir knows what the elder wrote after the heir had read, and the elder writes no more.
func TestOneWriter(t *testing.T) {
	dir := t.TempDir()
	open := func() *Store {
		s, err := Open(dir, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	elder := open()
	heir := open()
	heir.Freeze()
	if err := heir.Add(Drain{Server: "x", Owner: "o"}); !errors.Is(err, ErrFrozen) {
		t.Errorf("the heir's Add before it begins = %v, want ErrFrozen", err)
	}
	if err := elder.Add(Drain{Server: "a", Owner: "o"}); err != nil {
		t.Fatal(err)
	}
	elder.Freeze()
	if heir.Drained("a") {
		t.Fatal("the heir knows before it reads")
	}
	if err := heir.Thaw(); err != nil {
		t.Fatal(err)
	}
	if !heir.Drained("a") {
		t.Error("a drain of the elder is lost")
	}
	if err := heir.Add(Drain{Server: "b", Owner: "o"}); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"Add":    elder.Add(Drain{Server: "c", Owner: "o"}),
		"Remove": elder.Remove("a", "o"),
	} {
		if !errors.Is(err, ErrFrozen) {
			t.Errorf("the elder's %s = %v, want ErrFrozen", what, err)
		}
	}
	if again := open(); !again.Drained("a") || !again.Drained("b") || again.Drained("c") {
		t.Errorf("on disk: %v", again.List())
	}
}

// A drain that expires in the elder ends there, and the file is the heir's.
func TestExpiryWithoutWriting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s, err := Open(dir, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Add(Drain{Server: "a", Owner: "o", Expires: time.Now().Add(time.Minute)}); err != nil {
			t.Fatal(err)
		}
		s.Freeze()
		before, err := os.ReadFile(filepath.Join(dir, "drains.json"))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute) // of the bubble's clock
		s.expire(time.Now())
		if s.Drained("a") {
			t.Error("still drained")
		}
		if after, err := os.ReadFile(filepath.Join(dir, "drains.json")); err != nil || string(after) != string(before) {
			t.Errorf("the file was written: %s, %v", after, err)
		}
	})
}
