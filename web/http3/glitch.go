package http3

import (
	"sync/atomic"
	"time"
)

// A client that does what no honest client does often is cut off, as over HTTP/2 (the idea and the word are HAProxy's). Each
// offence weighs some points, four to a glitch:
//
//	4   a stream reset before its answer began (rapid reset, CVE-2023-44487), which a browser does with every picture of a page
//	    that its user leaves
//	1   a stream reset later: a download that is not wanted any more
//	16  a malformed request or trailer, a body that is not as long as it said
//	16  a field section that is too large (QPACK bomb)
//	16  a stream whose answer stood still until it was reset, or whose head did not come in time
//	4   a unidirectional stream of a type that we do not know, beyond the allowance; a frame of such a type; an empty DATA frame
//	4   PRIORITY_UPDATE, CANCEL_PUSH and such beyond the allowance
//	4   an instruction on QPACK's streams beyond the allowance
//	1   a DATA frame of less than five bytes: no message of gRPC or WebSocket is as short
//
// The allowance is for what belongs to honest traffic: each stream adds some, as clients grease (RFC 9114 section 7.2.8). What
// weighs on an honest client is forgiven: two points for every request that was served to its end, four for every second.
//
// How many handlers a client can have at work is bounded by QUIC itself: the credit for a stream is given back only when its
// handler has returned, whatever was reset in between.
const (
	weightRapidReset = 4
	weightLateReset  = 1
	weightStream     = 16
	weightLarge      = 16
	weightStall      = 16
	weightControl    = 4
	weightEmptyData  = 4
	weightTinyData   = 1

	pointsPerGlitch = 4

	forgiveServed = 2
	forgiveSecond = 4

	tinyData = 5

	allowanceStart  = 32
	allowanceStream = 4
	allowanceMost   = 128
)

// Stats count what connections of a Config did and suffered. Cut… are connections that we ended, by cause.
type Stats struct {
	Connections atomic.Uint64 // begun
	Streams     atomic.Uint64 // requests that were handed to the handler
	Served      atomic.Uint64 // whose answer was complete
	Refused     atomic.Uint64 // after GOAWAY
	Malformed   atomic.Uint64 // reset because of RFC 9114 section 4
	Oversized   atomic.Uint64 // answered 431: field sections beyond MaxHeader or MaxFields, QPACK bombs
	Stalled     atomic.Uint64 // reset because the client did not take the answer
	LateHeads   atomic.Uint64 // reset because the head did not come in time
	Resets      atomic.Uint64 // by the client
	RapidResets atomic.Uint64 // of them before the answer began: CVE-2023-44487
	Glitches    atomic.Uint64 // offences of every kind

	CutGlitches atomic.Uint64 // more glitches than Config.Glitches
	CutProtocol atomic.Uint64 // any other violation of the protocol
	CutIdle     atomic.Uint64 // idle for Config.Idle
}

// Counts reads all counters, by the names that metrics give them.
func (s *Stats) Counts() map[string]uint64 {
	return map[string]uint64{
		"connections":  s.Connections.Load(),
		"streams":      s.Streams.Load(),
		"served":       s.Served.Load(),
		"refused":      s.Refused.Load(),
		"malformed":    s.Malformed.Load(),
		"oversized":    s.Oversized.Load(),
		"stalled":      s.Stalled.Load(),
		"late_heads":   s.LateHeads.Load(),
		"resets":       s.Resets.Load(),
		"rapid_resets": s.RapidResets.Load(),
		"glitches":     s.Glitches.Load(),
		"cut_glitches": s.CutGlitches.Load(),
		"cut_protocol": s.CutProtocol.Load(),
		"cut_idle":     s.CutIdle.Load(),
	}
}

// offend counts an offence; too many end the connection.
func (c *Conn) offend(points int) {
	c.cfg.Stats.Glitches.Add(1)
	c.mu.Lock()
	now := time.Now()
	seconds := int(now.Sub(c.forgiven) / time.Second)
	c.forgiven = c.forgiven.Add(time.Duration(seconds) * time.Second)
	c.points = max(0, c.points-seconds*forgiveSecond) + points
	over := c.points > c.cfg.Glitches*pointsPerGlitch
	c.mu.Unlock()
	if over {
		c.fail(&ConnError{CodeExcessiveLoad, "too many glitches"})
	}
}

// tolerate counts what honest clients do a little of.
func (c *Conn) tolerate() {
	c.mu.Lock()
	free := c.allowance > 0
	if free {
		c.allowance--
	}
	c.mu.Unlock()
	if !free {
		c.offend(weightControl)
	}
}

// served forgives a little.
func (c *Conn) served() {
	c.cfg.Stats.Served.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.points = max(0, c.points-forgiveServed)
}
