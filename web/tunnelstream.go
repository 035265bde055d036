package web

import (
	"bytes"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"io"
	"net/http"
	"sync"
)

// webSocketKey makes a key for a handshake that we make in place of a client that needs none: RFC 8441 leaves the key out.
func webSocketKey(b *[24]byte) []byte {
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // never fails
	base64.StdEncoding.Encode(b[:], nonce[:])
	return b[:]
}

// webSocketAccept is what a server makes of a key (RFC 6455 section 4.2.2), to show that it has understood.
func webSocketAccept(key []byte) []byte {
	h := sha1.New()
	h.Write(key)
	h.Write([]byte("258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.AppendEncode(nil, h.Sum(nil))
}

// opener answers an extended CONNECT.
type opener interface {
	answerer
	// webSocket is the key that we made for the handshake, and what the tunnel's bytes come by.
	webSocket() (key []byte, s carrier)
}

func (a *answerer2) webSocket() (key []byte, s carrier) { return a.key, a.s }

// tunnelStream joins a stream of an HTTP/2 or HTTP/3 connection to a member's upgraded connection.
func (w *Web) tunnelStream(x *exchange, u *upstream, hop *hops, to opener) error {
	key, s := to.webSocket()
	var accept []byte
	kept := u.resp.Fields[:0]
	for _, f := range u.resp.Fields {
		if equalFold("sec-websocket-accept", f.Name) {
			accept = f.Value
			continue // RFC 8441 section 5: the handshake's fields mean nothing here
		}
		kept = append(kept, f)
	}
	if !bytes.Equal(accept, webSocketAccept(key)) {
		x.line.cause = causeOriginBroken
		w.fail(x, http.StatusBadGateway, "")
		return errCut
	}
	x.answer = answer{status: http.StatusOK, fields: kept, length: -1, edits: &x.route.response, hops: hop}
	if err := to.begin(&x.answer); err != nil {
		return w.clientFailed(x, err)
	}
	early := u.buf[u.r:u.w]
	if len(early) > 0 {
		if err := to.write(early); err != nil {
			return w.clientFailed(x, err)
		}
	}
	u.r = u.w
	if err := to.flush(); err != nil {
		return w.clientFailed(x, err)
	}
	idle := x.table.settings.Timeouts.Tunnel
	s.NextTimeout(0) // what is idle is told by the member's connection, which both directions arm
	u.sock.Ceiling(0)
	u.sock.Progress(idle, 0)
	u.sock.Arm(idle)
	w.stats.Tunnels.Add(1)
	defer w.stats.Tunnels.Add(-1)
	var up sync.WaitGroup
	var in int64
	up.Go(func() {
		for {
			p, err := s.Next()
			if err == io.EOF {
				_ = u.sock.CloseWrite()
				return
			}
			if err == nil {
				in += int64(len(p))
				u.sock.Arm(idle)
				_, err = u.sock.Write(p)
			}
			if err != nil {
				u.sock.Abort()
				return
			}
		}
	})
	err := w.tunnelDown(x, u, to)
	if err != nil {
		to.abort()
		u.sock.Abort()
	}
	s.StopReading()
	up.Wait()
	x.line.received += in
	if err != nil && w.stopping.Load() {
		x.line.cause = causeShutdown
	}
	return nil
}

// tunnelDown moves what the member says until it ends.
func (w *Web) tunnelDown(x *exchange, u *upstream, to opener) error {
	buf := u.buf
	for {
		n, err := u.sock.Read(buf)
		if n > 0 {
			u.received += int64(n)
			u.sock.Arm(x.table.settings.Timeouts.Tunnel)
			if err := to.write(buf[:n]); err != nil {
				return err
			}
			if err := to.flush(); err != nil {
				return err
			}
			continue
		}
		if err == io.EOF {
			return to.end(nil)
		}
		return err
	}
}
