package web

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"skein/config"
	"skein/web/http1"
)

// fakeAnswerer remembers what an exchange is answered.
type fakeAnswerer struct {
	head     *answer
	fields   string
	body     bytes.Buffer
	seen     bytes.Buffer // of the body, at the last flush
	trailers []Field
	ended    int
	aborted  int
	fail     error // of write
}

func (f *fakeAnswerer) interim(int, []Field) error { return nil }
func (f *fakeAnswerer) begin(a *answer) error {
	c := *a
	f.head = &c
	f.fields = string(appendAnswer(nil, a, ""))
	return nil
}

func (f *fakeAnswerer) write(p []byte) error {
	f.body.Write(p)
	return f.fail
}

func (f *fakeAnswerer) flush() error {
	f.seen.Reset()
	f.seen.Write(f.body.Bytes())
	return nil
}

func (f *fakeAnswerer) end(trailers []Field) error {
	f.trailers = trailers
	f.ended++
	return nil
}
func (f *fakeAnswerer) abort() { f.aborted++ }

// decoder reads a body that was compressed.
func decoder(t testing.TB, name string, r io.Reader) io.Reader {
	t.Helper()
	switch name {
	case "gzip":
		z, err := gzip.NewReader(r)
		if err != nil {
			t.Fatalf("gzip: %v", err)
		}
		return z
	case "br":
		return brotli.NewReader(r)
	case "zstd":
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20))
		if err != nil {
			t.Fatalf("zstd: %v", err)
		}
		t.Cleanup(z.Close)
		return z
	}
	t.Fatalf("decoder of %q", name)
	return nil
}

var compressNames = map[string]encoding{"gzip": gzipped, "br": brotlied, "zstd": zstded}

// tryCompressing is an exchange whose answer of that length should be compressed. It reports whether it is.
func tryCompressing(w *Web, name string, length int64, to answerer) (x *exchange, ok bool) {
	x = &exchange{
		method: "GET", to: to,
		fields: []Field{{Name: []byte("Accept-Encoding"), Value: []byte(name), ID: http1.AcceptEncoding}},
		route:  &route{cfg: &config.Route{Compress: &config.Compress{Encodings: []string{name}, Types: []string{"text/*"}}}},
	}
	x.answer = answer{status: 200, length: length, fields: []Field{{Name: []byte("Content-Type"), Value: []byte("text/plain"), ID: http1.ContentType}}}
	w.compress(x, &x.answer)
	_, ok = x.to.(*compressed)
	return x, ok
}

// compressing begins an exchange whose answer of that length is compressed.
func compressing(t testing.TB, w *Web, name string, length int64) (*exchange, *fakeAnswerer) {
	t.Helper()
	to := &fakeAnswerer{}
	x, _ := tryCompressing(w, name, length, to)
	if _, ok := x.to.(*compressed); !ok {
		t.Fatalf("%s: the answer is not compressed", name)
	}
	if err := x.to.begin(&x.answer); err != nil {
		t.Fatal(err)
	}
	return x, to
}

// settled fails the test if an exchange has left something behind.
func settled(t testing.TB, w *Web, x *exchange, to *fakeAnswerer) {
	t.Helper()
	if n := w.compressor.used.Load(); n != 0 {
		t.Errorf("%d bytes of encoders are not given back", n)
	}
	if x != nil && x.to != answerer(to) {
		t.Errorf("the exchange still answers to %T", x.to)
	}
}

// randomText is neither all alike nor all different.
func randomText(r *rand.Rand, n int) []byte {
	b := make([]byte, 0, n+64)
	for len(b) < n {
		if len(b) > 0 && r.IntN(3) > 0 {
			at := r.IntN(len(b))
			b = append(b, b[at:min(len(b), at+1+r.IntN(64))]...)
			continue
		}
		for range 1 + r.IntN(32) {
			b = append(b, byte(r.Uint32()))
		}
	}
	return b[:n]
}

// Whatever is written in whichever pieces, and flushed wherever, comes out again; and what was flushed is there at once.
func TestCompressRoundTrips(t *testing.T) {
	for name := range compressNames {
		t.Run(name, func(t *testing.T) {
			w := &Web{}
			r := rand.New(rand.NewPCG(7, 11))
			for i := range 120 {
				n := r.IntN(1 << (1 + i%18))
				body := randomText(r, n)
				length := int64(-1)
				if r.IntN(2) == 0 {
					length = int64(n)
				}
				if n == 0 {
					length = -1
				}
				x, to := compressing(t, w, name, length)
				for at := 0; at < n; {
					piece := min(n-at, 1+r.IntN(1<<r.IntN(17)))
					if err := x.to.write(body[at : at+piece]); err != nil {
						t.Fatal(err)
					}
					at += piece
					if r.IntN(3) > 0 {
						continue
					}
					if err := x.to.flush(); err != nil {
						t.Fatal(err)
					}
					got := make([]byte, at)
					if k, err := io.ReadFull(decoder(t, name, &to.seen), got); err != nil || !bytes.Equal(got, body[:at]) {
						t.Fatalf("body %d: %d of %d bytes can be read after a flush: %v", i, k, at, err)
					}
				}
				if err := x.to.end(nil); err != nil {
					t.Fatal(err)
				}
				coded := strings.Contains(to.fields, "Content-Encoding: "+name+"\r\n")
				if coded != (n > 0) {
					t.Errorf("body %d of %d bytes: head %q", i, n, to.fields)
				}
				if l := to.head.length; l >= 0 && l != int64(to.body.Len()) {
					t.Errorf("body %d: length %d, %d bytes", i, l, to.body.Len())
				}
				if coded {
					if got, err := io.ReadAll(decoder(t, name, &to.body)); err != nil || !bytes.Equal(got, body) {
						t.Fatalf("body %d: %d bytes of %d: %v", i, len(got), n, err)
					}
				}
				if to.ended != 1 || to.aborted != 0 {
					t.Errorf("ended %d times, aborted %d times", to.ended, to.aborted)
				}
				settled(t, w, x, to)
			}
		})
	}
}

// An answer that was flushed before its first byte, and then had none, is still one that can be decoded.
func TestCompressNothing(t *testing.T) {
	for name := range compressNames {
		w := &Web{}
		x, to := compressing(t, w, name, -1)
		if err := errors.Join(x.to.flush(), x.to.end(nil)); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(decoder(t, name, &to.body)); err != nil || len(got) > 0 {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		settled(t, w, x, to)
	}
}

func TestCompressWholeAnswerHasItsLength(t *testing.T) {
	w := &Web{}
	body := []byte(strings.Repeat("all of it is here. ", 100))
	x, to := compressing(t, w, "gzip", int64(len(body)))
	if err := errors.Join(x.to.write(body), x.to.end(nil)); err != nil {
		t.Fatal(err)
	}
	if to.head.length != int64(to.body.Len()) || to.head.length >= int64(len(body)) {
		t.Errorf("length = %d of %d bytes, %d before", to.head.length, to.body.Len(), len(body))
	}
}

func TestCompressKeepsTrailers(t *testing.T) {
	for name := range compressNames {
		w := &Web{}
		x, to := compressing(t, w, name, -1)
		trailers := []Field{{Name: []byte("X-Sum"), Value: []byte("1")}}
		if err := errors.Join(x.to.write([]byte("hello")), x.to.end(trailers)); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(trailers, to.trailers); d != "" || to.head.length != -1 {
			t.Errorf("length %d, trailers:\n%s", to.head.length, d)
		}
		if got, err := io.ReadAll(decoder(t, name, &to.body)); err != nil || string(got) != "hello" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// What breaks off must not look whole: not to a reader of the connection, and not to a decoder either.
func TestCompressAbort(t *testing.T) {
	for name := range compressNames {
		for _, flushed := range []bool{false, true} {
			w := &Web{}
			x, to := compressing(t, w, name, -1)
			if err := x.to.write(bytes.Repeat([]byte("half an answer"), 10_000)); err != nil {
				t.Fatal(err)
			}
			if flushed {
				if err := x.to.flush(); err != nil {
					t.Fatal(err)
				}
			}
			x.to.abort()
			if to.aborted != 1 || to.ended != 0 || to.head == nil {
				t.Errorf("%s: aborted %d, ended %d, head %v", name, to.aborted, to.ended, to.head)
			}
			if to.body.Len() > 0 || flushed {
				if _, err := io.ReadAll(decoder(t, name, bytes.NewReader(to.body.Bytes()))); err == nil {
					t.Errorf("%s, flushed %v: the decoder takes half an answer for a whole one", name, flushed)
				}
			}
			settled(t, w, x, to)
		}
	}
}

// A client that cannot be written to costs no encoder.
func TestCompressClientGone(t *testing.T) {
	w := &Web{}
	x, to := compressing(t, w, "br", -1)
	to.fail = io.ErrClosedPipe
	if err := errors.Join(x.to.write([]byte("x")), x.to.flush()); !errors.Is(err, io.ErrClosedPipe) {
		t.Fatalf("flush = %v", err)
	}
	x.to.abort()
	settled(t, w, x, to)
	x, to = compressing(t, w, "br", 3)
	to.fail = io.ErrClosedPipe
	if err := errors.Join(x.to.write([]byte("abc")), x.to.end(nil)); !errors.Is(err, io.ErrClosedPipe) {
		t.Fatalf("end = %v", err)
	}
	settled(t, w, x, to)
}

// After a panic nobody knows what state an encoder is in.
func TestCompressPanicDropsTheEncoder(t *testing.T) {
	w := &Web{}
	x, to := compressing(t, w, "gzip", -1)
	broken := x.to.(*compressed).encoder
	x.line.cause = causePanic
	x.to.abort()
	settled(t, w, x, to)
	for range 4 {
		if z := w.compressor.lend(gzipped, io.Discard); z == broken {
			t.Fatal("the encoder is lent again")
		}
	}
}
