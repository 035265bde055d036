package lab

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Report is what a [Probe] has seen.
type Report struct {
	Period   time.Duration
	From, To time.Time
	Requests []Request     // in the order of their beginnings
	Lag      time.Duration // the latest that a request has left: how far the visitor itself may be the cause of a gap
}

// Between is the part between two moments, by the ends of requests; a zero from is the beginning, a zero to the end.
func (r Report) Between(from, to time.Time) Report {
	if !from.IsZero() {
		r.From = from
	}
	if !to.IsZero() {
		r.To = to
	}
	r.Requests = slices.DeleteFunc(slices.Clone(r.Requests), func(q Request) bool { return q.End.Before(r.From) || q.End.After(r.To) })
	return r
}

// Gap is the longest time without service: between the ends of two successful requests that follow each other, less the period.
// The time before the first one and after the last one counts, too.
func (r Report) Gap() time.Duration {
	gap, _ := r.gap()
	return gap
}

// gap is the longest gap and its beginning.
func (r Report) gap() (longest time.Duration, at time.Time) {
	ends := []time.Time{r.From, r.To}
	for _, q := range r.Requests {
		if q.Err == nil && !q.End.After(r.To) {
			ends = append(ends, q.End)
		}
	}
	slices.SortFunc(ends, time.Time.Compare)
	for i := 1; i < len(ends); i++ {
		if d := ends[i].Sub(ends[i-1]); d > longest {
			longest, at = d, ends[i-1]
		}
	}
	return max(0, longest-r.Period), at
}

// Failed are the requests that failed.
func (r Report) Failed() []Request {
	return r.only(func(q Request) bool { return q.Err != nil })
}

// Late are the requests that went well and took longer.
func (r Report) Late(than time.Duration) []Request {
	return r.only(func(q Request) bool { return q.Err == nil && q.Took() > than })
}

// Retransmitted are the requests that went well after TCP had to repeat something.
func (r Report) Retransmitted() []Request {
	return r.only(func(q Request) bool { return q.Err == nil && q.Retransmits > 0 })
}

// Repeated are the requests that were sent again because a kept connection had been closed.
func (r Report) Repeated() []Request {
	return r.only(func(q Request) bool { return q.Repeated })
}

func (r Report) only(want func(Request) bool) []Request {
	return slices.DeleteFunc(slices.Clone(r.Requests), func(q Request) bool { return !want(q) })
}

// Servers counts who has answered.
func (r Report) Servers() map[string]int {
	count := map[string]int{}
	for _, q := range r.Requests {
		if q.Err == nil {
			count[q.Server]++
		}
	}
	return count
}

// String sums the report up, and lists failed requests, by their errors.
func (r Report) String() string {
	gap, at := r.gap()
	var slowest time.Duration
	for _, q := range r.Requests {
		if q.Err == nil {
			slowest = max(slowest, q.Took())
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d requests every %v, %d failed, %d retransmitted, %d repeated; longest gap %v at %s; slowest %v; sent at most %v late; answered by %v\n",
		len(r.Requests), r.Period, len(r.Failed()), len(r.Retransmitted()), len(r.Repeated()), gap.Round(time.Microsecond), at.Format("15:04:05.000000"),
		slowest.Round(time.Microsecond), r.Lag.Round(time.Microsecond), r.Servers())
	type kind struct {
		count       int
		first, last time.Time
	}
	kinds := map[string]*kind{}
	for _, q := range r.Failed() {
		k := kinds[q.Err.Error()]
		if k == nil {
			k = &kind{first: q.Start}
			kinds[q.Err.Error()] = k
		}
		k.count++
		k.last = q.Start
	}
	for text, k := range kinds {
		fmt.Fprintf(&b, "%s - %s  %d times  %s\n", k.first.Format("15:04:05.000000"), k.last.Format("15:04:05.000000"), k.count, text)
	}
	return b.String()
}
