package http2

import (
	"strings"
	"testing"

	"golang.org/x/net/http2"
)

// Each case is what a client sends after its greeting, and the frames that it gets.
func TestFrames(t *testing.T) {
	frame := func(typ http2.FrameType, flags http2.Flags, id uint32, payload string) func(*raw) {
		return func(r *raw) { r.ok(r.fr.WriteRawFrame(typ, flags, id, []byte(payload))) }
	}
	and := func(fs ...func(*raw)) func(*raw) {
		return func(r *raw) {
			for _, f := range fs {
				f(r)
			}
		}
	}
	request := func(id uint32, end bool, fields ...string) func(*raw) {
		return func(r *raw) { r.headers(id, end, fields...) }
	}
	open := request(1, false, post()...)
	for _, c := range []struct {
		name string
		do   func(*raw)
		want []string
	}{
		{"request", request(1, true, get()...), answered(1)},
		{"two requests", and(request(1, true, get()...), func(r *raw) { r.want(answered(1)...) }, request(5, true, get()...)), answered(5)},
		{"HEAD", request(1, true, ":method: HEAD", ":scheme: http", ":path: /", ":authority: a"), []string{
			"headers 1 [:status: 200, content-type: text/plain, content-length: 6] end",
		}},
		{"body", and(open, frame(0, 0, 1, "12345678"), frame(0, 1, 1, "90")), answered(1)},
		{"body of its length", and(request(1, false, post("content-length: 10")...), frame(0, 0, 1, "12345678"), frame(0, 1, 1, "90")), answered(1)},
		{"padded body", and(open, frame(0, 9, 1, "\x03ab\x00\x00\x00")), answered(1)},
		{"trailers", and(open, frame(0, 0, 1, "12345678"), request(1, true, "x: y")), answered(1)},
		{"priority", and(frame(2, 0, 7, "\x00\x00\x00\x03\x10"), request(9, true, get()...)), answered(9)},
		{"unknown frame", and(frame(0xbe, 0xff, 77, "ef"), request(1, true, get()...)), answered(1)},
		{"unknown setting", and(frame(4, 0, 0, "\xba\xda\x01\x02\x03\x04"), request(1, true, get()...)), answered(1)},
		{"ping", frame(6, 0, 0, "12345678"), []string{"pong 12345678"}},
		{"continuation", func(r *raw) {
			b := append([]byte(nil), r.encode(get("x: y")...)...)
			r.ok(r.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndStream: true, BlockFragment: b[:1]}))
			r.ok(r.fr.WriteContinuation(1, false, b[1:4]))
			r.ok(r.fr.WriteContinuation(1, true, b[4:]))
		}, answered(1)},
		{"table size", func(r *raw) {
			r.ok(r.fr.WriteSettings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: 0}))
			r.dec.SetAllowedMaxDynamicTableSize(0) // an answer must say that it keeps to that, or cannot be decoded
			r.headers(1, true, get()...)
		}, answered(1)},

		{"malformed", and(request(1, true, get("connection: close")...), request(3, true, get()...)), append([]string{"reset 1 PROTOCOL_ERROR"}, answered(3)...)},
		{"body too long", and(request(1, false, post("content-length: 1")...), frame(0, 0, 1, "12")), []string{"reset 1 PROTOCOL_ERROR"}},
		{"body too short", and(request(1, false, post("content-length: 3")...), frame(0, 1, 1, "12")), []string{"reset 1 PROTOCOL_ERROR"}},
		{"body too short before trailers", and(request(1, false, post("content-length: 3")...), request(1, true, "x: y")), []string{"reset 1 PROTOCOL_ERROR"}},
		{"trailers without end", and(open, request(1, false, "x: y")), []string{"reset 1 PROTOCOL_ERROR"}},
		{"pseudo field in trailers", and(open, request(1, true, ":path: /")), []string{"reset 1 PROTOCOL_ERROR"}},
		{"too large", and(request(1, true, get(strings.Repeat("x", 5000)+": y")...), request(3, true, get("x: y")...)), append([]string{"headers 1 [:status: 431, content-length: 0] end"}, answered(3)...)},
		{"too large with a body", request(1, false, get(strings.Repeat("x", 5000)+": y")...), []string{"headers 1 [:status: 431, content-length: 0] end", "reset 1 NO_ERROR"}},
		{"window of nothing", and(open, frame(8, 0, 1, "\x00\x00\x00\x00")), []string{"reset 1 PROTOCOL_ERROR"}},
		{"window overflow", and(open, frame(8, 0, 1, "\x7f\xff\xff\xff")), []string{"reset 1 FLOW_CONTROL_ERROR"}},
		{"data after reset by us", and(request(1, false, get("connection: x")...), frame(0, 1, 1, "abc"), request(3, true, get()...)), append([]string{"reset 1 PROTOCOL_ERROR"}, answered(3)...)},
		{"trailers after reset by us", and(request(1, false, get("connection: x")...), request(1, true, "x-trailer: 1"), request(3, true, get("x-trailer: 1")...)), append([]string{"reset 1 PROTOCOL_ERROR"}, answered(3)...)},

		{"push promise", frame(5, 4, 1, "\x00\x00\x00\x02"), []string{"goaway 0 PROTOCOL_ERROR", "end"}},
		{"even stream", request(2, true, get()...), []string{"goaway 0 PROTOCOL_ERROR", "end"}},
		{"stream 0", request(0, true, get()...), []string{"goaway 0 PROTOCOL_ERROR", "end"}},
		{"data on stream 0", frame(0, 0, 0, "a"), []string{"goaway 0 PROTOCOL_ERROR", "end"}},
		{"data on idle stream", frame(0, 0, 1, "a"), []string{"goaway 0 PROTOCOL_ERROR", "end"}},
		{"reset of idle stream", frame(3, 0, 1, "\x00\x00\x00\x00"), []string{"goaway 0 PROTOCOL_ERROR", "end"}},
		{"window of idle stream", frame(8, 0, 1, "\x00\x00\x00\x01"), []string{"goaway 0 PROTOCOL_ERROR", "end"}},
		{"older stream", and(request(5, true, get()...), func(r *raw) { r.want(answered(5)...) }, request(3, true, get()...)), []string{"goaway 5 STREAM_CLOSED", "end"}},
		{"too much padding", and(open, frame(0, 8, 1, "\x05abc")), []string{"goaway 1 PROTOCOL_ERROR", "end"}},
		{"padded and empty", and(open, frame(0, 8, 1, "")), []string{"goaway 1 FRAME_SIZE_ERROR", "end"}},
		{"short ping", frame(6, 0, 0, "1234567"), []string{"goaway 0 FRAME_SIZE_ERROR", "end"}},
		{"ping of a stream", frame(6, 0, 1, "12345678"), []string{"goaway 0 PROTOCOL_ERROR", "end"}},
		{"short reset", frame(3, 0, 1, "123"), []string{"goaway 0 FRAME_SIZE_ERROR", "end"}},
		{"short window", frame(8, 0, 0, "123"), []string{"goaway 0 FRAME_SIZE_ERROR", "end"}},
		{"short goaway", frame(7, 0, 0, "1234567"), []string{"goaway 0 FRAME_SIZE_ERROR", "end"}},
		{"short settings", frame(4, 0, 0, "12345"), []string{"goaway 0 FRAME_SIZE_ERROR", "end"}},
		{"settings of a stream", frame(4, 0, 1, ""), []string{"goaway 0 PROTOCOL_ERROR", "end"}},
		{"acknowledgement with settings", frame(4, 1, 0, "123456"), []string{"goaway 0 FRAME_SIZE_ERROR", "end"}},
		{"push of 2", frame(4, 0, 0, "\x00\x02\x00\x00\x00\x02"), []string{"goaway 0 PROTOCOL_ERROR", "end"}},
		{"window setting too large", frame(4, 0, 0, "\x00\x04\x80\x00\x00\x00"), []string{"goaway 0 FLOW_CONTROL_ERROR", "end"}},
		{"frame size setting too small", frame(4, 0, 0, "\x00\x05\x00\x00\x3f\xff"), []string{"goaway 0 PROTOCOL_ERROR", "end"}},
		{"frame too large", frame(0, 0, 1, strings.Repeat("a", maxFrame+1)), []string{"goaway 0 FRAME_SIZE_ERROR", "end"}},
		{"connection window overflow", frame(8, 0, 0, "\x7f\xff\xff\xff"), []string{"goaway 0 FLOW_CONTROL_ERROR", "end"}},
		{"bad index", frame(1, 5, 1, "\xff\x80\x01"), []string{"goaway 0 COMPRESSION_ERROR", "end"}},
		{"truncated block", frame(1, 5, 1, "\x00\x05abc"), []string{"goaway 0 COMPRESSION_ERROR", "end"}},
		{"continuation alone", frame(9, 4, 1, ""), []string{"goaway 0 PROTOCOL_ERROR", "end"}},
		{"block interrupted", and(frame(1, 1, 1, "\x82"), frame(6, 0, 0, "12345678")), []string{"goaway 0 PROTOCOL_ERROR", "end"}},
		{"block interrupted by an unknown frame", and(frame(1, 1, 1, "\x82"), frame(0xbe, 0, 1, "")), []string{"goaway 0 PROTOCOL_ERROR", "end"}},
		{"block of another stream", and(frame(1, 1, 1, "\x82"), frame(9, 4, 3, "")), []string{"goaway 0 PROTOCOL_ERROR", "end"}},
		{"client leaves", frame(7, 0, 0, "\x00\x00\x00\x00\x00\x00\x00\x00"), []string{"goaway 0 NO_ERROR", "end"}},
		{"client leaves with a stream", and(open, frame(7, 0, 0, "\x00\x00\x00\x00\x00\x00\x00\x00"), frame(0, 1, 1, "")), append(append([]string{"goaway 1 NO_ERROR"}, answered(1)...), "end")},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, nil, config(func(c *Config) { c.MaxHeader = 4000 }), hello)
			r := dial(t, s)
			c.do(r)
			r.want(c.want...)
		})
	}
}

func TestFirstFrame(t *testing.T) {
	s := serve(t, nil, config(), hello)
	for _, c := range []struct{ name, in, want string }{
		{"HTTP/1.1", "GET / HTTP/1.1\r\n\r\n", "goaway 0 PROTOCOL_ERROR"},
		{"wrong preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\rX", "goaway 0 PROTOCOL_ERROR"},
		{"no settings", http2.ClientPreface + "\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678", "goaway 0 PROTOCOL_ERROR"},
		{"acknowledgement first", http2.ClientPreface + "\x00\x00\x00\x04\x01\x00\x00\x00\x00", "goaway 0 PROTOCOL_ERROR"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := plain(t, s)
			r.bytes([]byte(c.in))
			r.want(c.want, "end")
		})
	}
}

// Everything comes byte by byte, and then all at once.
func TestFraming(t *testing.T) {
	s := serve(t, nil, config(), hello)
	record := newRaw(t, nil)
	var all strings.Builder
	record.fr = http2.NewFramer(&all, nil)
	all.WriteString(http2.ClientPreface)
	record.ok(record.fr.WriteSettings())
	for id := uint32(1); id < 20; id += 2 {
		record.headers(id, false, post("content-length: 3", "x-long: "+strings.Repeat("y", 300))...)
		record.ok(record.fr.WriteData(id, true, []byte("abc")))
	}
	for _, step := range []int{1, 2, 7, 100, 511, 512, 513, 1 << 20} {
		r := plain(t, s)
		for in := all.String(); in != ""; {
			n := min(step, len(in))
			r.bytes([]byte(in[:n]))
			in = in[n:]
		}
		seen := 0
		for seen < 10 {
			if g := r.next(); strings.HasPrefix(g, "data ") && strings.HasSuffix(g, " end") {
				seen++
			} else if !strings.HasPrefix(g, "headers ") && !strings.HasPrefix(g, "data") {
				t.Fatalf("in steps of %d: got frame %q", step, g)
			}
		}
	}
}

// A stream that the handler leaves without an answer is reset, one whose body it does not want is ended.
func TestHandlers(t *testing.T) {
	s := serve(t, nil, config(), func(s *Stream) {
		switch string(s.Request().Path) {
		case "/silent":
		case "/half":
			_ = s.Head(AppendStatus(nil, 200), false)
			_ = s.Write([]byte("half"))
			_ = s.Flush()
		case "/early":
			_ = s.Head(AppendStatus(nil, 413), true)
		case "/reset":
			s.Reset(CodeHTTP11Required)
		case "/interim":
			_ = s.Interim(AppendField(AppendStatus(nil, 103), []byte("Link"), []byte("</a>")))
			_ = s.Head(AppendStatus(nil, 200), false)
			if s.Interim(AppendStatus(nil, 103)) == nil || s.Head(AppendStatus(nil, 200), false) == nil {
				t.Error("a second head was taken")
			}
			_ = s.Write([]byte("ab"))
			_ = s.End(AppendField(nil, []byte("Grpc-Status"), []byte("0")))
			if s.Write([]byte("c")) == nil || s.End(nil) == nil {
				t.Error("more was taken after the end")
			}
		case "/large":
			b := AppendStatus(nil, 200)
			b = AppendField(b, []byte("x"), []byte(strings.Repeat("~", 40000)))
			_ = s.Head(b, true)
		}
	})
	to := func(path string) []string {
		return []string{":method: POST", ":scheme: http", ":path: " + path, ":authority: a"}
	}
	r := dial(t, s)
	r.headers(1, true, to("/silent")...)
	r.want("reset 1 INTERNAL_ERROR")
	r.headers(3, true, to("/half")...)
	r.want("headers 3 [:status: 200]", "data 3 half", "reset 3 INTERNAL_ERROR")
	r.headers(5, false, to("/early")...)
	r.want("headers 5 [:status: 413] end", "reset 5 NO_ERROR")
	r.headers(7, true, to("/reset")...)
	r.want("reset 7 HTTP_1_1_REQUIRED")
	r.headers(9, true, to("/interim")...)
	r.want("headers 9 [:status: 103, link: </a>]", "headers 9 [:status: 200]", "data 9 ab", "headers 9 [grpc-status: 0] end")
	r.headers(11, true, to("/large")...)
	r.want("headers 11 [:status: 200, x: " + strings.Repeat("~", 40000) + "] end")
}
