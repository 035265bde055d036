package vip

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"skein/config"
	"skein/pool"
)

// An interface that has just come up has no link-local address for up to two seconds (RFC 4862 section 5.4). At the start of a
// machine that is no mistake of the file.
const (
	linkLocalWait  = 3 * time.Second
	linkLocalEvery = 100 * time.Millisecond
)

// Prepare finds out all that can be wrong with c's vips on this machine: rights, interfaces, source addresses, sizes. Nothing
// changes before commit, which only says what is wanted from now on.
func (v *Vip) Prepare(ctx context.Context, c *config.Config, _ *pool.Set) (commit, discard func(), err error) {
	next := &plan{node: c.Node}
	if len(c.VIPs) > 0 {
		if err := v.allowed(c.VIPs[0]); err != nil {
			return nil, nil, err
		}
		if next, err = v.look(ctx, c); err != nil {
			return nil, nil, err
		}
	}
	return func() { v.commit(next) }, func() {}, nil
}

// allowed says what this process lacks to have virtual addresses at all.
func (v *Vip) allowed(c *config.VIP) error {
	missing := v.o.Net.Missing()
	if len(missing) == 0 {
		return nil
	}
	return fault(c.Pos, c, "needs CAP_NET_ADMIN and CAP_NET_RAW, to add addresses and to speak VRRP; this process has no %s\nhint: run as root, or in the systemd unit: AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW",
		strings.Join(missing, " and no "))
}

// look makes the plan of c on the interfaces that are there now.
func (v *Vip) look(ctx context.Context, c *config.Config) (*plan, error) {
	v.mu.Lock()
	old := v.plan
	v.mu.Unlock()
	for began := time.Now(); ; {
		all, err := v.o.Net.Links()
		if err != nil {
			return nil, fmt.Errorf("%s:%d: vip %q: list the interfaces: %w", c.VIPs[0].Pos.File, c.VIPs[0].Pos.Line, c.VIPs[0].Name, err)
		}
		p, err := newPlan(c, all, old)
		var soon errNoLinkLocal
		if !errors.As(err, &soon) || time.Since(began) >= linkLocalWait || !pause(ctx, linkLocalEvery) {
			return p, err
		}
	}
}
