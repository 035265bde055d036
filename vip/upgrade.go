package vip

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"skein/vip/speaker"
	"skein/vip/vrrp"
)

// An upgrade replaces the program, and the addresses stay where they are:
//
//	elder                                   heir
//	                                        Freeze: starts its speaker and tells it nothing
//	Freeze: its speaker falls silent and
//	leaves the addresses; what it was is
//	written down                        ->  Thaw: reads that; its speaker resumes, and advertises at once
//
// Between the two nobody speaks for some milliseconds, of the three intervals after which others would take over. What is
// written down is believed only while it is fresh: after more than that somebody else may be the master. An elder that dies
// without a word has a speaker that gives everything up, and the heir starts as after a crash.

const (
	handedFile  = "vip.json"
	addressFile = "vip-addresses.json" // the speaker's

	handedVersion = 1
	handedFresh   = 10 * time.Second
)

// handed is what an elder leaves to its heir.
type handed struct {
	Version   int             `json:"version"`
	Boot      string          `json:"boot"` // of the kernel: At means nothing after another one
	At        time.Duration   `json:"at"`
	Snapshots []vrrp.Snapshot `json:"snapshots"`
	VIPs      []handedVIP     `json:"vips"`
}

// handedVIP is what is known of one vip, so that the heir neither judges nor notifies anew.
type handedVIP struct {
	Name     string          `json:"name"`
	Fitness  speaker.Rank    `json:"fitness"`
	Good     map[string]bool `json:"good"` // by source
	State    vrrp.State      `json:"state"`
	Reason   string          `json:"reason"`
	Since    time.Time       `json:"since"`
	Families []handedFamily  `json:"families"`
	History  []Transition    `json:"history"`
}

type handedFamily struct {
	Family int                   `json:"family"`
	State  vrrp.State            `json:"state"`
	Reason string                `json:"reason"`
	Since  time.Time             `json:"since"`
	Became map[vrrp.State]uint64 `json:"became"`
}

// Freeze begins an upgrade. Before Run it is the heir's: nothing is owned until [Vip.Thaw]. While Run runs it is the elder's:
// when it returns, the addresses are left to the heir, and nothing here touches them any more.
func (v *Vip) Freeze() {
	v.mu.Lock()
	if v.ctx == nil {
		v.phase = frozen
		v.mu.Unlock()
		return
	}
	if v.phase == released {
		v.mu.Unlock()
		return
	}
	v.phase = released
	s := v.session
	if s != nil {
		s.leaving.Store(true)
	}
	for _, g := range v.groups {
		if g.handover != nil {
			g.handover.cancel()
		}
	}
	for _, r := range v.routers {
		r.stopJudges()
	}
	v.mu.Unlock()
	defer v.poke()
	if s == nil {
		return // nothing is owned
	}
	defer close(s.leave) // whatever happens: the session waits for it
	if !s.configured() {
		return
	}
	snapshots, err := s.release()
	if err == nil {
		err = v.write(snapshots)
	}
	if err != nil {
		// The addresses stay on the interfaces until the heir has started as after a crash.
		v.log.Error("virtual addresses could not be left to the new process: others may take them for a moment", "error", err)
	}
}

// release makes the speaker fall silent.
func (s *session) release() ([]vrrp.Snapshot, error) {
	if err := s.send(speaker.Order{Release: true}); err != nil {
		return nil, fmt.Errorf("tell the speaker: %w", err)
	}
	t := time.NewTimer(releaseLimit)
	defer t.Stop()
	select {
	case snapshots := <-s.released:
		return snapshots, nil
	case <-t.C:
		return nil, fmt.Errorf("the speaker did not answer within %v", releaseLimit)
	}
}

// write leaves everything to the heir.
func (v *Vip) write(snapshots []vrrp.Snapshot) error {
	boot, err := bootID()
	if err != nil {
		return err
	}
	v.mu.Lock()
	h := handed{Version: handedVersion, Boot: boot, At: v.o.Net.Now(), Snapshots: snapshots}
	for _, w := range v.plan.vips {
		h.VIPs = append(h.VIPs, v.routers[w.c.Name].hand())
	}
	v.mu.Unlock()
	b, err := json.Marshal(h)
	if err != nil {
		return err
	}
	path := filepath.Join(v.o.State, handedFile)
	_ = os.Remove(path) // the word of an earlier upgrade must not pass for this one's
	if err := os.MkdirAll(v.o.State, 0o750); err != nil {
		return err
	}
	// No fsync: it takes longer than all of this may, and after a power failure nobody would believe the file.
	if err := os.WriteFile(path+".tmp", b, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

// hand is what the heir needs to know of r. mu is held.
func (r *router) hand() handedVIP {
	h := handedVIP{
		Name: r.w.c.Name, Fitness: r.fitness, Good: map[string]bool{}, State: r.state, Reason: r.reason, Since: r.since,
		History: r.history,
	}
	for _, s := range r.sources {
		if s.known {
			h.Good[s.rule.name] = s.good
		}
	}
	for _, f := range r.families {
		h.Families = append(h.Families, handedFamily{f.number, f.state, f.reason, f.since, f.became})
	}
	return h
}

// Ready waits until the heir's speaker lives, so that it can go on at once when the elder falls silent. It is called after Run has
// begun, and before the elder is told to let go; without vips it does not wait.
func (v *Vip) Ready(ctx context.Context) error {
	v.mu.Lock()
	needed := len(v.plan.vips) > 0
	v.mu.Unlock()
	if !needed {
		return nil
	}
	select {
	case <-v.warm:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Thaw ends an upgrade, for the heir: it takes what the elder has left. After an error, as without an elder's word, it starts
// as any other process.
func (v *Vip) Thaw() error {
	v.mu.Lock()
	if v.phase != frozen {
		v.mu.Unlock()
		return nil
	}
	needed := len(v.plan.vips) > 0
	v.mu.Unlock()
	var h *handed
	var err error
	if needed {
		if h, err = v.read(); err != nil {
			err = fmt.Errorf("vip: the addresses are elected anew: %w", err)
		}
	}
	v.mu.Lock()
	v.phase = active
	if h != nil {
		v.resume = h
		for _, k := range h.VIPs {
			if r := v.routers[k.Name]; r != nil {
				r.inherit(&k)
			}
		}
	}
	v.rate()
	v.mu.Unlock()
	v.poke()
	return err
}

// read takes what the elder has left. It is read once.
func (v *Vip) read() (*handed, error) {
	path := filepath.Join(v.o.State, handedFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		v.log.Info("virtual addresses are elected: the old process has left none")
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	_ = os.Remove(path)
	var h handed
	if err := json.Unmarshal(b, &h); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	boot, err := bootID()
	switch {
	case err != nil:
		return nil, err
	case h.Version != handedVersion:
		return nil, fmt.Errorf("%s is of version %d, want %d", path, h.Version, handedVersion)
	case h.Boot != boot:
		return nil, fmt.Errorf("%s is of before the machine was started", path)
	case !v.fresh(&h):
		return nil, fmt.Errorf("%s is %v old, at most %v is believed", path, v.o.Net.Now()-h.At, handedFresh)
	}
	return &h, nil
}

func (v *Vip) fresh(h *handed) bool {
	age := v.o.Net.Now() - h.At
	return age >= 0 && age < handedFresh
}

// takeResume is what the first speaker is told of the elder's, once. mu is held.
func (v *Vip) takeResume() []vrrp.Snapshot {
	h := v.resume
	v.resume = nil
	if h == nil || !v.fresh(h) {
		return nil
	}
	return h.Snapshots
}

// inherit makes r what the elder's was. mu is held.
func (r *router) inherit(h *handedVIP) {
	r.state, r.reason, r.since, r.fitness = h.State, h.Reason, h.Since, h.Fitness
	r.history = h.History[max(0, len(h.History)-maxTransitions):]
	for _, s := range r.sources {
		if good, ok := h.Good[s.rule.name]; ok {
			s.good, s.ever = good, good
		}
	}
	for _, k := range h.Families {
		if f := r.family(k.Family); f != nil {
			f.state, f.reason, f.since = k.State, k.Reason, k.Since
			if k.Became != nil {
				f.became = k.Became
			}
		}
	}
}

// bootID names this run of the kernel.
func bootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b)), err
}
