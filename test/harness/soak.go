package harness

import (
	"os"
	"testing"
)

// Soak reports whether tests run at their full counts, which takes hours: `make soak` sets SKEIN_SOAK=1.
func Soak() bool { return os.Getenv("SKEIN_SOAK") == "1" }

// Count is how often a test does something: short with -short, full in a soak, else usual.
func Count(short, usual, full int) int {
	switch {
	case Soak():
		return full
	case testing.Short():
		return short
	}
	return usual
}

// Raced reports whether skein and the tests watch for races. That costs several times the memory, most of it for each goroutine.
func Raced() bool { return race }
