package http3

import "sync/atomic"

// Workers are goroutines that serve one request after the other, of all connections. A goroutine's stack grows in its first
// request; to grow it again for each would be a tenth of the cost.
type Workers struct {
	keep  int64
	hire  chan *Stream
	ended <-chan struct{}
	idle  atomic.Int64
}

// NewWorkers keeps up to keep goroutines that have nothing to do, until ended is closed. More run when there is more to do.
func NewWorkers(keep int, ended <-chan struct{}) *Workers {
	return &Workers{keep: int64(keep), hire: make(chan *Stream), ended: ended}
}

// do serves s on another goroutine. It never waits.
func (w *Workers) do(s *Stream) {
	select {
	case w.hire <- s:
	default:
		go w.work(s)
	}
}

func (w *Workers) work(s *Stream) {
	for s != nil {
		s.run()
		s = nil
		if w.idle.Add(1) <= w.keep {
			select {
			case s = <-w.hire:
			case <-w.ended:
			}
		}
		w.idle.Add(-1)
	}
}

// Dismiss lets half of those go that have nothing to do: after a crowd of visitors they would stay for nothing.
func (w *Workers) Dismiss() {
	for range (w.idle.Load() + 1) / 2 {
		select {
		case w.hire <- nil:
		default:
			return
		}
	}
}
