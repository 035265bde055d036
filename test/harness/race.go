//go:build race

package harness

// race says that the test binary watches for races; then skein is built to watch too.
const race = true
