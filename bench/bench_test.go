package main

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// startTestOrigin runs an origin in this process until the test ends.
func startTestOrigin(t *testing.T) *origin {
	t.Helper()
	o, err := newOrigin()
	if err != nil {
		t.Fatal(err)
	}
	until, hold, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- o.run(int(until.Fd())) }()
	t.Cleanup(func() {
		_ = hold.Close()
		if err := <-done; err != nil {
			t.Errorf("origin: %v", err)
		}
		_ = until.Close()
		o.close()
	})
	return o
}

// TestDriverAndOrigin puts every kind of load on the origin, without a proxy between.
func TestDriverAndOrigin(t *testing.T) {
	o := startTestOrigin(t)
	address := "127.0.0.1:" + strconv.Itoa(o.port)
	tests := []struct {
		name string
		load Load
	}{
		{"closed", Load{Mode: Closed, Path: "/", Length: smallSize, Conns: 4, WarmupRequests: 200, Time: time.Millisecond}},
		{"many paths", Load{Mode: Closed, Path: "/r%d/", Paths: 7, Length: smallSize, Conns: 4, WarmupRequests: 200, Time: time.Millisecond}},
		{"fresh", Load{Mode: Fresh, Path: "/", Length: smallSize, Conns: 4, WarmupRequests: 200, Time: time.Millisecond}},
		{"large", Load{Mode: Closed, Path: largePath, Length: largeSize, Conns: 2, WarmupRequests: 10, Time: time.Millisecond}},
		{"open", Load{Mode: Open, Path: "/", Length: smallSize, Conns: 8, Rate: 2000, Time: 100 * time.Millisecond}},
		{"idle", Load{Mode: Idle, Path: "/", Length: smallSize, Conns: 150, Time: time.Millisecond}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.load.Address = address
			d, err := newDriver(tt.load)
			if err != nil {
				t.Fatal(err)
			}
			defer d.close()
			r, err := d.run()
			if err != nil {
				t.Fatal(err)
			}
			if r.Errors != 0 {
				t.Errorf("%d errors, the first: %s", r.Errors, r.Error)
			}
			if tt.load.Mode == Open && r.Requests+r.Late != 200 {
				t.Errorf("open loop: %d answers and %d late, want 200 together", r.Requests, r.Late)
			}
			if tt.load.Mode == Idle && r.Connected != 150 {
				t.Errorf("idle: %d connected, want 150", r.Connected)
			}
		})
	}
}

// TestDriverCountsWrongAnswers expects another length than the origin's.
func TestDriverCountsWrongAnswers(t *testing.T) {
	o := startTestOrigin(t)
	d, err := newDriver(Load{
		Mode: Closed, Address: "127.0.0.1:" + strconv.Itoa(o.port), Path: "/", Length: smallSize + 1, Conns: 1, WarmupRequests: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	r, err := d.run()
	if err != nil {
		t.Fatal(err)
	}
	if r.Errors == 0 {
		t.Error("an answer of the wrong length was counted as right")
	}
}

func TestDriverRefusesOtherMachines(t *testing.T) {
	for _, address := range []string{"192.0.2.1:80", "0.0.0.0:80", "[::1]:80", "localhost:80"} {
		if _, err := newDriver(Load{Address: address, Conns: 1}); err == nil {
			t.Errorf("newDriver(%s) = nil error, want a refusal", address)
		}
	}
}
