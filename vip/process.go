package vip

import (
	"time"

	"skein/vip/speaker"
)

// process is a speaker that was started.
type process interface {
	PID() int
	// Send gives it an order, within sendLimit. Several goroutines may.
	Send(speaker.Order) error
	// Receive waits for its next report; the error is io.EOF when it has ended.
	Receive() (speaker.Report, error)
	// Waits reports whether it has said something that Receive has not come to yet.
	Waits() bool
	// Close closes our end of the channel, which ends Receive, and the speaker too.
	Close()
	Kill()
	// Ended is closed when it has ended and was waited for.
	Ended() <-chan struct{}
	// Cause is how it ended, for people; after Ended.
	Cause() string
}

const (
	sendLimit = time.Second
	// maxPacket bounds a message in both directions, in bytes. A report of 100 virtual routers has a tenth of it.
	maxPacket = 1 << 20
)
