package web

import (
	"time"

	"skein/web/http1"
	"skein/web/http3"
)

// body3 reads the body of a request over HTTP/3.
type body3 struct {
	s     *http3.Stream
	x     *exchange
	max   int64
	total int64
	pace  pace
}

func (b *body3) next() ([]byte, error) {
	start := time.Now()
	p, err := b.s.Next()
	if err != nil {
		return nil, err
	}
	if !b.pace.moved(len(p), time.Since(start)) {
		return nil, errTooSlow
	}
	b.total += int64(len(p))
	b.x.line.received = b.total
	if b.max > 0 && b.total > b.max {
		return nil, errTooLarge
	}
	return p, nil
}

func (b *body3) last() bool      { return b.s.Last() }
func (b *body3) stop()           { b.s.StopReading() }
func (b *body3) limit(max int64) { b.max = max }

func (b *body3) trailers() []Field {
	var out []Field
	for _, f := range b.s.Trailers() {
		out = append(out, Field{Name: f.Name, Value: f.Value, ID: http1.Lookup(f.Name)})
	}
	return out
}
