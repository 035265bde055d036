package flood

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/quic-go/qpack"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/quicvarint"

	"skein/test/harness"
)

// attacker3 speaks QUIC honestly and HTTP/3 as it likes.
type attacker3 struct {
	*quic.Conn
	t   *testing.T
	ctx context.Context // ends when the attack has had its time
}

// attack3 connects; settled sends SETTINGS, too.
func (s *site) attack3(t *testing.T, settled bool, config *quic.Config) *attacker3 {
	t.Helper()
	config.HandshakeIdleTimeout = harness.Patience
	c, err := quic.DialAddr(t.Context(), s.secure, &tls.Config{InsecureSkipVerify: true, ServerName: host, NextProtos: []string{"h3"}}, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.CloseWithError(0x100, "") })
	ctx, stop := context.WithTimeout(c.Context(), attackTime)
	t.Cleanup(stop)
	a := &attacker3{Conn: c, t: t, ctx: ctx}
	if settled {
		if _, err := a.open(0, frame(4, nil)); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

// open opens a unidirectional stream of a type.
func (a *attacker3) open(typ uint64, b []byte) (*quic.SendStream, error) {
	u, err := a.OpenUniStreamSync(a.ctx)
	if err != nil {
		return nil, err
	}
	_, err = u.Write(append(quicvarint.Append(nil, typ), b...))
	return u, err
}

// begin opens a request's stream and writes b.
func (a *attacker3) begin(b []byte) (*quic.Stream, error) {
	q, err := a.OpenStreamSync(a.ctx)
	if err != nil {
		return nil, err
	}
	_, err = q.Write(b)
	return q, err
}

// repeat calls f until it fails, or n times.
func (a *attacker3) repeat(n int, f func() error) {
	for range n {
		if f() != nil || a.ctx.Err() != nil {
			return
		}
	}
}

// cutWith waits for the end of the connection and returns the code; "open" if it does not end.
func (a *attacker3) cutWith() string {
	select {
	case <-a.Context().Done():
	case <-time.After(harness.Patience):
		return "open"
	}
	var e *quic.ApplicationError
	if err := context.Cause(a.Context()); !errors.As(err, &e) || !e.Remote {
		return fmt.Sprint(err)
	}
	return fmt.Sprintf("%#x", uint64(e.ErrorCode))
}

func frame(typ uint64, payload []byte) []byte {
	return append(quicvarint.Append(quicvarint.Append(nil, typ), uint64(len(payload))), payload...)
}

// head is a HEADERS frame; more is name, value, name, value.
func head(method, path string, more ...string) []byte {
	var b bytes.Buffer
	e := qpack.NewEncoder(&b)
	all := append([]string{":method", method, ":scheme", "https", ":authority", host, ":path", path}, more...)
	for i := 0; i < len(all); i += 2 {
		_ = e.WriteField(qpack.HeaderField{Name: all[i], Value: all[i+1]})
	}
	return frame(1, b.Bytes())
}
