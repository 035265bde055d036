package speaker

import (
	"testing"
	"time"
)

func TestGovernor(t *testing.T) {
	var g governor
	now := time.Now()
	for second := range 3 {
		read := 0
		for end := now.Add(time.Second); now.Before(end); now = now.Add(time.Microsecond) { // a packet each µs
			read++
			now = now.Add(g.read(now))
		}
		if limit := 100 * governorLimit; read < limit*9/10 || read > limit {
			t.Errorf("second %d: %d packets were read, want at most %d", second, read, limit)
		}
	}
	for range 1000 { // 10,000 a second are not held up
		if d := g.read(now); d != 0 {
			t.Fatalf("wait = %v, want none", d)
		}
		now = now.Add(100 * time.Microsecond)
	}
}
