package vip

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"skein/test/harness"
)

// The notify command is told of every change, in order, one at a time, with what the manual says in its environment; one that
// hangs is ended, and holds nothing up but the next note.
func TestNotify(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	dir := t.TempDir()
	log, program := filepath.Join(dir, "log"), filepath.Join(dir, "notify")
	script := `#!/bin/sh
echo "begin $SKEIN_OLD_STATE>$SKEIN_STATE" >> ` + log + `
echo "$1 $SKEIN_VIP $SKEIN_NODE [$SKEIN_ADDRESSES] [$SKEIN_REASON]" >> ` + log + `.words
if [ -e ` + dir + `/hang ]; then sleep 1000; fi
echo "end $SKEIN_STATE" >> ` + log + "\n"
	if err := os.WriteFile(program, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		b, _ := os.ReadFile(name)
		return string(b)
	}
	s.launch(0, s.file(s.vip("front", `address = ["`+address+`/24", "10.0.0.101/24"]`, "preempt = false", fmt.Sprintf("notify = [%q, \"word\"]", program), `notify_timeout = "500ms"`)))
	s.owners.Wait(s.lb[0], patience)
	s.ready(0)
	s.launch(1, s.file(s.vip("front", `address = ["`+address+`/24", "10.0.0.101/24"]`, "preempt = false")))
	s.ready(1)
	want := "begin init>backup\nend backup\nbegin backup>master\nend master\n"
	harness.Eventually(t, patience, "the start was told", func() bool { return read(log) == want })
	s.command(0, "drain", "lb1")
	s.owners.Wait(s.lb[1], patience)
	want += "begin master>backup\nend backup\n"
	harness.Eventually(t, patience, "the handover was told", func() bool { return read(log) == want })
	s.command(0, "ready", "lb1")
	s.ready(0)
	words := strings.Split(read(log+".words"), "\n")
	if len(words) < 3 || !strings.HasPrefix(words[1], "word front lb1 [10.0.0.100 10.0.0.101] [") || !strings.Contains(words[2], "lb1 is drained") {
		t.Errorf("the command was told:\n%s", strings.Join(words, "\n"))
	}

	// One that hangs.
	if err := os.WriteFile(filepath.Join(dir, "hang"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	s.lb[0].Port(0).Down()
	s.waits(0, patience, "the link is down", func(n status) bool { return n.of("front").State == "fault" })
	s.lb[0].Port(0).Up()
	s.ready(0)
	want += "begin backup>fault\nbegin fault>backup\n"
	harness.Eventually(t, patience, "both were told", func() bool { return read(log) == want })
	if d := time.Since(began); d < 500*time.Millisecond {
		t.Errorf("the second was told after %v, while the first had 500 ms", d)
	}
	s.waits(0, patience, "both have failed", func(n status) bool {
		k := n.of("front").Notify
		return k != nil && k.Runs == 5 && k.Failed == 2 && k.Skipped == 0
	})
	harness.Eventually(t, patience, "what the command has started is gone", func() bool { return len(running(t, dir)) == 0 })
	os.Remove(filepath.Join(dir, "hang"))
	s.run[0].Stop()
	if got := read(log); got != want+"begin backup>init\nend init\n" {
		t.Errorf("after the end:\n%s", got)
	}
	s.run[1].Stop()
}

// running are the processes with a text in their command lines.
func running(t *testing.T, text string) (all []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && strings.Contains(string(b), text) {
			all = append(all, string(b))
		}
	}
	return all
}
