package cert

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/mholt/acmez/v3/acme"
)

// DNSProvider publishes DNS-01 records (RFC 8555 section 8.4). Both methods may be called at once for several records, some of
// which have the same name: "example.com" and "*.example.com" are both proved at _acme-challenge.example.com.
//
// Present returns when the record can be seen at every name server of the zone: the CA looks right away, and a validation that
// fails counts against its limits. We do not look ourselves, since where we ask is not where the CA asks.
type DNSProvider interface {
	Present(ctx context.Context, fqdn, value string) error
	CleanUp(ctx context.Context, fqdn, value string) error
}

// dnsSolver gives a CA's challenges to a provider.
type dnsSolver struct{ provider DNSProvider }

// Present implements [acmez.Solver]. It takes as long as the provider does: an order has one name, nothing waits behind it.
func (s *dnsSolver) Present(ctx context.Context, ch acme.Challenge) error {
	return s.provider.Present(ctx, ch.DNS01TXTRecordName(), ch.DNS01KeyAuthorization())
}

// CleanUp implements [acmez.Solver]. A record is taken away even when all is ending.
func (s *dnsSolver) CleanUp(ctx context.Context, ch acme.Challenge) error {
	return s.provider.CleanUp(context.WithoutCancel(ctx), ch.DNS01TXTRecordName(), ch.DNS01KeyAuthorization())
}

const (
	presentTimeout = 3 * time.Minute // until the record can be seen
	cleanUpTimeout = 30 * time.Second
	hookOutput     = 4 << 10
)

// hook is a command that publishes records: argv..., then present or cleanup, the record's name, its value. There is no shell.
type hook struct {
	log  *slog.Logger
	argv []string
}

// Present implements [DNSProvider].
func (h *hook) Present(ctx context.Context, fqdn, value string) error {
	return h.run(ctx, presentTimeout, "present", fqdn, value)
}

// CleanUp implements [DNSProvider].
func (h *hook) CleanUp(ctx context.Context, fqdn, value string) error {
	err := h.run(ctx, cleanUpTimeout, "cleanup", fqdn, value)
	if err != nil {
		h.log.Warn("DNS record was not taken away", "name", fqdn, "error", err)
	}
	return err
}

func (h *hook) run(ctx context.Context, limit time.Duration, verb, fqdn, value string) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, h.argv[0], append(append([]string(nil), h.argv[1:]...), verb, fqdn, value)...)
	// Children of the command end with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	var said tail
	cmd.Stdout, cmd.Stderr = &said, &said
	began := time.Now()
	err := cmd.Run()
	if ctx.Err() != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("it did not end within %s", limit)
	}
	out := said.line()
	if err != nil {
		if out != "" {
			return fmt.Errorf("dns command %s %s %s: %w: %s", h.argv[0], verb, fqdn, err, out)
		}
		return fmt.Errorf("dns command %s %s %s: %w", h.argv[0], verb, fqdn, err)
	}
	if out != "" {
		h.log.Info("dns command said", "command", h.argv[0], "verb", verb, "name", fqdn, "output", out)
	}
	h.log.Debug("dns command ended", "command", h.argv[0], "verb", verb, "name", fqdn, "took", time.Since(began))
	return nil
}

// tail keeps the last bytes of what a command says.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if over := len(t.b) - hookOutput; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
	return len(p), nil
}

// line is what was said, in one line.
func (t *tail) line() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(strings.Fields(string(bytes.ToValidUTF8(t.b, []byte("?")))), " ")
}
