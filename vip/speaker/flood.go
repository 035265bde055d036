package speaker

import (
	"log/slog"
	"time"

	"skein/kernel"
)

// Whoever floods a node with advertisements must neither keep a processor busy nor take the place of the true ones in the socket's
// buffer: a backup that hears no master any more becomes one. While it lasts the kernel drops what is certainly none of a peer's; it
// is then not counted among what was refused. A neighbor on the link can forge whatever the kernel looks at; against him there is
// the governor, and VRRP has no defence (RFC 9568 section 9).

// floodTime is how long strangers are kept away; then it is looked again.
const floodTime = time.Minute

// flood is called when more comes in than peers can say.
func (s *Speaker) flood(e *ears, socket kernel.VRRPSocket) {
	if e.socket != socket || e.flooded {
		return
	}
	e.flooded = true
	s.log(slog.LevelWarn, "far more advertisements come than peers can send; the kernel drops those of strangers for a while",
		"interface", e.key.link, "source", e.key.source, "while", floodTime)
	s.keep(e)
	s.after(floodTime, func() {
		if e.socket == socket {
			e.flooded = false
			s.keep(e)
		}
	})
}

// keep tells the kernel whom to hear.
func (s *Speaker) keep(e *ears) {
	if e.socket == nil {
		return
	}
	var k kernel.VRRPKeep
	if e.flooded {
		k.Near = true
		for _, i := range e.users {
			k.Near = k.Near && !i.conf.Router.Far
			k.From = append(k.From, i.conf.Router.Peers...)
			k.RouterIDs = append(k.RouterIDs, i.conf.Router.RouterID)
		}
	}
	if err := e.socket.Keep(k); err != nil {
		s.log(slog.LevelWarn, "strangers cannot be kept away", "interface", e.key.link, "error", err)
	}
}
