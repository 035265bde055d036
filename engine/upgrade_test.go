package engine

import (
	"strings"
	"testing"
)

func TestUpgradeIsRefused(t *testing.T) {
	f := newFixture(t, site)
	f.o.Program.Path = "/no/such/program"
	refused := func(want string) {
		t.Helper()
		if err := f.Upgrade(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Upgrade = %v, want %q", err, want)
		}
	}
	refused("still starting")
	stop := f.run()
	refused("start /no/such/program: no such file")
	f.o.Program.Path = ""
	refused("not known what program")
	f.upgrading.Store(true)
	refused("under way")
	if err := f.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "under way") {
		t.Errorf("Reload during an upgrade = %v", err)
	}
	f.told("RELOADING=1") // systemd waits for both
	f.told("READY=1")
	f.upgrading.Store(false)
	if err := f.Reload(t.Context()); err != nil {
		t.Errorf("Reload after it = %v", err)
	}
	f.told("RELOADING=1")
	f.told("READY=1")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	f.o.Program.Path = "/bin/true"
	refused("stopping")
	if log := f.log.String(); strings.Count(log, "upgrade failed: this process goes on") != 4 || strings.Count(log, "upgrade was refused") != 1 {
		t.Errorf("the log is\n%s", log)
	}
}

func TestElderThatIsNone(t *testing.T) {
	f := newFixture(t, site)
	for elder, want := range map[string]string{
		"x":     "is not a descriptor",
		"0":     "is not a descriptor",
		"99999": "hint: unset SKEIN_UPGRADE",
	} {
		o := f.options()
		o.Elder = elder
		if _, err := New(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("SKEIN_UPGRADE=%s: %v, want %q", elder, err, want)
		}
	}
}
