package cert

import (
	"sync"
	"time"
)

// told keeps visitors from filling the log: what was said about a name is not said again for a minute. Names are only those
// that are configured or allowed on demand, so that it stays small; forget drops the old ones.
type told struct {
	mu   sync.Mutex
	last map[string]time.Time
}

const (
	toldEvery = time.Minute
	toldNames = 1000
)

// once calls say unless that happened for name in the last minute.
func (t *told) once(now time.Time, name string, say func()) {
	t.mu.Lock()
	last, ok := t.last[name]
	if ok && now.Sub(last) < toldEvery || !ok && len(t.last) >= toldNames {
		t.mu.Unlock()
		return
	}
	t.last[name] = now
	t.mu.Unlock()
	say()
}

// forget drops what may be said again.
func (t *told) forget(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, at := range t.last {
		if now.Sub(at) >= toldEvery {
			delete(t.last, name)
		}
	}
}
