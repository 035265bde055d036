package speaker

import (
	"testing"
	"time"
)

func TestGovernor(t *testing.T) {
	var g governor
	now := time.Now()
	for second := range 3 {
		read, floods := 0, 0
		for end := now.Add(time.Second); now.Before(end); now = now.Add(time.Microsecond) { // a packet each µs
			read++
			wait, flood := g.read(now, 100)
			now = now.Add(wait)
			if flood {
				floods++
			}
		}
		if limit := 100 * 100; read < limit*9/10 || read > limit {
			t.Errorf("second %d: %d packets were read, want at most %d", second, read, limit)
		}
		if floods < 90 || floods > 100 {
			t.Errorf("second %d: %d windows were a flood, want nearly 100", second, floods)
		}
	}
	// All routers that one link can have, each heard at the shortest interval, are no flood.
	now = now.Add(time.Second)
	for range 10000 {
		if wait, flood := g.read(now, limitOf(255)); wait != 0 || flood {
			t.Fatalf("wait = %v, flood = %v, want none", wait, flood)
		}
		now = now.Add(10 * time.Millisecond / 255)
	}
}
