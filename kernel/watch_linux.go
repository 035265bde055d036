package kernel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// Watch calls changed once when it watches, and then whenever links or addresses may have changed, until ctx ends; then it
// returns nil. So who asks for the Links in changed misses nothing. Many changes at once may be one call. changed runs on
// Watch's goroutine.
func (n *Net) Watch(ctx context.Context, changed func()) error {
	s, err := newSocket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE, func(fd int) error {
		if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			return os.NewSyscallError("bind", err)
		}
		receiveBuffer(fd, 1<<18)
		return setOptions(fd,
			option{"NETLINK_ADD_MEMBERSHIP", unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, unix.RTNLGRP_LINK},
			option{"NETLINK_ADD_MEMBERSHIP", unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, unix.RTNLGRP_IPV4_IFADDR},
			option{"NETLINK_ADD_MEMBERSHIP", unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, unix.RTNLGRP_IPV6_IFADDR},
		)
	})
	if err != nil {
		return fmt.Errorf("watch links: %w", err)
	}
	defer s.close()
	defer context.AfterFunc(ctx, func() { _ = s.close() })()
	for changed(); ctx.Err() == nil; changed() {
		if err := s.wait(); errors.Is(err, net.ErrClosed) {
			return nil
		} else if err != nil {
			return fmt.Errorf("watch links: %w", err)
		}
	}
	return nil
}

// wait returns when there was a message, and has taken those away that came with it. What they say is not looked at: whoever
// wants to know asks for the whole, which is right even if the kernel had to drop messages (ENOBUFS).
func (s *socket) wait() error {
	var err error
	closed := s.conn.Read(func(fd uintptr) bool {
		heard := false
		b := make([]byte, 1) // a message is dropped as a whole, however little of it is read
		for range 1000 {     // an endless stream of messages must not keep the news from its listener
			_, _, err = unix.Recvfrom(int(fd), b, 0)
			switch err {
			case nil, unix.ENOBUFS:
				heard, err = true, nil
			case unix.EINTR:
				err = nil
			case unix.EAGAIN:
				err = nil
				return heard
			default:
				return true
			}
		}
		return true
	})
	if closed != nil {
		return net.ErrClosed
	}
	return err
}
