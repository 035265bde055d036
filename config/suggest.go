package config

import (
	"fmt"
	"strings"
)

// didYouMean returns ` Did you mean "web"?` (with a space in front) for the nearest of names, or "" if none is near.
//
// Near is the optimal string alignment distance (insert, delete, replace, swap neighbours): at most 1 for names of up to
// 3 letters, 2 beyond. Ties go to the first name, so the answer is stable. If none is, a name that begins as
// the given one will do.
func didYouMean(given string, names []string) string {
	if name := nearest(given, names); name != "" {
		return fmt.Sprintf(" Did you mean %q?", name)
	}
	return ""
}

// maxSuggestions of the names that a file gives are looked for: comparing with 10,000 servers takes a while, and a file
// with that many mistakes has another problem.
const maxSuggestions = 100

// suggest is didYouMean for names that the file gives, of which there may be many.
func (d *decoder) suggest(given string, names func() []string) string {
	if d.suggestions++; d.suggestions > maxSuggestions {
		return ""
	}
	return didYouMean(given, names())
}

func nearest(given string, names []string) string {
	const longest = 64 // nobody mistypes more, and the distance is quadratic
	if len(given) > longest {
		return ""
	}
	limit := 2
	if len(given) <= 3 {
		limit = 1
	}
	best, bestAt := "", limit+1
	for _, name := range names {
		if name == given || len(name) > longest || max(len(name)-len(given), len(given)-len(name)) >= bestAt {
			continue
		}
		if n := distance(given, name); n < bestAt {
			best, bestAt = name, n
		}
	}
	if best != "" {
		return best
	}
	for _, name := range names { // "warning" for "warn"
		if min(len(given), len(name)) >= 3 && name != given && (strings.HasPrefix(given, name) || strings.HasPrefix(name, given)) {
			return name
		}
	}
	return ""
}

// distance is the optimal string alignment distance of two short strings, by bytes.
func distance(a, b string) int {
	var rows [3][66]int // longest + 2; three rows suffice: swaps look two back
	before, last, row := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
