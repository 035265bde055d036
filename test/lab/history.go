package lab

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Span is a time with the same owners.
type Span struct {
	From, To time.Time
	Owners   []string // hosts, in the order of [Watch]
}

// Duration is its length.
func (s Span) Duration() time.Duration { return s.To.Sub(s.From) }

// History is spans that follow each other.
type History []Span

// joined has no two neighbors with the same owners.
func (h History) joined() History {
	var all History
	for _, s := range h {
		if n := len(all); n > 0 && slices.Equal(all[n-1].Owners, s.Owners) {
			all[n-1].To = s.To
			continue
		}
		all = append(all, s)
	}
	return all
}

// Gaps are the spans without an owner.
func (h History) Gaps() []Span {
	return slices.DeleteFunc(slices.Clone(h), func(s Span) bool { return len(s.Owners) > 0 })
}

// Doubles are the spans with several owners.
func (h History) Doubles() []Span {
	return slices.DeleteFunc(slices.Clone(h), func(s Span) bool { return len(s.Owners) < 2 })
}

// LongestGap is the longest time without an owner.
func (h History) LongestGap() time.Duration {
	var longest time.Duration
	for _, s := range h.Gaps() {
		longest = max(longest, s.Duration())
	}
	return longest
}

// DoubleTime is how long there were several owners, all in all.
func (h History) DoubleTime() time.Duration {
	var sum time.Duration
	for _, s := range h.Doubles() {
		sum += s.Duration()
	}
	return sum
}

// String implements [fmt.Stringer].
func (h History) String() string {
	var b strings.Builder
	for _, s := range h {
		who := strings.Join(s.Owners, " and ")
		if who == "" {
			who = "nobody"
		}
		fmt.Fprintf(&b, "%s  +%9.3f ms  %s\n", s.From.Format("15:04:05.000000"), float64(s.Duration())/1e6, who)
	}
	fmt.Fprintf(&b, "longest gap %v, two owners for %v\n", h.LongestGap().Round(time.Microsecond), h.DoubleTime().Round(time.Microsecond))
	return b.String()
}
