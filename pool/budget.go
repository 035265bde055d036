package pool

import (
	"sync/atomic"
	"time"
)

// window is how long the retry budget looks back, in seconds.
const window = 10

// budget counts work and retries over the last 10 s, so that retries cannot multiply the load of a site that is failing.
type budget struct {
	buckets [window + 1]struct {
		second            atomic.Int64
		requests, retries atomic.Int64
	}
}

// at returns the bucket of now's second, emptied if it was of an earlier one.
func (b *budget) at(second int64) (requests, retries *atomic.Int64) {
	k := &b.buckets[second%int64(len(b.buckets))]
	if old := k.second.Load(); old != second && k.second.CompareAndSwap(old, second) {
		k.requests.Store(0)
		k.retries.Store(0)
	}
	return &k.requests, &k.retries
}

// Count notes a new piece of work.
func (p *Pool) Count(now time.Time) {
	r, _ := p.budget.at(now.Unix())
	r.Add(1)
}

// Retry asks for leave to try once more and counts the retry if it is given: retries are at most Budget times the requests
// of the last 10 s, or Floor if that is more. Connect failures do not ask.
func (p *Pool) Retry(now time.Time) bool {
	c := p.cfg.Load().Retry
	second := now.Unix()
	// Counted before it is judged: of many that ask at once, none may slip through between the two.
	_, own := p.budget.at(second)
	own.Add(1)
	var requests, retries int64
	for i := range p.budget.buckets {
		k := &p.budget.buckets[i]
		if s := k.second.Load(); s > second-window && s <= second {
			requests += k.requests.Load()
			retries += k.retries.Load()
		}
	}
	if float64(retries) > max(float64(c.Floor), c.Budget*float64(requests)) {
		own.Add(-1)
		return false
	}
	return true
}
