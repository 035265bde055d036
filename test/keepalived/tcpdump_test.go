package keepalived

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"skein/test/harness"
)

// tcpdump lets a third program judge the advertisements that were seen.
func (s *site) tcpdump(r router) {
	s.t.Helper()
	path := harness.Need(s.t, "tcpdump", "tcpdump")
	file := filepath.Join(s.t.TempDir(), "capture.pcap")
	// The header of the classic format: magic number, version 2.4, zone, accuracy, length of a frame at most, Ethernet.
	b := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	b = binary.LittleEndian.AppendUint16(b, 2)
	b = binary.LittleEndian.AppendUint16(b, 4)
	for _, n := range []uint32{0, 0, 65535, 1} {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	adverts := 0
	for _, p := range s.wire.Packets() {
		if p.VRRP() == nil {
			continue
		}
		adverts++
		for _, n := range []uint32{uint32(p.Time.Unix()), uint32(p.Time.Nanosecond() / 1000), uint32(len(p.Frame)), uint32(len(p.Frame))} {
			b = binary.LittleEndian.AppendUint32(b, n)
		}
		b = append(b, p.Frame...)
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		s.t.Fatal(err)
	}
	out, err := exec.Command(path, "-nvvr", file).CombinedOutput()
	if err != nil {
		s.t.Fatalf("tcpdump: %v\n%s", err, out)
	}
	text := string(out)
	if got := strings.Count(text, "Advertisement, "); got != adverts {
		s.t.Errorf("tcpdump understands %d of %d advertisements:\n%s", got, adverts, text)
	}
	for _, word := range []string{"bad vrrp", "bad cksum", "wrong", "truncated", "invalid"} {
		if strings.Contains(text, word) {
			s.t.Errorf("tcpdump finds something %s:\n%s", word, text)
		}
	}
	if want := strings.ReplaceAll(r.password[:min(8, len(r.password))], " ", ""); want != "" && !strings.Contains(text, `"`+want+`"`) {
		s.t.Errorf("tcpdump does not see the password %q:\n%s", want, text)
	}
}
