package web

import (
	"context"
	"time"

	"skein/pool"
)

// keepHouse closes connections to members that have rested too long or whose member is gone.
func (w *Web) keepHouse(ctx context.Context) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			w.mu.Lock()
			set := w.set
			w.mu.Unlock()
			w.closeIdle(set)
			w.dismiss()
			w.workers.Dismiss()
		}
	}
}

// dismiss lets half of the workers go that have nothing to do: after a crowd of visitors they would stay for nothing.
func (w *Web) dismiss() {
	w.quic.workers.Dismiss()
	for range (w.idlers.Load() + 1) / 2 {
		select {
		case w.hire <- nil:
		default:
			return
		}
	}
}

// closeIdle closes what has rested too long, and everything that belongs to no member of set.
func (w *Web) closeIdle(set *pool.Set) {
	keep := map[*pool.Member]time.Duration{}
	if set != nil {
		for _, p := range set.Pools() {
			d := p.Config().Timeouts.KeepAlive
			for _, m := range p.Members() {
				keep[m] = d
			}
		}
	}
	now := w.timer.Now()
	w.idles.Range(func(k, v any) bool {
		m, i := k.(*pool.Member), v.(*idle)
		d, live := keep[m]
		for _, u := range i.expire(now-d, !live) {
			u.close()
		}
		i.links.expire(now-d, !live)
		if !live {
			w.idles.Delete(m)
		}
		return true
	})
}
