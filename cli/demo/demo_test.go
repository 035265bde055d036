package demo_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"skein/test/harness"
)

// running is a demonstration in a process of its own, as a newcomer starts it.
type running struct {
	t     *testing.T
	url   string
	typed io.Writer
	lines chan string
	http  http.Client
}

func start(t *testing.T, args ...string) *running {
	t.Helper()
	cmd := exec.Command(harness.Binary(t), append([]string{"demo", "--listen", "127.0.0.1:0"}, args...)...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := &running{t: t, typed: in, lines: make(chan string, 10_000), http: http.Client{Timeout: 10 * time.Second}}
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			r.lines <- s.Text()
		}
		close(r.lines)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		for line := range r.lines {
			if strings.HasPrefix(line, "ended:") && !strings.HasSuffix(line, " 0 failed") {
				t.Errorf("the built-in visitor saw failures: %s", line)
			}
			if strings.Contains(line, "DATA RACE") || strings.Contains(line, "panic:") {
				t.Error(line)
			}
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("skein demo: %v", err)
		}
	})
	line := r.wait("the site, by the balancer")
	r.url = strings.Fields(line)[0]
	r.wait("skein: started")
	return r
}

// wait reads lines of output until each of the texts has come, in any order, and returns the last line.
func (r *running) wait(texts ...string) string {
	r.t.Helper()
	late := time.After(20 * time.Second)
	for {
		select {
		case line, ok := <-r.lines:
			if !ok {
				r.t.Fatalf("the demonstration ended before it said %q", texts)
			}
			texts = slices.DeleteFunc(texts, func(text string) bool { return strings.Contains(line, text) })
			if len(texts) == 0 {
				return line
			}
		case <-late:
			r.t.Fatalf("the demonstration did not say %q", texts)
		}
	}
}

// hello asks the site and fails the test unless it answers.
func (r *running) hello() string {
	r.t.Helper()
	resp, err := r.http.Get(r.url + "/hello")
	if err != nil {
		r.t.Fatalf("request failed: %v", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		r.t.Fatalf("request failed: %s %q %v", resp.Status, b, err)
	}
	return strings.TrimSpace(string(b))
}

// act presses a button of the page, with fields of the request changed.
func (r *running) act(what, server string, change func(*http.Request)) int {
	r.t.Helper()
	q, err := http.NewRequest(http.MethodPost, r.url+"/demo/act", strings.NewReader(fmt.Sprintf(`{"act":%q,"server":%q}`, what, server)))
	if err != nil {
		r.t.Fatal(err)
	}
	q.Header.Set("Content-Type", "application/json")
	if change != nil {
		change(q)
	}
	resp, err := r.http.Do(q)
	if err != nil {
		r.t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func TestNoRequestFails(t *testing.T) {
	t.Parallel()
	r := start(t)
	tally := map[string]int{}
	for i := range 200 {
		switch i {
		case 60:
			if got := r.act("kill", "one", nil); got != http.StatusNoContent {
				t.Errorf("kill = %d", got)
			}
		case 100:
			if got := r.act("drain", "two", nil); got != http.StatusNoContent {
				t.Errorf("drain = %d", got)
			}
		}
		switch name := r.hello(); {
		case name == "one" && i >= 60:
			t.Errorf("request %d was answered by a dead server", i)
		case name == "two" && i >= 100:
			t.Errorf("request %d was answered by a drained server", i)
		default:
			tally[name]++
		}
	}
	for _, name := range []string{"one", "two", "three"} {
		if tally[name] < 10 {
			t.Errorf("server %s answered %d of 200 requests", name, tally[name])
		}
	}
	r.wait("member went down")
	if got := r.act("drain", "three", nil); got != http.StatusConflict {
		t.Errorf("drain of the last server = %d, want %d", got, http.StatusConflict)
	}
}

// TestTyped drives the demonstration from the terminal.
func TestTyped(t *testing.T) {
	t.Parallel()
	r := start(t)
	fmt.Fprintln(r.typed, "k 1")
	r.wait("server one was killed", "member went down") // whoever is first to say so
	fmt.Fprintln(r.typed, "r1")
	r.wait("member came up")
	fmt.Fprintln(r.typed, "D2")
	r.wait("server was drained")
	fmt.Fprintln(r.typed, "y2")
	r.wait("drain was removed")
	fmt.Fprintln(r.typed, "k9")
	r.wait("there is no server")
	fmt.Fprintln(r.typed, "q")
	r.wait("ended: server 1")
}

// TestForeignPages tries what a page of another site could send.
func TestForeignPages(t *testing.T) {
	t.Parallel()
	r := start(t)
	for name, change := range map[string]func(*http.Request){
		"another origin":      func(q *http.Request) { q.Header.Set("Origin", "https://evil.example") },
		"cross-site fetch":    func(q *http.Request) { q.Header.Set("Sec-Fetch-Site", "cross-site") },
		"another port's page": func(q *http.Request) { q.Header.Set("Sec-Fetch-Site", "same-site") },
		"a form":              func(q *http.Request) { q.Header.Set("Content-Type", "text/plain") },
		"a rebound name":      func(q *http.Request) { q.Host = "evil.example" },
	} {
		if got := r.act("kill", "one", change); got/100 != 4 {
			t.Errorf("%s: kill = %d, want 4xx", name, got)
		}
	}
	if got := r.act("kill", "one", func(q *http.Request) { q.Header.Set("Sec-Fetch-Site", "same-origin") }); got != http.StatusNoContent {
		t.Errorf("the page itself: kill = %d", got)
	}
}

func TestPage(t *testing.T) {
	t.Parallel()
	r := start(t, "--for", "1m")
	resp, err := r.http.Get(r.url + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(b), "<title>Skein") {
		t.Errorf("page = %.100q, %v", b, err)
	}
	for _, outside := range []string{"https://", "//cdn", " src="} {
		if strings.Contains(string(b), outside) {
			t.Errorf("the page asks for something from outside: %s", outside)
		}
	}
}
