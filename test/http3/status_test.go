package http3

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// counts is what the admin API says of the traffic.
type counts struct {
	Connections, InFlight, Accepted, Refused, Requests float64
}

func status(t testing.TB, s *site) counts {
	t.Helper()
	var got struct {
		Traffic map[string]any `json:"traffic"`
	}
	if err := json.Unmarshal([]byte(s.Admin("/api/v1/status")), &got); err != nil {
		t.Fatal(err)
	}
	f := func(name string) float64 { v, _ := got.Traffic[name].(float64); return v }
	return counts{f("connections"), f("active"), f("accepted"), f("refused"), f("requests")}
}

// bound is the address of the only listener, where the file says port 0.
func bound(t testing.TB, s *site) string {
	t.Helper()
	var got struct {
		Listeners []struct{ Address string } `json:"listeners"`
	}
	if err := json.Unmarshal([]byte(s.Admin("/api/v1/status")), &got); err != nil || len(got.Listeners) != 1 {
		t.Fatalf("%d listeners, %v", len(got.Listeners), err)
	}
	return got.Listeners[0].Address
}

func path(s *site, name string) string { return filepath.Join(s.dir, name) }

func write(t testing.TB, s *site, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path(s, name), b, 0o600); err != nil {
		t.Fatal(err)
	}
}
