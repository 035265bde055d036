package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"skein/config"
	"skein/pool"
	"skein/web/http1"
)

// logged is an exchange with everything that a line can say.
func logged() *exchange {
	x := &exchange{
		method: "GET", authority: []byte("shop.example"), path: []byte("/a"), query: []byte("b=1"), proto: "HTTP/1.1",
		fields: []Field{
			{Name: []byte("Referer"), Value: []byte("http://r/"), ID: http1.Referer},
			{Name: []byte("User-Agent"), Value: []byte("curl/8"), ID: http1.UserAgent},
		},
		site: &site{cfg: &config.HTTP{Name: "shop"}},
	}
	x.line = record{
		start:  time.Date(2026, 11, 22, 20, 14, 47, 123e6, time.UTC),
		queued: time.Millisecond, connected: 2 * time.Millisecond, first: 3 * time.Microsecond,
		status: 200, sent: 612, received: 7, retries: 1, visitor: netip.MustParseAddr("10.1.2.3"),
		member: &pool.Member{Pool: "web", Server: "web1", Address: "10.0.0.1:80"},
	}
	return x
}

func TestCombinedLine(t *testing.T) {
	bare := &exchange{proto: "HTTP/1.1"}
	bare.line = record{
		start: time.Date(2026, 11, 22, 20, 14, 47, 0, time.UTC), status: 400, sent: 12, cause: causeBadRequest,
		visitor: netip.MustParseAddr("2001:db8::1"),
	}
	hostile := logged()
	hostile.path = []byte("/\"\\\x7f")
	hostile.query = nil
	hostile.fields = []Field{{Name: []byte("User-Agent"), Value: []byte("a\" 200 1 \"\tb\xff\xc3\xa9"), ID: http1.UserAgent}}
	for name, c := range map[string]struct {
		x    *exchange
		want string
	}{
		"all":        {logged(), `10.1.2.3 - - [22/Nov/2026:20:14:47 +0000] "GET /a?b=1 HTTP/1.1" 200 612 "http://r/" "curl/8" shop web web1 10.0.0.1:80 0.001000/0.002000/0.000003/1.500000 1 done`},
		"no request": {bare, `2001:db8::1 - - [22/Nov/2026:20:14:47 +0000] "-" 400 12 "-" "-" - - - - 0.000000/0.000000/0.000000/1.500000 0 bad_request`},
		"escapes":    {hostile, `10.1.2.3 - - [22/Nov/2026:20:14:47 +0000] "GET /\"\\\u007f HTTP/1.1" 200 612 "-" "a\" 200 1 \"\u0009b` + "\ufffd\u00e9" + `" shop web web1 10.0.0.1:80 0.001000/0.002000/0.000003/1.500000 1 done`},
	} {
		if got := string(appendCombined(nil, c.x, 1500*time.Millisecond)); got != c.want+"\n" {
			t.Errorf("%s:\n got %s want %s", name, got, c.want)
		}
	}
}

func TestJSONLine(t *testing.T) {
	x := logged()
	x.fields[1].Value = []byte("a\"\\\x01\t\xff\xc3\xa9\u2028")
	var got map[string]any
	line := appendJSONLine(nil, x, 1500*time.Millisecond)
	if err := json.Unmarshal(line, &got); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	want := map[string]any{
		"time": "2026-11-22T20:14:47.123Z", "client": "10.1.2.3", "method": "GET", "host": "shop.example", "target": "/a?b=1",
		"proto": "HTTP/1.1", "status": 200.0, "sent": 612.0, "received": 7.0, "referer": "http://r/",
		"agent": "a\"\\\x01\t\ufffd\u00e9\u2028", "site": "shop", "pool": "web", "server": "web1", "address": "10.0.0.1:80",
		"queue": 0.001, "connect": 0.002, "first_byte": 0.000003, "total": 1.5, "retries": 1.0, "cause": "done",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if bytes.Count(line, []byte("\n")) != 1 {
		t.Errorf("not one line: %q", line)
	}
}

func FuzzLineIsOneJSONObject(f *testing.F) {
	f.Add("/", "curl")
	f.Add("/\xff\"", "\n\r\x00\\")
	f.Fuzz(func(t *testing.T, path, agent string) {
		x := logged()
		x.path, x.fields[1].Value = []byte(path), []byte(agent)
		for name, line := range map[string][]byte{"json": appendJSONLine(nil, x, 0), "combined": appendCombined(nil, x, 0)} {
			if bytes.IndexByte(line, '\n') != len(line)-1 {
				t.Errorf("%s: not one line: %q", name, line)
			}
		}
		if line := appendJSONLine(nil, x, 0); !json.Valid(line) {
			t.Errorf("not JSON: %q", line)
		}
	})
}

func TestLogReopens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	l, err := openAccessLog("combined", path, nil)
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	const writers, lines = 4, 500
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for range lines {
				l.add(logged(), 0)
			}
		})
	}
	for i := range 5 {
		l.flush(quiet)
		if err := os.Rename(path, path+"."+string(rune('0'+i))); err != nil {
			t.Fatal(err)
		}
		if err := l.reopen(); err != nil {
			t.Fatal(err)
		}
	}
	all.Wait()
	l.close()
	total := 0
	files, _ := filepath.Glob(path + "*")
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.SplitAfter(string(b), "\n") {
			if line == "" {
				continue
			}
			if !strings.HasPrefix(line, "10.1.2.3 ") || !strings.HasSuffix(line, " done\n") {
				t.Fatalf("broken line %q", line)
			}
			total++
		}
	}
	if total != writers*lines {
		t.Errorf("%d lines in %d files, want %d", total, len(files), writers*lines)
	}
	// A signal may come when the log is closed already.
	if err := l.reopen(); err != nil {
		t.Errorf("reopen after close: %v", err)
	}
}

// disk is full after so many bytes.
type disk struct {
	room int
	got  bytes.Buffer
}

func (d *disk) Write(p []byte) (int, error) {
	n := min(d.room, len(p))
	d.room -= n
	d.got.Write(p[:n])
	if n < len(p) {
		return n, errors.New("no space left on device")
	}
	return n, nil
}

func TestFullDisk(t *testing.T) {
	d := &disk{}
	l, _ := openAccessLog("combined", "", d)
	var out strings.Builder
	log := slog.New(slog.NewTextHandler(&out, nil))
	line := len(appendCombined(nil, logged(), 0))
	add := func(n int) {
		for range n {
			l.add(logged(), 0)
		}
		l.flush(log)
	}
	d.room = line + line/2
	add(3)
	add(2)
	d.room = 1 << 20
	add(1)
	if got := l.dropped.Load(); got != 4 {
		t.Errorf("dropped %d lines, want 4: two of the first three and both of the next", got)
	}
	lines := strings.Split(strings.TrimSuffix(d.got.String(), "\n"), "\n")
	if len(lines) != 3 || len(lines[0]) != line-1 || len(lines[1]) >= line-1 || len(lines[2]) != line-1 {
		t.Errorf("want a whole line, half a one and a whole one, got %q", lines)
	}
	if n := strings.Count(out.String(), "\n"); n != 2 {
		t.Errorf("%d log lines, want one for the fault and one for the end of it:\n%s", n, out.String())
	}
}

func TestLogIsBounded(t *testing.T) {
	l, _ := openAccessLog("combined", "", io.Discard)
	x := logged()
	x.query = bytes.Repeat([]byte{'q'}, 60<<10)
	for range 100 {
		l.add(x, 0)
	}
	if n := len(l.buf); n > logMax+64<<10 {
		t.Errorf("%d bytes held", n)
	}
	if l.dropped.Load() == 0 {
		t.Error("nothing was dropped")
	}
}

func BenchmarkCombinedLine(b *testing.B) {
	x := logged()
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = appendCombined(buf[:0], x, time.Millisecond)
	}
}

// TestAccessLogNowhere: a directory that is missing is an error with a next step.
func TestAccessLogNowhere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none", "access.log")
	_, err := openAccessLog("combined", path, io.Discard)
	if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "\nhint: ") {
		t.Errorf("openAccessLog(%q) = %v, want an error with the path and a hint", path, err)
	}
}
