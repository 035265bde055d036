// Package matrix holds every feature of the http block against every version of HTTP that a client can speak, and against every
// way to speak to a member, so that none of them works in one version only.
//
// Start at the table in features_test.go: a feature is one entry, with what it needs in the file and a function that tries it in
// one [cell], which is one feature, one client and one member. Each cell is an http block of its own, with its own pool, all of
// them in one skein: cells cannot disturb each other, and the lines of the access log and the counters of the block are the
// cell's. What a cell expects of its log is compared at the end, for all cells at once.
package matrix

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	// Most cells wait for a time-out most of the time: with one at a time for each core they would wait in a row.
	flag.Parse()
	if err := flag.Set("test.parallel", "24"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// client is a way to speak to skein.
type client struct {
	name  string
	proto string // in the access log
	major int
	tls   bool
}

func clients() []client {
	return []client{
		{"h1", "HTTP/1.1", 1, false},
		{"h1s", "HTTP/1.1", 1, true},
		{"h2", "HTTP/2.0", 2, true},
		{"h2c", "HTTP/2.0", 2, false},
		{"h3", "HTTP/3.0", 3, true},
	}
}

// member is a way to speak to a member.
type member struct {
	name string
	pool string // what the pool says for it
	http string // what the http block says for it
	// a and b do the same work, and say in their answers who they are.
	a, b string
}

func (m member) fastCGI() bool { return m.name == "fcgi" }

// scheme is the client's, as members are told it.
func (c client) scheme() string {
	if c.tls {
		return "https"
	}
	return "http"
}

// feature is one entry of the table.
type feature struct {
	name string
	test func(*cell)
	// each says that the feature is tried with every kind of member; otherwise with HTTP/1.1 alone, as members have no part in it.
	each bool
	// servers of the pool: a, b, and dead, where nobody listens. Without them a.
	servers string
	pool    string // more for the pool
	http    string // more for the http block; {pool} is the cell's pool, {dir} a directory of files
	https   string // more for the http block of a client with TLS
	// reset says that a client of HTTP/1 leaves by a reset: a FIN alone does not end a request, as it may be half a close.
	reset   bool
	watched bool // the test looks at the metrics while it runs
	routes  bool // only routes of http have the pool
	same    bool // every client sends the same, and the access log must say the same of all
}

// skip is a combination that cannot be, with the reason. An empty word is every one.
type skip struct{ feature, client, member, why string }

func (f *feature) skipped(c client, m member) string {
	for _, s := range skips() {
		if s.feature == f.name && (s.client == "" || s.client == c.name) && (s.member == "" || s.member == m.name) {
			return s.why
		}
	}
	return ""
}

func TestMatrix(t *testing.T) { tryAll(t, false) }

// TestWatched is the same for the features whose tests look at the metrics again and again. With hundreds of pools that would take all of
// the machine: they have a skein of their own.
func TestWatched(t *testing.T) { tryAll(t, true) }

func tryAll(t *testing.T, watched bool) {
	s := newSite(t, watched)
	t.Run("cells", func(t *testing.T) {
		for _, x := range s.cells {
			t.Run(fmt.Sprintf("%s/%s/%s", x.f.name, x.client.name, x.member.name), func(t *testing.T) {
				t.Parallel()
				if why := x.f.skipped(x.client, x.member); why != "" {
					t.Skip(why)
				}
				x.T = t
				x.open()
				x.f.test(x)
				x.ran = !t.Failed()
			})
		}
	})
	s.compare()
	s.Stop()
}

// Every name in the list of what is skipped must be one that there is: a typing error would skip nothing, or too much later.
func TestSkips(t *testing.T) {
	names := map[string]bool{"": true}
	for _, f := range features() {
		names[f.name] = true
	}
	for _, c := range clients() {
		names[c.name] = true
	}
	for _, n := range memberNames() {
		names[n] = true
	}
	for _, s := range skips() {
		if !names[s.feature] || !names[s.client] || !names[s.member] || s.feature == "" || s.why == "" {
			t.Errorf("skip %+v names nothing, or has no reason", s)
		}
	}
}
