package main

import "fmt"

// target is what skein wants to be: a figure, or a ratio of two, that is not above a limit.
type target struct {
	scenario string
	row      string
	against  string // row to divide by, "" = the figure itself
	limit    float64
	unit     string
}

// targets is THE list of them. A missed one is a word in the report, never an exit code: machines differ, and noise is not
// a defect.
func targets() []target {
	return []target{
		{"keepalive", "skein", "nginx", 0.80, ""},
		{"keepalive", "skein", "haproxy", 0.75, ""},
		{"keepalive", "skein", "caddy", 0.30, ""},
		{"newconn", "skein", "nginx", 1.00, ""},
		{"large", "skein", "haproxy", 1.00, ""},
		{"latency", "skein", "nginx", 1.00, ""},
		{"tls", "skein", "nginx", 0.85, ""},
		{"handshake", "skein", "nginx", 1.00, ""},
		{"h2", "skein", "nginx", 1.20, ""},
		{"fastcgi", "skein", "nginx", 1.00, ""},
		{"fastcgi-keep", "skein", "nginx", 1.00, ""},
		{"idle", "skein", "", 10, "KiB"},
		{"routes", "skein, 1000 routes", "skein, 10 routes", 1.10, ""},
		{"routes", "skein, 10000 routes", "skein, 10 routes", 1.10, ""},
		{"members", "skein, 1000 members", "skein, 10 members", 1.10, ""},
		{"members", "skein, 10000 members", "skein, 10 members", 1.10, ""},
	}
}

// Verdict is a target and what became of it.
type Verdict struct {
	Target string  `json:"target"`
	Limit  float64 `json:"limit"`
	Figure float64 `json:"figure"`
	Unit   string  `json:"unit,omitempty"`
	Word   string  `json:"word"` // met, missed, or not measured
}

// judge compares the tables with the targets; those of scenarios that did not run are left out.
func judge(tables []Table, targets []target) []Verdict {
	var verdicts []Verdict
	for _, t := range targets {
		for i := range tables {
			if tables[i].Name == t.scenario {
				verdicts = append(verdicts, t.judge(&tables[i]))
			}
		}
	}
	return verdicts
}

func (t target) judge(table *Table) Verdict {
	what := table.Columns[0].Title
	v := Verdict{Target: fmt.Sprintf("%s: %s, %s", t.scenario, what, t.row), Limit: t.limit, Unit: t.unit, Word: "not measured"}
	if t.against != "" {
		v.Target += " / " + t.against
	}
	row := table.row(t.row)
	if row == nil || !row.Valid {
		return v
	}
	v.Figure = row.Medians[0]
	if t.against != "" {
		var ok bool
		if v.Figure, ok = ratio(row, table.row(t.against)); !ok {
			return v
		}
	}
	v.Word = "missed"
	if v.Figure <= t.limit {
		v.Word = "met"
	}
	return v
}
