package web

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
)

// jsonText is what an API answers: objects that are much alike.
func jsonText(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	words := strings.Fields("alpha beta gamma delta epsilon server region pool member weight active pending shipped delivered customer order")
	word := func() string { return words[r.IntN(len(words))] }
	var b bytes.Buffer
	b.WriteByte('[')
	for b.Len() < n {
		fmt.Fprintf(&b, `{"id":%d,"name":"%s %s","status":"%s","price":%d.%02d,"created_at":"2026-%02d-%02dT%02d:%02d:%02dZ","tags":["%s","%s"],"active":%v},`,
			r.IntN(1e6), word(), word(), word(), r.IntN(1000), r.IntN(100), 1+r.IntN(12), 1+r.IntN(28), r.IntN(24), r.IntN(60), r.IntN(60), word(), word(), r.IntN(2) == 0)
	}
	return b.Bytes()[:n]
}

// htmlText is a page of a shop: more mark-up than text.
func htmlText(n int) []byte {
	r := rand.New(rand.NewPCG(3, 4))
	words := strings.Fields("the quick red shoe of a summer day with leather soles and small buttons made in Italy for walking along rivers when nobody has other plans")
	var b bytes.Buffer
	b.WriteString("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Shop</title><link rel=\"stylesheet\" href=\"/site.css\"></head><body>\n")
	for b.Len() < n {
		fmt.Fprintf(&b, "<article class=\"card card--%d\" id=\"p%d\"><a href=\"/shop/item/%d\"><img src=\"/img/%x.webp\" width=\"320\" height=\"240\" alt=\"\"></a><h2>", r.IntN(4), r.IntN(1e5), r.IntN(1e5), r.Uint64())
		for range 3 + r.IntN(4) {
			b.WriteString(words[r.IntN(len(words))] + " ")
		}
		b.WriteString("</h2><p>")
		for range 10 + r.IntN(30) {
			b.WriteString(words[r.IntN(len(words))] + " ")
		}
		b.WriteString("</p></article>\n")
	}
	return b.Bytes()[:n]
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

// The bound of all encoders is as good as what is said of one.
func TestCompressMemoryOfEncoders(t *testing.T) {
	const n = 3
	body := jsonText(1 << 20)
	for name, e := range compressNames {
		before := heap()
		var all []encoder
		for range n {
			z := newEncoder(e)
			z.Reset(io.Discard)
			for at := 0; at < len(body); at += bufferSize {
				if _, err := z.Write(body[at : at+bufferSize]); err != nil {
					t.Fatal(err)
				}
				if at%(4*bufferSize) == 0 {
					if err := z.Flush(); err != nil {
						t.Fatal(err)
					}
				}
			}
			all = append(all, z)
		}
		each := (heap() - before) / n
		runtime.KeepAlive(all)
		t.Logf("%s: %d KiB", name, each>>10)
		if said := encoderMemory(e); each > said || each < said/2 {
			t.Errorf("%s takes %d bytes, said to take %d", name, each, said)
		}
	}
}

// 200 answers at once: some are compressed, as many as the memory allows, and the others go out as they are.
func TestCompressMemoryIsBounded(t *testing.T) {
	w := &Web{}
	before := heap()
	body := jsonText(256 << 10)
	var open []*exchange
	for range 200 {
		to := &fakeAnswerer{}
		x, _ := tryCompressing(w, "br", -1, to)
		if err := x.to.begin(&x.answer); err != nil {
			t.Fatal(err)
		}
		for at := 0; at < len(body); at += bufferSize {
			if err := x.to.write(body[at : at+bufferSize]); err != nil {
				t.Fatal(err)
			}
			if err := x.to.flush(); err != nil {
				t.Fatal(err)
			}
			to.body.Reset()
			to.seen.Reset()
		}
		open = append(open, x)
	}
	packed := 0
	for _, x := range open {
		if _, ok := x.to.(*compressed); ok {
			packed++
		} else if len(x.answer.extra) == 0 {
			t.Error("an answer that was not compressed for want of memory says no Vary")
		}
	}
	if want := int(compressMemory / 2 / encoderMemory(brotlied)); packed != want {
		t.Errorf("%d answers are compressed, want %d", packed, want)
	}
	// Beside the encoders each answer has its buffers, and the fake client half has some, too.
	if grown := heap() - before; grown > compressMemory/2+200*(128<<10) {
		t.Errorf("%d MiB for 200 answers", grown>>20)
	}
	if x, ok := tryCompressing(w, "gzip", 2000, &fakeAnswerer{}); !ok {
		t.Error("streams leave nothing for a short answer")
	} else {
		open = append(open, x)
	}
	for _, x := range open {
		x.to.abort()
	}
	settled(t, w, nil, nil)
}

func BenchmarkCompress(b *testing.B) {
	for _, kind := range []struct {
		name string
		text func(int) []byte
	}{{"json", jsonText}, {"html", htmlText}} {
		for _, size := range []int{4 << 10, 64 << 10, 1 << 20} {
			body := kind.text(size)
			for _, name := range []string{"gzip", "br", "zstd"} {
				b.Run(fmt.Sprintf("%s/%dKiB/%s", kind.name, size>>10, name), func(b *testing.B) {
					w := &Web{}
					b.SetBytes(int64(size))
					b.ReportAllocs()
					sent := 0
					to := &fakeAnswerer{}
					for b.Loop() {
						to.body.Reset()
						x, ok := tryCompressing(w, name, int64(size), to)
						if !ok {
							b.Fatal("not compressed")
						}
						_ = x.to.begin(&x.answer)
						for at := 0; at < size; at += bufferSize {
							_ = x.to.write(body[at:min(size, at+bufferSize)])
						}
						if err := x.to.end(nil); err != nil {
							b.Fatal(err)
						}
						sent = to.body.Len()
					}
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(size>>10), "ns/KiB")
					b.ReportMetric(float64(size)/float64(sent), "ratio")
				})
			}
		}
	}
}
