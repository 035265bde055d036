package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestMiddle(t *testing.T) {
	tests := []struct {
		name string
		in   []float64
		want float64
	}{
		{"none", nil, 0},
		{"one", []float64{7}, 7},
		{"odd", []float64{9, 1, 5}, 5},
		{"even", []float64{4, 1, 100, 2}, 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := middle(tt.in); got != tt.want {
				t.Errorf("middle(%v) = %v, want %v", tt.in, got, tt.want)
			}
		})
	}
}

// fakeResult used so many µs of CPU for each of 1,000 requests.
func fakeResult(micros int) Result {
	return Result{Requests: 1000, CPU: time.Duration(micros) * time.Millisecond, Elapsed: time.Second}
}

func fakeTable() Table {
	s := scenario{name: "keepalive", title: "small GET", columns: []column{cpuPerRequest, rate}}
	return summarize(s, []*Row{
		// The machine is twice as slow in the last round; the ratios of the rounds are 0.8, 0.5 and 0.75.
		{Name: "skein", Results: []Result{fakeResult(16), fakeResult(10), fakeResult(30)}},
		{Name: "nginx", Results: []Result{fakeResult(20), fakeResult(20), fakeResult(40)}},
		{Name: "haproxy", Results: []Result{fakeResult(20), {Requests: 5, Errors: 2, Error: "answer 502"}, fakeResult(20)}},
		{Name: "caddy", Note: "did not start"},
	}, against)
}

func TestSummarize(t *testing.T) {
	table := fakeTable()
	skein := table.row("skein")
	if diff := cmp.Diff([]float64{16, 1000}, skein.Medians); diff != "" {
		t.Errorf("medians of skein (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]float64{"nginx": 0.75}, skein.Ratios); diff != "" {
		t.Errorf("ratios of skein (-want +got):\n%s", diff)
	}
	want := strings.TrimLeft(`
           CPU per request, µs      min - max  requests, /s  / nginx
  skein                   16.0    10.0 - 30.0          1000     0.75
  nginx                   20.0    20.0 - 40.0          1000     1.00
  haproxy                    -              -             -        -  INVALID: 2 errors, the first: answer 502
  caddy                      -              -             -        -  INVALID: did not start
`, "\n")
	got := align(table.cells(table.present(against)))
	if diff := cmp.Diff(squeeze(want), squeeze(got)); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

// squeeze makes each run of spaces one, so that tests do not depend on the widths of columns.
func squeeze(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		lines[i] = strings.Join(strings.Fields(line), " ")
	}
	return strings.Join(lines, "\n")
}

func TestAlignment(t *testing.T) {
	got := align([][]string{{"", "µs", "note"}, {"nginx", "1.00", "x"}, {"caddy", "10.00", ""}})
	want := "            µs  note\n  nginx   1.00  x\n  caddy  10.00\n"
	if got != want {
		t.Errorf("align = %q, want %q", got, want)
	}
}

func TestJudge(t *testing.T) {
	got := judge([]Table{fakeTable()}, []target{
		{"keepalive", "skein", "nginx", 0.80, ""},
		{"keepalive", "skein", "nginx", 0.70, ""},
		{"keepalive", "skein", "", 16, "µs"},
		{"keepalive", "skein", "haproxy", 1, ""},
		{"keepalive", "haproxy", "", 1, ""},
		{"large", "skein", "nginx", 1, ""},
	})
	var words []string
	for _, v := range got {
		words = append(words, v.Word)
	}
	if diff := cmp.Diff([]string{"met", "missed", "met", "not measured", "not measured"}, words); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s", diff)
	}
}

func TestEveryTargetHasItsScenario(t *testing.T) {
	names := make(map[string]bool)
	for _, s := range scenarios() {
		if names[s.name] {
			t.Errorf("scenario %q is there twice", s.name)
		}
		names[s.name] = true
	}
	for _, target := range targets() {
		if !names[target.scenario] {
			t.Errorf("target of scenario %q, which does not exist", target.scenario)
		}
	}
}
