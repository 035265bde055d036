package vip

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"skein/test/harness"
	"skein/test/lab"
)

// advert is a frame with a VRRPv3 advertisement for [address], valid in all but what is asked for.
func advert(to *lab.Port, from [4]byte, priority byte, router byte, cs uint16) []byte {
	dst := to.Addr().As4()
	v := []byte{0x31, router, priority, 1, byte(cs >> 8), byte(cs), 0, 0, 10, 0, 0, 100}
	pseudo := append(append(append([]byte{}, from[:]...), dst[:]...), 0, 112, 0, byte(len(v)))
	binary.BigEndian.PutUint16(v[6:], sum(append(pseudo, v...)))
	ip := []byte{0x45, 0xc0, 0, byte(20 + len(v)), 0, 0, 0, 0, 255, 112, 0, 0}
	ip = append(append(ip, from[:]...), dst[:]...)
	binary.BigEndian.PutUint16(ip[10:], sum(ip))
	frame := append([]byte{}, to.MAC...)
	frame = append(frame, 0x02, 0, 0, 0, 0xbb, 0xbb, 0x08, 0x00)
	return append(append(frame, ip...), v...)
}

// sum is the Internet checksum (RFC 1071).
func sum(b []byte) uint16 {
	n := uint32(0)
	for i := 0; i+1 < len(b); i += 2 {
		n += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for n > 0xffff {
		n = n>>16 + n&0xffff
	}
	return ^uint16(n)
}

// flood sends frames from a host for a while, as fast as it may (a hundred thousand a second), and returns how many.
func flood(h *lab.Host, interfaceIndex int, d time.Duration, frames [][]byte) (sent int, err error) {
	err = h.Do(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		to := &unix.SockaddrLinklayer{Ifindex: interfaceIndex}
		const rate = 100_000
		for began := time.Now(); time.Since(began) < d; {
			if float64(sent) > rate*time.Since(began).Seconds() {
				time.Sleep(100 * time.Microsecond)
				continue
			}
			for range 50 {
				if err := unix.Sendto(fd, frames[sent%len(frames)], 0, to); err == nil {
					sent++
				} else if err != unix.ENOBUFS {
					return err
				}
			}
		}
		return nil
	})
	return sent, err
}

// resident is the memory of a process in bytes.
func resident(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(b))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// Somebody in the network sends garbage and false advertisements, a hundred thousand a second. The owner stays the owner, its memory
// what it was, and status says what was refused. An advertisement with the highest priority from an address that is no node's
// does nothing.
func TestHostileNeighbor(t *testing.T) {
	s := newSite(t, 2)
	mallory := s.Host("mallory", s.lan.Port("10.0.0.66/24"))
	s.start(s.file(s.front()))
	to := s.lb[0].Port(0)
	refused := func(n status) (sum int) {
		for _, v := range n.VIPs[0].Families[0].Refused {
			sum += v
		}
		return sum
	}
	since := time.Now()
	for range 50 {
		mallory.Port(0).Emit(advert(to, [4]byte{10, 0, 0, 66}, 255, 100, 10))
		time.Sleep(10 * time.Millisecond)
	}
	stay(t, s, s.lb[0], since, 500*time.Millisecond)

	peer := [4]byte{10, 0, 0, 12}
	frames := [][]byte{
		advert(to, [4]byte{10, 0, 0, 66}, 255, 100, 10), // of a stranger
		advert(to, peer, 255, 101, 10),                  // of another router
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		f := advert(to, peer, 255, 100, 10)
		f = append(f, make([]byte, r.IntN(200))...)
		// Everything behind the source address is random, the checksum with it.
		for i := 34; i < len(f); i++ {
			f[i] = byte(r.Uint32())
		}
		binary.BigEndian.PutUint16(f[16:], uint16(len(f)-14))
		f[24], f[25] = 0, 0
		binary.BigEndian.PutUint16(f[24:], sum(f[14:34]))
		frames = append(frames, f)
	}
	link, err := s.linkOf(mallory)
	if err != nil {
		t.Fatal(err)
	}
	speaker := s.run[0].Speaker()
	before, parent := resident(t, speaker), s.run[0].Memory()
	refusedBefore := refused(s.status(0))
	probe := s.visitor.Probe(page, lab.Probing{Timeout: 10 * time.Second})
	probe.Answered(patience)
	since = time.Now()
	sent, err := flood(mallory, link, time.Duration(harness.Count(1, 5, 60))*time.Second, frames)
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(since)
	stay(t, s, s.lb[0], since, took)
	probe.Answered(patience)
	report := probe.Stop()
	after := resident(t, speaker)
	t.Logf("%d frames in %v; the speaker had %d MiB before and %d MiB after; %d were refused by name; the visitor saw %s", sent, took.Round(time.Millisecond),
		before>>20, after>>20, refused(s.status(0))-refusedBefore, report)
	most := before + 32<<20
	if harness.Raced() {
		most *= 2 // the detector has some for every byte
	}
	if after > most {
		t.Errorf("the speaker grew from %d to %d bytes", before, after)
	}
	if now := s.run[0].Memory(); now > parent+64<<20 {
		t.Errorf("the balancer grew from %d to %d bytes", parent, now)
	}
	if refused(s.status(0)) == refusedBefore {
		t.Errorf("nothing was refused: %+v", s.status(0).VIPs[0].Families[0].Refused)
	}
	if s.status(0).Speaker.Restarts > 0 || s.run[0].Speaker() != speaker {
		t.Error("the speaker was replaced")
	}
	stay(t, s, s.lb[0], since, took+500*time.Millisecond)
	s.stop()
}

// linkOf is the index of a host's first interface.
func (s *site) linkOf(h *lab.Host) (index int, err error) {
	err = h.Do(func() error {
		b, err := os.ReadFile("/sys/class/net/eth0/ifindex")
		if err != nil {
			return err
		}
		index, err = strconv.Atoi(strings.TrimSpace(string(b)))
		return err
	})
	return index, err
}
