package main

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// packetAt is what the kernel hands to a wiretap: an IPv4 packet of the protocol, and the control message with its stamp.
func packetAt(protocol, router byte, at time.Time) (frame, control []byte) {
	frame = make([]byte, 14+20+8)
	frame[14], frame[14+9], frame[14+20+1] = 0x45, protocol, router
	control = make([]byte, unix.CmsgSpace(16))
	binary.NativeEndian.PutUint64(control, uint64(unix.CmsgLen(16)))
	binary.NativeEndian.PutUint32(control[8:], unix.SOL_SOCKET)
	binary.NativeEndian.PutUint32(control[12:], unix.SO_TIMESTAMPNS)
	binary.NativeEndian.PutUint64(control[16:], uint64(at.Unix()))
	binary.NativeEndian.PutUint64(control[24:], uint64(at.Nanosecond()))
	return frame, control
}

func TestLate(t *testing.T) {
	begin := time.Unix(1_000_000_000, 999_000_000)
	after := func(ms int) time.Time { return begin.Add(time.Duration(ms) * time.Millisecond) }
	var w wiretap
	for _, p := range []struct {
		protocol, router byte
		at               int // ms
	}{
		{protocolVRRP, skeinRouter, 0},
		{protocolVRRP, daemonRouter, 1},
		{protocolVRRP, skeinRouter, 100},
		{protocolVRRP, 7, 150}, // somebody else's
		{unix.IPPROTO_UDP, 0, 180},
		{protocolVRRP, skeinRouter, 230}, // 30 ms late
		{protocolVRRP, skeinRouter, 300}, // and on its grid again
		{unix.IPPROTO_UDP, 0, 600},
		{protocolVRRP, skeinRouter, 990}, // not within the time any more
	} {
		if err := w.note(packetAt(p.protocol, p.router, after(p.at))); err != nil {
			t.Fatal(err)
		}
	}
	const ms = time.Millisecond
	want := [3][]time.Duration{bySpeaker: {0, 30 * ms, 0}, byGoroutine: {320 * ms}}
	if diff := cmp.Diff(want, w.late(after(50), after(900))); diff != "" {
		t.Errorf("late (-want +got):\n%s", diff)
	}
	if err := w.note(make([]byte, 64), nil); err == nil {
		t.Error("a packet without a stamp was taken")
	}
}

func TestQuantile(t *testing.T) {
	var sorted []time.Duration
	for i := range 1000 {
		sorted = append(sorted, time.Duration(i))
	}
	for share, want := range map[float64]time.Duration{0: 0, 0.5: 500, 0.999: 999, 1: 999} {
		if got := quantile(sorted, share); got != want {
			t.Errorf("quantile(%v) = %v, want %v", share, got, want)
		}
	}
	if got := quantile(nil, 0.5); got != 0 {
		t.Errorf("quantile of nothing = %v, want 0", got)
	}
}

func TestLatenessSection(t *testing.T) {
	r := latenessResult{
		settings: latenessSettings{rounds: 1, time: time.Second, conns: 10}, machine: Machine{Cores: 2}, answers: []float64{100}, busy: []float64{2},
		costs: []cost{{name: "speaker", cpu: 0.01, memory: Memory{RSS: 1 << 20}, wakes: 5}},
	}
	r.row("speaker", true).late = []time.Duration{3 * time.Millisecond, time.Millisecond}
	r.row("beats", false).beats = []string{"0 of 20"}
	got := r.markdownSection()
	for _, want := range []string{
		"| speaker | 2 | 3.00 | 3.00 | 3.00 | 3.00 | real-time |\n",
		"\nBeats, as `skein status --json` has them, by round: 0 of 20.\n",
		"| speaker | 1.00 | 1.0 | 5 |\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the section has no %q:\n%s", want, got)
		}
	}
	page, err := replaceBetween([]byte("a\n"+latenessBegin+"old"+latenessEnd+"\nb"), []byte("new\n"), latenessBegin, latenessEnd)
	if want := "a\n" + latenessBegin + "\nnew\n" + latenessEnd + "\nb"; err != nil || string(page) != want {
		t.Errorf("page = %q, %v; want %q", page, err, want)
	}
}

func TestParseLateness(t *testing.T) {
	if s, err := parseLateness([]string{"-rounds", "2", "-time", "10s"}); err != nil || s.rounds != 2 || s.time != 10*time.Second || s.conns != 10000 {
		t.Errorf("settings = %+v, %v", s, err)
	}
	for _, wrong := range []string{"-rounds=0", "-time=1ms", "-idle=1h", "-conns=0", "surplus"} {
		if _, err := parseLateness([]string{wrong}); err == nil {
			t.Errorf("%s was taken", wrong)
		}
	}
}
