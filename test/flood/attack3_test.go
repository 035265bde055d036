package flood

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"skein/test/harness"
)

// excessive is H3_EXCESSIVE_LOAD.
const excessive = "0x107"

// TestFloods3 runs the attacks of a single connection over HTTP/3.
func TestFloods3(t *testing.T) {
	t.Parallel()
	s := start(t)
	v := s.visitor3()
	narrow := &quic.Config{InitialStreamReceiveWindow: 1, MaxStreamReceiveWindow: 1, InitialConnectionReceiveWindow: 1 << 20}
	const thousands = 20_000
	cut := "cut_glitches"
	for _, test := range []struct {
		name    string
		bare    bool // without SETTINGS
		config  *quic.Config
		do      func(a *attacker3)
		want    string
		event   string
		waiting int64 // requests that may reach the origin
	}{
		{name: "rapid reset", want: excessive, event: cut, waiting: 128, do: func(a *attacker3) {
			b := head("GET", "/hang")
			a.repeat(thousands, func() error {
				q, err := a.begin(b)
				if err == nil {
					q.CancelRead(0x10c)
					q.CancelWrite(0x10c)
				}
				return err
			})
		}},
		{name: "malformed requests", want: excessive, event: cut, do: func(a *attacker3) {
			b := head("GET", "/", "connection", "close")
			a.repeat(thousands, func() error {
				q, err := a.begin(b)
				if err == nil {
					q.CancelRead(0x10c)
					err = q.Close()
				}
				return err
			})
		}},
		{name: "large heads", want: excessive, event: cut, do: func(a *attacker3) {
			b := head("GET", "/", "x", strings.Repeat("a", 100_000))
			a.repeat(thousands, func() error {
				q, err := a.OpenStreamSync(a.ctx)
				if err == nil {
					_, _ = q.Write(b) // it is stopped in between
					q.CancelRead(0x10c)
					q.CancelWrite(0x10c)
				}
				return err
			})
		}},
		{name: "a name of one byte and a value of many, many times", want: excessive, event: cut, do: func(a *attacker3) {
			// The longest values of QPACK's static table, a byte or two each: a bomb without a dynamic table.
			b := []byte{0, 0, 0xd1, 0xd7, 0xc1, 0x50, 1, 'h'}
			b = append(b, []byte(strings.Repeat("\xff\x16", 7000))...) // content-security-policy
			b = frame(1, b)
			a.repeat(thousands, func() error {
				q, err := a.OpenStreamSync(a.ctx)
				if err == nil {
					_, _ = q.Write(b)
					q.CancelRead(0x10c)
					_ = q.Close()
				}
				return err
			})
		}},
		{name: "QPACK instructions for a table that is not there", want: "0x201", event: "cut_protocol", do: func(a *attacker3) {
			_, _ = a.open(2, append([]byte{0x3f, 0xe1, 0x1f}, []byte(strings.Repeat("\x41a\x01b", 1000))...))
		}},
		{name: "streams that wait for a table", want: "0x200", event: "cut_protocol", do: func(a *attacker3) {
			a.repeat(100, func() error { _, err := a.begin(frame(1, []byte{0x02, 0x00, 0x80})); return err })
		}},
		{name: "QPACK capacity again and again", want: excessive, event: cut, do: func(a *attacker3) {
			u, err := a.open(2, nil)
			b := []byte(strings.Repeat("\x20", 1000))
			a.repeat(thousands, func() error {
				if err == nil {
					_, err = u.Write(b)
				}
				return err
			})
		}},
		{name: "QPACK cancellations", want: excessive, event: cut, do: func(a *attacker3) {
			u, err := a.open(3, nil)
			b := []byte(strings.Repeat("\x40", 1000))
			a.repeat(thousands, func() error {
				if err == nil {
					_, err = u.Write(b)
				}
				return err
			})
		}},
		{name: "unidirectional streams", want: excessive, event: cut, do: func(a *attacker3) {
			a.repeat(thousands, func() error {
				u, err := a.open(0x21, nil)
				if err == nil {
					err = u.Close()
				}
				return err
			})
		}},
		{name: "huge SETTINGS", bare: true, want: excessive, event: cut, do: func(a *attacker3) { _, _ = a.open(0, frame(4, make([]byte, 100_000))) }},
		{name: "DATA first", want: "0x105", event: "cut_protocol", do: func(a *attacker3) { _, _ = a.begin(frame(0, []byte("x"))) }},
		{name: "one byte of DATA at a time", want: excessive, event: cut, waiting: 1, do: func(a *attacker3) {
			q, err := a.begin(head("POST", "/count"))
			b := []byte(strings.Repeat("\x00\x01x", 100))
			a.repeat(thousands, func() error {
				if err == nil {
					_, err = q.Write(b)
				}
				return err
			})
		}},
		{name: "empty DATA", want: excessive, event: cut, waiting: 1, do: func(a *attacker3) {
			q, err := a.begin(head("POST", "/count"))
			b := []byte(strings.Repeat("\x00\x00", 100))
			a.repeat(thousands, func() error {
				if err == nil {
					_, err = q.Write(b)
				}
				return err
			})
		}},
		{name: "grease in a body", want: excessive, event: cut, waiting: 1, do: func(a *attacker3) {
			q, err := a.begin(head("POST", "/count"))
			b := []byte(strings.Repeat("\x21\x00", 100))
			a.repeat(thousands, func() error {
				if err == nil {
					_, err = q.Write(b)
				}
				return err
			})
		}},
		{name: "heads that do not end on all streams", want: excessive, event: cut, do: func(a *attacker3) {
			b := head("GET", "/")
			a.repeat(128, func() error { _, err := a.begin(b[:len(b)-1]); return err })
		}},
		{name: "heads of which a byte comes now and then", want: excessive, event: cut, do: func(a *attacker3) {
			b := head("GET", "/", "x", strings.Repeat("a", 1000))
			var all []*quic.Stream
			a.repeat(100, func() error {
				q, err := a.begin(b[:1])
				all = append(all, q)
				return err
			})
			tick := time.NewTicker(200 * time.Millisecond)
			defer tick.Stop()
			for i := 1; i < len(b) && a.ctx.Err() == nil; i++ {
				for _, q := range all {
					_, _ = q.Write(b[i : i+1])
				}
				<-tick.C
			}
			if a.Context().Err() == nil {
				a.t.Error("the heads are waited for as long as something comes of them")
			}
		}},
		{name: "answers that nobody reads", config: narrow, want: excessive, event: cut, waiting: 128, do: func(a *attacker3) {
			b := head("GET", "/bytes?n=100000000")
			a.repeat(100, func() error {
				q, err := a.begin(b)
				if err == nil {
					err = q.Close()
				}
				return err
			})
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			events := s.event("h3", test.event)
			s.withstand(t, v, bounds{memory: 96, requests: test.waiting}, func(t *testing.T) {
				c := test.config
				if c == nil {
					c = &quic.Config{}
				}
				a := s.attack3(t, !test.bare, c)
				test.do(a)
				if got := a.cutWith(); got != test.want {
					t.Errorf("the connection is cut with %s, want %s", got, test.want)
				}
			})
			if n := s.event("h3", test.event); n != events+1 {
				t.Errorf("%s = %d, want %d", test.event, n, events+1)
			}
		})
	}
	s.Stop()
}

// A body that is kept open by a frame that is none of it ends as one of which nothing comes, however often a byte of that comes.
func TestBodyOfGrease3(t *testing.T) {
	t.Parallel()
	s := start(t)
	a := s.attack3(t, true, &quic.Config{})
	q, err := a.begin(append(head("POST", "/count"), 0x21, 0x43, 0xe8))
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	answered := make(chan string, 1)
	go func() {
		b := make([]byte, 200)
		n, err := q.Read(b)
		answered <- fmt.Sprintf("%q, %v", b[:n], err)
	}()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	late := time.After(harness.Patience)
	for {
		select {
		case got := <-answered: // 408, or a reset
			if took := time.Since(began); took < time.Second {
				t.Errorf("after %v: %s", took, got)
			}
			s.Stop()
			return
		case <-late:
			t.Fatal("a body of which nothing comes is waited for")
		case <-tick.C:
			_, _ = q.Write([]byte{0})
		}
	}
}
