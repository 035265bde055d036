package vip

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"time"

	"skein/vip/vrrp"
)

// maxNotes is how many changes wait for the notify command. A vip that changes faster than its command runs is in trouble
// already, and what matters then is the newest state.
const maxNotes = 8

// note is one change of state of a vip.
type note struct {
	command   []string
	limit     time.Duration
	from, to  vrrp.State
	reason    string
	node      string
	addresses []netip.Addr
}

// notifier runs the notify command of one vip: in order, one at a time.
type notifier struct {
	v   *Vip
	vip string

	mu      sync.Mutex // guards what follows
	queue   []note
	running bool
	skipped uint64 // since the last run
	status  NotifyStatus
}

func newNotifier(v *Vip, vip string) *notifier { return &notifier{v: v, vip: vip} }

// put makes the command be told of n. It does not wait.
func (n *notifier) put(c note) {
	if len(c.command) == 0 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.queue) == maxNotes {
		n.queue = n.queue[1:]
		n.skipped++
		n.status.Skipped++
	}
	n.queue = append(n.queue, c)
	if !n.running {
		n.running = true
		n.v.notes.Go(n.work)
	}
}

// last makes the newest change the only one that is told, as the vip ends.
func (n *notifier) last() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if over := len(n.queue) - 1; over > 0 {
		n.queue = n.queue[over:]
		n.skipped += uint64(over)
		n.status.Skipped += uint64(over)
	}
}

// work runs the command until nothing is left to tell.
func (n *notifier) work() {
	for {
		n.mu.Lock()
		if len(n.queue) == 0 {
			n.running, n.status.Running = false, false
			n.mu.Unlock()
			return
		}
		c := n.queue[0]
		n.queue = n.queue[1:]
		skipped := n.skipped
		n.skipped = 0
		n.status.Running, n.status.State = true, c.to
		n.mu.Unlock()
		if skipped > 0 {
			n.v.log.Warn("notify command is slower than the vip changes: some changes were skipped", "vip", n.vip, "skipped", skipped)
		}
		n.run(c)
	}
}

// run runs the command once. Its time is its own: the end of skein does not cut it off.
func (n *notifier) run(c note) {
	var addresses []string
	for _, a := range c.addresses {
		addresses = append(addresses, a.String())
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.limit)
	defer cancel()
	began := time.Now()
	said, err := n.v.run(ctx, command{argv: c.command, env: []string{
		"SKEIN_VIP=" + n.vip, "SKEIN_STATE=" + string(c.to), "SKEIN_OLD_STATE=" + string(c.from), "SKEIN_REASON=" + c.reason,
		"SKEIN_ADDRESSES=" + strings.Join(addresses, " "), "SKEIN_NODE=" + c.node,
	}})
	took := time.Since(began)
	n.mu.Lock()
	n.status.Last, n.status.Took, n.status.Error = time.Now(), took, ""
	n.status.Runs++
	if err != nil {
		n.status.Failed++
		n.status.Error = err.Error()
	}
	n.mu.Unlock()
	args := []any{"vip", n.vip, "state", c.to, "took", took.Round(time.Millisecond)}
	if said != "" {
		args = append(args, "output", said)
	}
	if err != nil {
		n.v.log.Warn("notify command failed", append(args, "error", err)...)
		return
	}
	n.v.log.Info("notify command ended", args...)
}

// report is what is known of the command, which the configuration has.
func (n *notifier) report() *NotifyStatus {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.status
	return &s
}
