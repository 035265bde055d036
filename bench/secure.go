package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// secureDriver puts loads over TLS and QUIC on a proxy: a goroutine for each request under way, as no epoll loop of ours could
// do the cryptography any cheaper. It is slower than the driver for plain text; the figure that counts, the proxy's CPU per
// request, does not mind.
type secureDriver struct {
	load     Load
	config   *tls.Config
	request  []byte
	want     []byte
	counting atomic.Bool
	over     atomic.Bool

	mu     sync.Mutex // guards result and latency
	result Result
	times  histogram
}

// clientTLS does not verify: the proxies of a benchmark have a certificate of the moment, and listen on loopback. It offers
// the one key exchange that all of them know: with ML-KEM, which Debian's OpenSSL lacks, skein and Caddy would do more work.
func clientTLS(protocols ...string) *tls.Config {
	return &tls.Config{
		InsecureSkipVerify: true, ServerName: "bench.example", MinVersion: tls.VersionTLS13, NextProtos: protocols,
		CurvePreferences: []tls.CurveID{tls.X25519},
	}
}

func driveSecure(load Load) (Result, error) {
	d := &secureDriver{load: load, config: clientTLS(), request: request(load.Path, load.Mode == Handshake), want: body(load.Length)}
	m, err := newMeter(load.Group, load.Origin)
	if err != nil {
		return Result{}, err
	}
	var all sync.WaitGroup
	for range load.Conns {
		all.Go(func() {
			for !d.over.Load() {
				if err := d.client(); err != nil && d.wrong(err) {
					return
				}
			}
		})
	}
	time.Sleep(load.Warmup)
	d.counting.Store(true)
	if err := m.start(); err != nil {
		return Result{}, err
	}
	time.Sleep(load.Time)
	d.counting.Store(false)
	d.mu.Lock()
	r, times := d.result, d.times
	d.mu.Unlock()
	err = m.stop(&r)
	d.over.Store(true)
	all.Wait()
	r.P50, r.P99, r.P999, r.Max = times.percentile(50), times.percentile(99), times.percentile(99.9), times.max
	return r, err
}

// answered counts one answer.
func (d *secureDriver) answered(start time.Time) {
	if !d.counting.Load() {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.result.Requests++
	d.times.add(time.Since(start))
}

// wrong counts an error, and reports whether there were too many.
func (d *secureDriver) wrong(err error) bool {
	if d.over.Load() {
		return true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.result.Errors == 0 {
		d.result.Error = err.Error()
	}
	d.result.Errors++
	return d.result.Errors >= maxErrors
}

// client works on one connection until it ends or the time is over.
func (d *secureDriver) client() error {
	switch d.load.Mode {
	case H3:
		return d.quic()
	case Handshake:
		for !d.over.Load() {
			start := time.Now()
			if err := d.connection(func(c *tls.Conn, in *bufio.Reader) error { return d.ask(c, in) }); err != nil {
				return err
			}
			d.answered(start)
		}
		return nil
	}
	return d.connection(func(c *tls.Conn, in *bufio.Reader) error {
		for !d.over.Load() {
			start := time.Now()
			if err := d.ask(c, in); err != nil {
				return err
			}
			d.answered(start)
		}
		return nil
	})
}

func (d *secureDriver) connection(use func(*tls.Conn, *bufio.Reader) error) error {
	nc, err := net.DialTimeout("tcp4", d.load.Address, stalled)
	if err != nil {
		return err
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(stalled + d.load.Warmup + d.load.Time))
	c := tls.Client(nc, d.config)
	if err := c.Handshake(); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	return use(c, bufio.NewReaderSize(c, 16<<10))
}

// ask makes one request over HTTP/1.1 and compares the answer.
func (d *secureDriver) ask(c io.Writer, in *bufio.Reader) error {
	if _, err := c.Write(d.request); err != nil {
		return err
	}
	var head []byte
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if head = append(head, line...); len(line) == 2 {
			break
		}
	}
	length, err := checkHead(head[:len(head)-2])
	if err != nil {
		return err
	}
	return d.compare(in, length)
}

func (d *secureDriver) compare(in io.Reader, length int) error {
	if length != len(d.want) {
		return fmt.Errorf("answer of %d bytes, want %d", length, len(d.want))
	}
	got := make([]byte, length)
	if _, err := io.ReadFull(in, got); err != nil {
		return err
	}
	if !bytes.Equal(got, d.want) {
		return errors.New("answer with another body")
	}
	return nil
}

// quic keeps Streams requests under way on one QUIC connection.
func (d *secureDriver) quic() error {
	ctx, cancel := context.WithTimeout(context.Background(), stalled+d.load.Warmup+d.load.Time)
	defer cancel()
	c, err := quic.DialAddr(ctx, d.load.Address, clientTLS(http3.NextProtoH3), nil)
	if err != nil {
		return fmt.Errorf("dial: %w", err)
	}
	defer c.CloseWithError(0x100, "") // H3_NO_ERROR
	tr := &http3.Transport{}
	defer tr.Close()
	h := tr.NewClientConn(c)
	var streams sync.WaitGroup
	failed := make(chan error, d.load.Streams)
	for range max(1, d.load.Streams) {
		streams.Go(func() {
			for !d.over.Load() {
				start := time.Now()
				if err := d.fetch(ctx, h); err != nil {
					failed <- err
					return
				}
				d.answered(start)
			}
		})
	}
	streams.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

func (d *secureDriver) fetch(ctx context.Context, c *http3.ClientConn) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://bench.example"+d.load.Path, nil)
	if err != nil {
		return err
	}
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0")
	r.Header.Set("Accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8")
	r.Header.Set("Accept-Language", "en-US,en;q=0.5")
	r.Header.Set("Cookie", "session=6f1ed002ab5595859014ebf0951522d9")
	a, err := c.RoundTrip(r)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	if a.StatusCode != http.StatusOK {
		return fmt.Errorf("answer %s", a.Status)
	}
	return d.compare(a.Body, int(a.ContentLength))
}
