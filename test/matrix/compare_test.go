package matrix

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"skein/test/harness"
)

// line is what the access log says of one request.
type line struct {
	Site, Method, Proto, Cause, Server string
	Status                             int
	Sent, Received                     int64
	Retries                            int
	Queue                              float64
}

// journal reads the access log, by site.
func (s *site) journal() map[string][]line {
	s.t.Helper()
	b, err := os.ReadFile(s.log)
	if err != nil {
		s.t.Fatal(err)
	}
	all := map[string][]line{}
	for sc := bufio.NewScanner(bytes.NewReader(b)); sc.Scan(); {
		var l line
		if err := json.Unmarshal(sc.Bytes(), &l); err != nil {
			s.t.Fatalf("line of the access log %q: %v", sc.Text(), err)
		}
		all[l.Site] = append(all[l.Site], l)
	}
	return all
}

// compare holds the access log and the metrics of every cell against what its test has said and done: the same traffic has to
// look the same whatever carried it.
func (s *site) compare() {
	s.t.Helper()
	var all map[string][]line
	var counted map[string]map[string]int64
	harness.Soon(harness.Patience, func() bool { // the log is written once a second, and a request may end a little after its answer
		all, counted = s.journal(), s.counters()
		return !slices.ContainsFunc(s.cells, func(x *cell) bool {
			c := counted[x.name]
			return x.ran && int64(len(all[x.name])) < max(1, int64(len(x.want)), c["2xx"]+c["3xx"]+c["4xx"]+c["5xx"])
		})
	})
	first := map[string]*cell{} // by feature and member: what the others are compared with
	for _, x := range s.cells {
		if !x.ran {
			continue
		}
		lines := all[x.name]
		var said []string
		classes := map[string]int64{}
		for _, l := range lines {
			if l.Proto != x.client.proto {
				s.t.Errorf("%s: the access log says %s, want %s", x.name, l.Proto, x.client.proto)
			}
			said = append(said, fmt.Sprint(l.Status, " ", l.Cause))
			classes[fmt.Sprintf("%dxx", l.Status/100)]++
			classes["sent"] += l.Sent
			classes["received"] += l.Received
		}
		slices.Sort(said)
		if x.want != nil {
			slices.Sort(x.want)
			if !slices.Equal(said, x.want) {
				s.t.Errorf("%s: the access log has %q, want %q", x.name, said, x.want)
			}
		}
		for _, class := range []string{"2xx", "3xx", "4xx", "5xx", "sent", "received"} {
			if got, want := counted[x.name][class], classes[class]; got != want {
				s.t.Errorf("%s: the metrics count %d for %s, and the access log %d", x.name, got, class, want)
			}
		}
		if !x.f.same {
			continue
		}
		// What members say has the length of the host's name in it, so that bytes are compared with what the client had.
		if got := x.got.Load(); classes["sent"] != got {
			s.t.Errorf("%s: the access log has %d bytes sent, and the client %d", x.name, classes["sent"], got)
		}
		key := x.f.name + " " + x.member.name
		if o := first[key]; o == nil {
			first[key] = x
		} else if a, b := traffic(all[o.name]), traffic(lines); a != b {
			s.t.Errorf("%s: the access log says\n%s and of %s\n%s", x.name, b, o.name, a)
		}
	}
}

// traffic is what must be equal in the lines of equal requests.
func traffic(lines []line) string {
	var all []string
	for _, l := range lines {
		all = append(all, fmt.Sprintf("%s %d %s, %d bytes received, %d retries\n", l.Method, l.Status, l.Cause, l.Received, l.Retries))
	}
	slices.Sort(all)
	return strings.Join(all, "")
}

// counters reads the metrics of all blocks: answers by class, and bytes.
func (s *site) counters() map[string]map[string]int64 {
	s.t.Helper()
	all := map[string]map[string]int64{}
	for l := range strings.Lines(s.Admin("/metrics")) {
		name, rest, ok := strings.Cut(strings.TrimSpace(l), "{")
		labels, value, _ := strings.Cut(rest, "} ")
		if !ok || !strings.HasPrefix(name, "skein_http_site_") {
			continue
		}
		label := func(name string) string {
			_, v, _ := strings.Cut(labels, name+`="`)
			v, _, _ = strings.Cut(v, `"`)
			return v
		}
		what := label("class")
		switch name {
		case "skein_http_site_sent_bytes_total":
			what = "sent"
		case "skein_http_site_received_bytes_total":
			what = "received"
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			s.t.Fatalf("metric %q: %v", l, err)
		}
		if all[label("site")] == nil {
			all[label("site")] = map[string]int64{}
		}
		all[label("site")][what] += int64(n)
	}
	return all
}
