package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sender is somebody who sends a packet every 100 ms.
type sender struct {
	kind        int
	name        string
	canRealtime bool
}

const (
	bySpeaker = iota
	byGoroutine
	byDaemon
)

// senders are all, in the order of the table.
func senders() []sender {
	return []sender{
		{bySpeaker, "skein's speaker, a process of its own", true},
		{byDaemon, "keepalived", true},
		{byGoroutine, "a goroutine in the balancer's process", false},
	}
}

// wiretap collects when the kernel has sent what senders have sent.
type wiretap struct {
	file   *os.File
	done   chan struct{}
	stamps [3][]time.Time // of the wall clock, as the kernel's are
	failed error
}

const protocolVRRP = 112

// watch begins to collect, at the near end of the cable. The filter lets the kernel drop everything else, so that the watcher
// costs what three packets every 100 ms cost.
func (n *network) watch() (*wiretap, error) {
	// IPv4 from near, without fragments; then VRRP, or UDP to the goroutine's port.
	const accept, drop = 64, 0
	source := binary.BigEndian.Uint32(net.ParseIP(nearAddress).To4())
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 14 + 12},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: source, Jf: 6},
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 14 + 9},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: protocolVRRP, Jt: 3},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.IPPROTO_UDP, Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: 14 + 20 + 2},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: goroutinePort, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: accept},
		{Code: unix.BPF_RET | unix.BPF_K, K: drop},
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open a packet socket: %w", err)
	}
	w := &wiretap{file: os.NewFile(uintptr(fd), "packet socket"), done: make(chan struct{})}
	err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: binary.NativeEndian.Uint16([]byte{unix.ETH_P_ALL >> 8, unix.ETH_P_ALL}), Ifindex: n.cable})
	}
	if err != nil {
		_ = w.file.Close()
		return nil, fmt.Errorf("watch the cable: %w", err)
	}
	go w.read()
	return w, nil
}

// read collects until the socket is closed.
func (w *wiretap) read() {
	defer close(w.done)
	raw, err := w.file.SyscallConn()
	if err != nil {
		w.failed = err
		return
	}
	frame, control := make([]byte, 64), make([]byte, 128)
	for {
		var size, controls int
		var got error
		if raw.Read(func(fd uintptr) bool {
			size, controls, _, _, got = unix.Recvmsg(int(fd), frame, control, 0)
			return !errors.Is(got, unix.EAGAIN) && !errors.Is(got, unix.EINTR)
		}) != nil {
			return // closed
		}
		if got == nil {
			got = w.note(frame[:size], control[:controls])
		}
		if got != nil {
			w.failed = fmt.Errorf("watch the cable: %w", got)
			return
		}
	}
}

// note files one packet.
func (w *wiretap) note(frame, control []byte) error {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return err
	}
	for _, m := range messages {
		if m.Header.Level != unix.SOL_SOCKET || m.Header.Type != unix.SO_TIMESTAMPNS || len(m.Data) < int(unsafe.Sizeof(unix.Timespec{})) {
			continue
		}
		at := time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:])))
		kind := byGoroutine
		if frame[14+9] == protocolVRRP {
			switch frame[14+20+1] { // the router ID
			case skeinRouter:
				kind = bySpeaker
			case daemonRouter:
				kind = byDaemon
			default:
				return nil
			}
		}
		w.stamps[kind] = append(w.stamps[kind], at)
		return nil
	}
	return errors.New("a packet without the kernel's stamp")
}

// stop ends the collecting. What was collected stays.
func (w *wiretap) stop() {
	_ = w.file.Close()
	<-w.done
}

func (w *wiretap) err() error { return w.failed }

// late is how much later than 100 ms after the one before each packet was sent that left in this time, by sender. One that was
// early counts as 0: the next one after a late one, if the sender keeps to its grid.
func (w *wiretap) late(from, to time.Time) [3][]time.Duration {
	var late [3][]time.Duration
	for kind, stamps := range w.stamps {
		for i := 1; i < len(stamps); i++ {
			if at := stamps[i]; !at.Before(from) && !at.After(to) {
				late[kind] = append(late[kind], max(0, at.Sub(stamps[i-1])-beat))
			}
		}
	}
	return late
}
