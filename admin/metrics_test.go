package admin

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// TestExposition reads the metrics by the grammar of the format.
func TestExposition(t *testing.T) {
	f := newFake(t)
	_, body := ask(f.reader.Handler, "GET", "/metrics", "", nil)
	var (
		comment = regexp.MustCompile(`^# (HELP [a-zA-Z_]+ [^\n]+|TYPE [a-zA-Z_]+ (gauge|counter|histogram|summary))$`)
		series  = regexp.MustCompile(`^[a-zA-Z_]+(\{[a-z_]+="([^"\\\n]|\\["\\n])*"(,[a-z_]+="([^"\\\n]|\\["\\n])*")*\})? [0-9.e+-]+$`)
		seen    = map[string]bool{}
	)
	for line := range strings.SplitSeq(strings.TrimSuffix(body, "\n"), "\n") {
		if strings.HasPrefix(line, "#") {
			if !comment.MatchString(line) {
				t.Errorf("comment %q", line)
			}
			continue
		}
		if !series.MatchString(line) {
			t.Errorf("series %q", line)
		}
		id := line[:strings.LastIndexByte(line, ' ')]
		if seen[id] {
			t.Errorf("series %s stands twice", id)
		}
		seen[id] = true
	}
	for _, want := range []string{
		`skein_http_site_answers_total{class="2xx",site="si\"te"} 7`,
		`skein_pool_member_in_use{address="10.0.0.11:8080",pool="web",server="web1"} 1`,
		`skein_pool_member_answer_seconds_bucket{address="10.0.0.11:8080",pool="web",server="web1",le="0.0025"} 0`,
		`skein_pool_member_answer_seconds_count{address="10.0.0.11:8080",pool="web",server="web1"} 0`,
		`skein_build_info{go=`,
		"process_open_fds ",
		`skein_vip_state{family="ipv4",state="master",vip="front"} 1`,
		`skein_vip_state{family="ipv4",state="backup",vip="front"} 0`,
		`skein_vip_state{family="ipv6",state="master",vip="front"} 0`,
		`skein_vip_state{family="ipv6",state="fault",vip="front"} 1`,
		`skein_vip_priority{family="ipv6",vip="front"} 4`,
		`skein_vip_transitions_total{family="ipv4",to="master",vip="front"} 2`,
		`skein_vip_adverts_sent_total{family="ipv4",vip="front"} 1000`,
		`skein_vip_adverts_received_total{family="ipv4",vip="front"} 17`,
		`skein_vip_adverts_refused_total{family="ipv4",reason="checksum",vip="front"} 3`,
		`skein_vip_advert_late_seconds_bucket{family="ipv4",vip="front",le="0.001"} 990`,
		`skein_vip_advert_late_seconds_bucket{family="ipv4",vip="front",le="0.01"} 999`,
		`skein_vip_advert_late_seconds_bucket{family="ipv4",vip="front",le="+Inf"} 1000`,
		`skein_vip_advert_late_seconds_sum{family="ipv4",vip="front"} 0.5`,
		`skein_vip_advert_late_seconds_count{family="ipv4",vip="front"} 1000`,
		`skein_vip_isolated{vip="front"} 1`,
		`skein_vip_fit{vip="front"} 0`,
		`skein_vip_fit{vip="back"} 1`,
		`skein_vip_handovers_total{result="clean",vip="front"} 5`,
		"skein_vip_speaker_restarts_total 2",
		"skein_vip_speaker_realtime 1",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s", want)
		}
	}
}

// TestMetricsManual keeps the table in docs/admin.md true; UPDATE=1 writes it.
func TestMetricsManual(t *testing.T) {
	const file = "../docs/admin.md"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, have, ok := strings.Cut(string(b), "## Metrics\n\n")
	if !ok {
		t.Fatal("docs/admin.md has no section about metrics")
	}
	var table strings.Builder
	table.WriteString("| metric | labels | kind | meaning |\n|---|---|---|---|\n")
	for _, f := range newFake(t).families() {
		var labels []string
		for _, l := range f.labels {
			labels = append(labels, "`"+l+"`")
		}
		kind := "gauge"
		switch {
		case f.name == "skein_pool_member_answer_seconds", f.name == "skein_vip_advert_late_seconds":
			kind = "histogram"
		case f.kind == prometheus.CounterValue:
			kind = "counter"
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", f.name, strings.Join(labels, ", "), kind, f.help)
	}
	if have == table.String() {
		return
	}
	if os.Getenv("UPDATE") == "" {
		t.Fatal("docs/admin.md does not list the metrics as they are; run: UPDATE=1 go test ./admin")
	}
	if err := os.WriteFile(file, []byte(before+"## Metrics\n\n"+table.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
