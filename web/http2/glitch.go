package http2

import "sync/atomic"

// A client that does what no honest client does often is cut off (the idea and the word are HAProxy's). Each offence weighs
// some points, four to a glitch:
//
//	4   a stream reset before its answer began (rapid reset, CVE-2023-44487)
//	1   a stream reset later: a download that is not wanted any more
//	16  an offence that made us reset a stream: a malformed request or trailer, a body that is not as long as it said, a window
//	    that overflows, frames on a closed stream (MadeYouReset, CVE-2025-8671)
//	16  a header list that is too large (HPACK bomb)
//	16  a stream that stood still until it was reset (zero windows)
//	4   a stream more than we allow
//	4   each SETTINGS, and the fourth and later CONTINUATION of a block (CVE-2023-45288); an empty CONTINUATION 16
//	4   an empty DATA frame that does not end its stream; 1 for one of less than five bytes (an empty message of gRPC has five,
//	    one of WebSocket six: games and heartbeats send many of them)
//	4   PING, PRIORITY, WINDOW_UPDATE and unknown frames beyond the allowance, and HEADERS on a stream that we reset
//	1   DATA on a stream that we reset, beyond the allowance
//	4   a DATA frame of ours that is shorter than 256 bytes because a window forced it to be (1-byte windows)
//
// The allowance is for frames that belong to honest traffic: each stream that is opened adds some, and each DATA frame that we
// send, which gRPC's clients answer with PING and WINDOW_UPDATE, and the bytes in it: Go's client gives a window back in two
// WINDOW_UPDATEs as soon as 4 KiB were read, eight for a full frame, and up to a whole window of them at once. What weighs on an
// honest client is forgiven: two points for every request that was served to its end, four for every second that passed, one for
// every DATA frame sent in full.
const (
	weightRapidReset = 4
	weightLateReset  = 1
	weightStream     = 16
	weightLarge      = 16
	weightStall      = 16
	weightRefused    = 4
	weightSettings   = 4
	weightContinued  = 4
	weightNothing    = 16 // empty CONTINUATION
	weightEmptyData  = 4
	weightTinyData   = 1
	weightControl    = 4
	weightLateData   = 1
	weightSplinter   = 4

	pointsPerGlitch = 4

	forgiveServed = 2
	forgiveSecond = 4
	forgiveData   = 1

	tinyData         = 5
	splinter         = 256
	freeContinuation = 3

	allowanceStart  = 64
	allowanceStream = 4
	allowanceData   = 3
	allowanceBytes  = 512      // of body for one more
	allowanceMost   = 16 << 10 // what 8 MiB that are under way may come back as

	// maxControl is how many bytes of acknowledgements and resets may wait for a client that does not read them.
	maxControl = 16 << 10
)

// Stats count what connections of a Config did and suffered. Cut… are connections that we ended, by cause.
type Stats struct {
	Connections atomic.Uint64 // begun
	Streams     atomic.Uint64 // handed to the handler
	Served      atomic.Uint64 // whose answer was complete
	Refused     atomic.Uint64 // beyond MaxStreams
	Malformed   atomic.Uint64 // reset because of RFC 9113 section 8
	Oversized   atomic.Uint64 // answered 431: header lists beyond MaxHeader or MaxFields, HPACK bombs
	Stalled     atomic.Uint64 // reset after Stall: zero and 1-byte windows
	Resets      atomic.Uint64 // RST_STREAM received
	RapidResets atomic.Uint64 // of them before the answer began: CVE-2023-44487
	MadeResets  atomic.Uint64 // RST_STREAM that an offence made us send: CVE-2025-8671
	Glitches    atomic.Uint64 // offences of every kind

	CutGlitches atomic.Uint64 // more glitches than Config.Glitches
	CutBlock    atomic.Uint64 // a header block without an end: CVE-2023-45288
	CutQueue    atomic.Uint64 // frames that want an answer, and answers that are not read: PING and SETTINGS floods
	CutHeader   atomic.Uint64 // preface, SETTINGS or header block later than Config.Header
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
		"resets":       s.Resets.Load(),
		"rapid_resets": s.RapidResets.Load(),
		"made_resets":  s.MadeResets.Load(),
		"glitches":     s.Glitches.Load(),
		"cut_glitches": s.CutGlitches.Load(),
		"cut_block":    s.CutBlock.Load(),
		"cut_queue":    s.CutQueue.Load(),
		"cut_header":   s.CutHeader.Load(),
		"cut_protocol": s.CutProtocol.Load(),
		"cut_idle":     s.CutIdle.Load(),
	}
}

// offend counts an offence. Called with mu held.
func (c *Conn) offend(points int) error {
	c.cfg.Stats.Glitches.Add(1)
	now := c.now()
	c.points = max(0, c.points-int((now-c.forgiven)/1e9)*forgiveSecond)
	c.forgiven = now - (now-c.forgiven)%1e9
	c.points += points
	if c.points <= c.cfg.Glitches*pointsPerGlitch {
		return nil
	}
	if c.fatal == nil {
		c.cfg.Stats.CutGlitches.Add(1)
	}
	return &ConnError{CodeCalm, "too many glitches"}
}

// control counts a frame that honest clients send along with others.
func (c *Conn) control() error {
	if c.allowance > 0 {
		c.allowance--
		return nil
	}
	return c.offend(weightControl)
}

func (c *Conn) allow(n int) { c.allowance = min(allowanceMost, c.allowance+n) }

func (c *Conn) forgive(points int) { c.points = max(0, c.points-points) }
