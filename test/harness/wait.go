package harness

import (
	"testing"
	"time"
)

// Patience bounds every wait of a test for something that should happen at once. It is long because the machine may be busy;
// a test that passes never waits for it.
const Patience = 20 * time.Second

// Eventually asks until ok says yes, and fails the test when it did not within the time. what names the hope.
func Eventually(t testing.TB, within time.Duration, what string, ok func() bool) {
	t.Helper()
	if !Soon(within, ok) {
		t.Fatalf("%s: not within %v", what, within)
	}
}

// Soon asks until ok says yes, for at most the given time, and returns the last answer.
func Soon(within time.Duration, ok func() bool) bool {
	end := time.Now().Add(within)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
		<-tick.C
	}
}
