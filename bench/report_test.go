package main

import (
	"os"
	"strings"
	"testing"
)

func TestReplaceSection(t *testing.T) {
	page := "before\n" + sectionBegin + "\nold\n" + sectionEnd + "\nafter\n"
	got, err := replaceSection([]byte(page), []byte("new\n"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "before\n" + sectionBegin + "\nnew\n" + sectionEnd + "\nafter\n"; string(got) != want {
		t.Errorf("replaceSection = %q, want %q", got, want)
	}
	if _, err := replaceSection([]byte("no markers\n"), nil); err == nil {
		t.Error("replaceSection of a page without markers = nil error")
	}
}

func TestManualHasTheMarkers(t *testing.T) {
	page, err := os.ReadFile("../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := replaceSection(page, nil); err != nil {
		t.Error(err)
	}
}

func TestMarkdown(t *testing.T) {
	table := fakeTable()
	r := Report{Tables: []Table{table}, Verdicts: judge([]Table{table}, targets())}
	got := r.markdown()
	for _, want := range []string{
		"### keepalive\n\nSmall GET.\n",
		"| skein | 16.0 | 10.0 - 30.0 | 1000 | 0.75 |  |\n",
		"| keepalive: CPU per request, skein / nginx | <= 0.80 | 0.75 | met |\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("markdown lacks %q:\n%s", want, got)
		}
	}
}

func TestCheckHead(t *testing.T) {
	tests := []struct {
		head string
		want int
		ok   bool
	}{
		{"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n", 100, true},
		{"HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length:7\r\n", 7, true},
		{"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 100\r\n", 0, false},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", 0, false},
		{"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n", 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.head, func(t *testing.T) {
			got, err := checkHead([]byte(tt.head))
			if got != tt.want || (err == nil) != tt.ok {
				t.Errorf("checkHead = %d, %v, want %d, ok %v", got, err, tt.want, tt.ok)
			}
		})
	}
}
