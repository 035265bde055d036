package engine

import (
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// notify tells systemd about a change of state, as sd_notify(3) describes it: one datagram of assignments to the socket that
// the unit's environment names. Without systemd it does nothing, and a lost message is not worth a failure.
func (e *Engine) notify(state string) {
	if e.o.Notify == "" {
		return
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: e.o.Notify, Net: "unixgram"})
	if err != nil {
		e.log.Warn("systemd was not notified", "error", err)
		return
	}
	defer c.Close()
	// Nobody may be reading: that must not stop a reload.
	_ = c.SetWriteDeadline(time.Now().Add(time.Second))
	if _, err := c.Write([]byte(state)); err != nil {
		e.log.Warn("systemd was not notified", "error", err)
	}
}

// reloading is the message that begins a reload. Type=notify-reload wants the monotonic time with it, to tell this reload's
// READY=1 from an earlier one's.
func reloading() string {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return "RELOADING=1"
	}
	return fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", t.Nano()/1000)
}
