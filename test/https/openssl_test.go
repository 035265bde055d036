package https

import (
	"bytes"
	"context"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"skein/test/harness"
)

// opensslClient runs openssl's interactive client, which does what Go's cannot: a line of R renegotiates. It returns all that
// was said.
func opensslClient(t testing.TB, openssl, addr, version, input string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, openssl, "s_client", "-connect", addr, "-servername", host, "-crlf", version)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// It takes a letter for a command only if that is a whole read of its own.
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	for line := range strings.Lines(input) {
		<-tick.C
		if _, err := io.WriteString(in, line); err != nil {
			break
		}
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		<-ended
	}
	_ = in.Close()
	return out.String()
}
