package web

import (
	"net/http"
	"strings"

	"skein/internal/sock"
)

// tunnel turns an upgraded exchange into two streams of bytes. A 101 that nobody asked for, or to another protocol than was
// asked for, is a broken answer: tunnelling it would let a member and a client talk past us.
func (w *Web) tunnel(x *exchange, u *upstream, hop *hops) error {
	to, ok := x.to.(*answerer1)
	to2, ok2 := x.to.(opener)
	if !ok && !ok2 || x.upgrade == nil || !strings.EqualFold(string(u.resp.Upgrade), string(x.upgrade)) {
		x.line.cause = causeOriginBroken
		w.fail(x, http.StatusBadGateway, "")
		return errCut
	}
	if ok2 {
		return w.tunnelStream(x, u, hop, to2)
	}
	x.answer = answer{status: u.resp.Status, reason: u.resp.Reason, fields: u.resp.Fields, length: -1, none: true, edits: &x.route.response, hops: hop}
	if err := x.to.begin(&x.answer); err != nil {
		return w.clientFailed(x, err)
	}
	c := to.c
	to.out = append(to.out, u.buf[u.r:u.w]...)
	early := int64(u.w - u.r)
	if err := to.flush(); err != nil {
		return w.clientFailed(x, err)
	}
	u.r = u.w
	k := c.k
	if k.r < k.w { // the client did not wait for the 101
		if _, err := u.sock.Write(k.buf[k.r:k.w]); err != nil {
			return w.cut(x, err)
		}
		k.r = k.w
	}
	// A tunnel lives as long as its ends like. Its own time-out replaces those of requests.
	c.sock.Ceiling(0)
	u.sock.Ceiling(0)
	c.sock.Busy(false)
	w.stats.Tunnels.Add(1)
	in, out, err := sock.Tunnel(c.sock, u.sock, x.table.settings.Timeouts.Tunnel, w.tunnels)
	w.stats.Tunnels.Add(-1)
	x.line.received += in
	x.line.sent += out + early
	u.received += out + early
	to.keep = false
	if err != nil && isTimeout(err) && w.stopping.Load() {
		x.line.cause = causeShutdown
	}
	return nil
}
