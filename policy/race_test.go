//go:build race

package policy

// raceEnabled leaves out what takes long and runs in one goroutine anyway.
const raceEnabled = true
