package cert

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mholt/acmez/v3/acme"
)

func hookScript(t *testing.T, text string) (h *hook, dir string, book *logBook) {
	t.Helper()
	dir = t.TempDir()
	path := filepath.Join(dir, "hook")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	book = &logBook{}
	return &hook{log: book.logger(slog.LevelInfo), argv: []string{path, "--zone", "a b; $(touch x)"}}, dir, book
}

func TestHookGetsItsArguments(t *testing.T) {
	h, dir, book := hookScript(t, `for a in "$@"; do echo "$a" >>"$(dirname "$0")/seen"; done; echo hello; echo there >&2`)
	ch := acme.Challenge{Type: "dns-01", KeyAuthorization: "token.thumb", Identifier: acme.Identifier{Type: "dns", Value: "a.test"}}
	s := &dnsSolver{h}
	if err := s.Present(t.Context(), ch); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.CleanUp(ended, ch); err != nil {
		t.Errorf("CleanUp when all is ending: %v", err)
	}
	seen, err := os.ReadFile(filepath.Join(dir, "seen"))
	if err != nil {
		t.Fatal(err)
	}
	value := ch.DNS01KeyAuthorization()
	want := []string{"--zone", "a b; $(touch x)", "present", "_acme-challenge.a.test", value, "--zone", "a b; $(touch x)", "cleanup", "_acme-challenge.a.test", value, ""}
	if diff := cmp.Diff(want, strings.Split(string(seen), "\n")); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
	if !strings.Contains(book.String(), "hello there") {
		t.Errorf("the log does not have what the command said:\n%s", book)
	}
}

func TestHookThatFails(t *testing.T) {
	h, _, _ := hookScript(t, `echo "no such zone" >&2; exit 3`)
	err := h.Present(t.Context(), "_acme-challenge.a.test", "v")
	if err == nil || !strings.Contains(err.Error(), "no such zone") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("Present = %v, want the exit status and the words of the command", err)
	}
	none := &hook{log: slog.New(slog.DiscardHandler), argv: []string{filepath.Join(t.TempDir(), "none")}}
	if err := none.Present(t.Context(), "_acme-challenge.a.test", "v"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Present with no command = %v, want that there is none", err)
	}
}

// A command that hangs is ended with its children, and what it floods is not kept.
func TestHookThatHangs(t *testing.T) {
	h, _, _ := hookScript(t, "yes flood | head -c 1000000\nsleep 600 & sleep 600")
	began := time.Now()
	err := h.run(t.Context(), time.Second, "present", "_acme-challenge.a.test", "v")
	if err == nil || !strings.Contains(err.Error(), "did not end within 1s") || len(err.Error()) > hookOutput+500 {
		t.Errorf("run = %.200v", err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
}
