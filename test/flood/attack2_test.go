package flood

import (
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"skein/test/harness"
)

// attack of one connection over HTTP/2.
type attack struct {
	name     string
	settings []http2.Setting
	do       func(a *attacker2)
	want     string // the code of the GOAWAY
	event    string // that the metrics show once more
	bounds
}

const calm = "ENHANCE_YOUR_CALM"

func attacks() []attack {
	const thousands = 50_000
	large := http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1}
	window := func(n uint32) http2.Setting {
		return http2.Setting{ID: http2.SettingInitialWindowSize, Val: n}
	}
	// Floods of one kind of frame. The origin hears of the streams that they need, and of some more of those that are resets.
	flood := func(name string, requests int64, item func(a *attacker2, i int) error) attack {
		return attack{
			name: name, want: calm, event: "cut_glitches", bounds: bounds{memory: 64, requests: requests},
			do: func(a *attacker2) { a.repeat(thousands, func(i int) error { return item(a, i) }) },
		}
	}
	// after opens one upload, or what begin says, and repeats something on it.
	after := func(begin func(a *attacker2) error, item func(a *attacker2) error) func(a *attacker2, i int) error {
		return func(a *attacker2, i int) error {
			if i == 0 {
				return begin(a)
			}
			return item(a)
		}
	}
	upload := func(a *attacker2) error { return a.post(0, "/count") }
	reset := func(name string, provoke func(a *attacker2, i int) error) attack {
		return flood("made reset: "+name, 128, func(a *attacker2, i int) error {
			if err := a.get(i, "/hang"); err != nil {
				return err
			}
			return provoke(a, i)
		})
	}
	bomb := strings.Repeat("\xbe", 10_000) // the newest entry of the table
	part := []byte(strings.Repeat("\x86", 16<<10))
	return []attack{
		flood("rapid reset", 128, func(a *attacker2, i int) error {
			if err := a.get(i, "/hang"); err != nil {
				return err
			}
			return a.fr.WriteRSTStream(id(i), http2.ErrCodeCancel)
		}),
		reset("window of nothing", func(a *attacker2, i int) error { return a.fr.WriteWindowUpdate(id(i), 0) }),
		reset("window overflow", func(a *attacker2, i int) error { return a.fr.WriteWindowUpdate(id(i), 1<<31-1) }),
		reset("DATA after the end", func(a *attacker2, i int) error { return a.fr.WriteData(id(i), false, []byte("x")) }),
		reset("HEADERS after the end", func(a *attacker2, i int) error {
			return a.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id(i), BlockFragment: []byte{0x82}, EndHeaders: true, EndStream: true})
		}),
		reset("PRIORITY of a wrong size", func(a *attacker2, i int) error { return a.raw(2, 0, id(i), make([]byte, 4)) }),
		flood("malformed requests", 0, func(a *attacker2, i int) error { return a.get(i, "/", "connection: close") }),
		flood("bodies too long", 128, func(a *attacker2, i int) error {
			if err := a.post(i, "/count", "content-length: 1"); err != nil {
				return err
			}
			return a.fr.WriteData(id(i), true, []byte("xyz"))
		}),
		flood("more streams than allowed", 128, func(a *attacker2, i int) error { return a.post(i, "/count") }),
		flood("CONTINUATION without an end", 0, after(
			func(a *attacker2) error {
				return a.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82}})
			},
			func(a *attacker2) error { return a.fr.WriteContinuation(1, false, []byte{0x86}) },
		)),
		flood("empty CONTINUATION", 0, after(
			func(a *attacker2) error {
				return a.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82}})
			},
			func(a *attacker2) error { return a.fr.WriteContinuation(1, false, nil) },
		)),
		{name: "large CONTINUATION without an end", want: calm, event: "cut_block", bounds: bounds{memory: 64}, do: func(a *attacker2) {
			a.repeat(thousands, func(i int) error {
				if i == 0 {
					return a.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: part})
				}
				return a.fr.WriteContinuation(1, false, part)
			})
		}},
		flood("HPACK bomb", 0, func(a *attacker2, i int) error {
			b := append(append([]byte(nil), a.head("GET", "/", "x: "+strings.Repeat("a", 3900))...), bomb...)
			return a.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id(i), BlockFragment: b, EndHeaders: true, EndStream: true})
		}),
		flood("SETTINGS", 0, func(a *attacker2, _ int) error { return a.fr.WriteSettings() }),
		flood("windows up and down below a hundred streams", 100, func(a *attacker2, i int) error {
			if i < 100 {
				return a.get(i, "/bytes?n=10000000")
			}
			up := make([]http2.Setting, 0, 2000)
			for range 1000 {
				up = append(up, window(1<<31-1), window(0))
			}
			return a.fr.WriteSettings(up...)
		}),
		flood("PING", 0, func(a *attacker2, _ int) error { return a.fr.WritePing(false, [8]byte{}) }),
		flood("PRIORITY", 0, func(a *attacker2, i int) error {
			return a.fr.WritePriority(id(i), http2.PriorityParam{})
		}),
		flood("WINDOW_UPDATE", 0, func(a *attacker2, _ int) error { return a.fr.WriteWindowUpdate(0, 1) }),
		flood("unknown frames", 0, func(a *attacker2, _ int) error { return a.raw(0xbe, 0, 0, nil) }),
		flood("empty DATA", 1, after(upload, func(a *attacker2) error { return a.fr.WriteData(1, false, nil) })),
		flood("one byte of DATA at a time", 1, after(upload, func(a *attacker2) error { return a.fr.WriteData(1, false, []byte("x")) })),
		flood("nothing but padding", 1, after(upload, func(a *attacker2) error { return a.raw(0, 0x8, 1, append([]byte{255}, make([]byte, 255)...)) })),
		flood("DATA for a stream that was reset", 128, after(
			func(a *attacker2) error {
				if err := upload(a); err != nil {
					return err
				}
				return a.fr.WriteRSTStream(1, http2.ErrCodeCancel)
			},
			func(a *attacker2) error { return a.fr.WriteData(1, false, []byte("x")) },
		)),
		{name: "connection window overflow", want: "FLOW_CONTROL_ERROR", event: "cut_protocol", bounds: bounds{memory: 64}, do: func(a *attacker2) {
			_ = a.fr.WriteWindowUpdate(0, 1<<31-1)
			a.send()
		}},
		{
			name: "one byte windows of a hundred streams", settings: []http2.Setting{window(0)}, want: calm, event: "cut_glitches",
			bounds: bounds{memory: 64, requests: 100}, do: func(a *attacker2) {
				_ = a.fr.WriteWindowUpdate(0, 1<<30)
				a.repeat(100, func(i int) error { return a.get(i, "/bytes?n=10000000") })
				a.repeat(thousands, func(i int) error { return a.fr.WriteWindowUpdate(id(i%100), 1) })
			},
		},
		{name: "no windows for ever", settings: []http2.Setting{window(0)}, want: calm, event: "cut_glitches", bounds: bounds{memory: 96, requests: 128}, do: func(a *attacker2) {
			a.repeat(100, func(i int) error { return a.get(i, "/bytes?n=10000000") })
			<-a.ended
		}},
		{name: "a header block that is begun", want: "NO_ERROR", event: "cut_header", bounds: bounds{memory: 64}, do: func(a *attacker2) {
			_ = a.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82}})
			a.send()
		}},
		{name: "answers that are read by nobody", settings: []http2.Setting{large}, event: "cut_queue", bounds: bounds{memory: 96, requests: 100}},
	}
}

// TestFloods2 runs the attacks of a single connection.
func TestFloods2(t *testing.T) {
	t.Parallel()
	s := start(t)
	v := s.visitor2()
	for _, at := range attacks() {
		t.Run(at.name, func(t *testing.T) {
			events := s.event("h2", at.event)
			s.withstand(t, v, at.bounds, func(t *testing.T) {
				if at.do == nil {
					s.deaf(t, at.settings)
					harness.Eventually(t, harness.Patience, "the connection is cut", func() bool { return s.event("h2", at.event) > events })
					return
				}
				a := s.attack2(t, false, at.settings...)
				at.do(a)
				if got := a.cutWith(); got != at.want {
					t.Errorf("the connection is cut with %s, want %s", got, at.want)
				}
				a.c.Close()
			})
			if n := s.event("h2", at.event); n != events+1 {
				t.Errorf("%s = %d, want %d", at.event, n, events+1)
			}
		})
	}
	s.Stop()
}

// deaf asks for large answers, opens its windows, and never reads its socket.
func (s *site) deaf(t *testing.T, settings []http2.Setting) {
	a := s.attack2(t, true, settings...)
	_ = a.fr.WriteWindowUpdate(0, 1<<30)
	for i := range 100 {
		_ = a.get(i, "/bytes?n=100000000")
	}
	a.send()
}
