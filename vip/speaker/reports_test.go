package speaker

import (
	"testing"

	"skein/vip/vrrp"
)

// A status that waits when something changes is older than the change: told after it, it would say that nothing has changed.
func TestStatusBeforeChange(t *testing.T) {
	r := newReports(nil)
	r.send(Report{Status: &Status{}})
	r.send(Report{Change: &Change{VIP: "front", From: vrrp.Backup, To: vrrp.Master}})
	if p, ok := r.next(); !ok || p.Change == nil {
		t.Errorf("first = %+v, %v, want the change", p, ok)
	}
	if p, ok := r.next(); ok {
		t.Errorf("second = %+v, want nothing", p)
	}
	r.send(Report{Change: &Change{VIP: "front", From: vrrp.Master, To: vrrp.Backup}})
	r.send(Report{Status: &Status{}})
	if p, ok := r.next(); !ok || p.Change == nil {
		t.Errorf("third = %+v, %v, want the change", p, ok)
	}
	if p, ok := r.next(); !ok || p.Status == nil {
		t.Errorf("fourth = %+v, %v, want the status of after the change", p, ok)
	}
}
